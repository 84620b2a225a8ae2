"""Gate: a global name is defined once in the whole program. Of two in static libraries the linker takes whichever it meets
first, without a word, and the other caller gets a function that it did not mean."""
import collections
import pathlib
import subprocess
import sys

from sources import report

build = pathlib.Path(sys.argv[1])
homes = collections.defaultdict(set)
for archive in sorted(build.glob("lib*.a")):
    listing = subprocess.run(["nm", "--defined-only", "--extern-only", "--format=posix", "--print-file-name", archive],
                             check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        home, name, kind = line.split()[:3]
        # Weak ones are the compiler's and the sanitizers' own.
        if kind.upper() not in "WVU" and not name.startswith("__"):
            homes[name].add(home.rstrip(":").removeprefix(f"{build}/"))

report([f"{name} is defined in {' and in '.join(sorted(where))}" for name, where in sorted(homes.items()) if len(where) > 1],
       "Rename one of each.")
