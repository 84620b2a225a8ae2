"""Gate: every C file looks as clang-format with the tree's .clang-format leaves it."""
import re
import subprocess

from sources import ROOT, c_files, report

run = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, c_files())],
                     cwd=ROOT, capture_output=True, text=True, check=False)
places = re.findall(r"^(\S+?:\d+):\d+: error", run.stderr, re.MULTILINE)
first_of_file = {place.rsplit(":", 1)[0]: place for place in reversed(places)}
findings = sorted(f"{place}: not formatted" for place in first_of_file.values())
if run.returncode and not findings:
    findings = [run.stderr.strip()]
report(findings, "Run clang-format -i on these files.")
