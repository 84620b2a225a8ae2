"""Gate: tests/attacks.txt is true: each attack has a test that exists, or a reason why it needs none."""
import re
from functools import cache
from pathlib import Path

from sources import ROOT, files, report, text

LIST = Path("tests/attacks.txt")
KINDS = {".c", ".py", ".json"}
REASON_MIN = 20
known = set(files("tests"))


@cache
def source(path):
    return text(path)


def defines(path, name):
    """Whether the file has a test of this name, which is run, too."""
    content = source(path)
    if path.suffix == ".py":
        return re.search(rf"^(async )?def {re.escape(name)}\(", content, re.MULTILINE)
    if path.suffix == ".json":
        return f'"name": "{name}"' in content
    defined = re.search(rf"^static void {re.escape(name)}\(void \*\*", content, re.MULTILINE)
    return defined and re.search(rf"\b\w+\(\s*{re.escape(name)}[,)]", content)


def check_test(entry):
    """What is wrong with FILE, FILE::TEST or FILE::TEST[PARAMETER]."""
    match = re.fullmatch(r"([\w/.]+)(?:::([\w/-]+)(?:\[(.+)\])?)?", entry)
    if not match:
        return "neither FILE::TEST nor a reason"
    path, name, parameter = Path("tests", match[1]), match[2], match[3]
    if path not in known or path.suffix not in KINDS:
        return "no such file of tests"
    if name and not defines(path, name):
        return "no such test"
    if parameter and f'"{parameter}"' not in source(path):
        return "no such parameter"
    return None


def check_line(line):
    if line.startswith("because:"):
        return "a reason of few words" if len(line) < len("because:") + REASON_MIN else None
    return check_test(line)


def findings():
    attack, proofs, seen = None, 0, set()
    for number, line in enumerate([*text(LIST).splitlines(), "#"], 1):
        if line.startswith("\t"):
            problem = check_line(line.strip()) if attack else "stands below no attack"
            proofs += 1
            if problem:
                yield f"{LIST}:{number}: {line.strip()}: {problem}"
        elif line:
            if attack and proofs == 0:
                yield f"{LIST}:{number - 1}: {attack}: neither a test nor a reason"
            attack, proofs = (None, 0) if line.startswith("#") else (line, 0)
            if attack in seen:
                yield f"{LIST}:{number}: {attack}: stands there twice"
            seen.add(attack or number)


report(list(findings()), "Every attack has a test, by its name, or a reason.")
