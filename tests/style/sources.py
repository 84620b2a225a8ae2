"""What the style gates share: which files are ours, and how a gate says what it found.

A gate is a small script: it looks at the tree, calls report() with its findings, and ends with 1 if there are any.
"""
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("common", "worker", "broker")
NOT_OURS = {".git", "build", "__pycache__", "node_modules", ".pytest_cache", ".cache", "venv", ".venv"}

COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(*folders, suffixes=None):
    """Files below the folders (without any: of the whole tree), as paths relative to the root, sorted."""
    found = []
    for start in [ROOT / folder for folder in folders] or [ROOT]:
        for directory, subdirectories, names in os.walk(start):
            subdirectories[:] = [name for name in subdirectories if name not in NOT_OURS]
            found += [Path(directory, name).relative_to(ROOT) for name in names]
    return sorted(path for path in found if suffixes is None or path.suffix in suffixes)


def c_files(*folders):
    return files(*(folders or (*PRODUCT, "tests")), suffixes={".c", ".h"})


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def code_only(source):
    """The source with comments and the insides of strings blanked: same lines, same columns."""
    def blank(match):
        return "".join(c if c == "\n" else " " for c in match.group())
    return COMMENT_OR_STRING.sub(blank, source)


def report(findings, rule):
    """Prints findings and the rule they break; ends the gate."""
    for finding in findings:
        print(finding)
    if findings:
        print(f"\n{len(findings)} finding(s). {rule}")
        sys.exit(1)
    print("ok")
    sys.exit(0)
