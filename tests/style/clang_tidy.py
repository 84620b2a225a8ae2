"""Gate: clang-tidy with the checks of .clang-tidy finds nothing in the product.

clang_tidy.py BUILD [FILE…]: BUILD holds compile_commands.json; without FILE, all of the product is looked at.
"""
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sources import PRODUCT, ROOT, report


def compiled(build):
    """Sources of the product that this build compiles."""
    commands = json.loads(Path(build, "compile_commands.json").read_text())
    paths = {Path(command["directory"], command["file"]).resolve() for command in commands}
    ours = [path.relative_to(ROOT) for path in paths if path.is_relative_to(ROOT)]
    # The longest first, so that none of the threads ends with it alone.
    return sorted((path for path in ours if path.parts[0] in PRODUCT), key=lambda path: -(ROOT / path).stat().st_size)


def look_at(build, path):
    run = subprocess.run(["clang-tidy", "-p", build, "--quiet", "--extra-arg=-Wno-unknown-warning-option", str(path)],
                         cwd=ROOT, capture_output=True, text=True, check=False)
    found = set(re.findall(r"^(\S+?:\d+:\d+: (?:error|warning): .*)$", run.stdout, re.MULTILINE))
    if run.returncode and not found:
        found = {f"{path}: {(run.stderr or run.stdout).strip()}"}
    return {line.replace(f"{ROOT}/", "") for line in found}


build_folder = sys.argv[1]
chosen = [Path(name) for name in sys.argv[2:]] or compiled(build_folder)
if not chosen:
    report(["no sources in compile_commands.json"], "Configure first.")
with ThreadPoolExecutor(max_workers=min(4, len(os.sched_getaffinity(0)))) as threads:
    results = threads.map(lambda path: look_at(build_folder, path), chosen)
print(f"{len(chosen)} files")
report(sorted(set().union(*results)), "What is checked, and why some is not, stands in .clang-tidy.")
