"""Gate: what README names is there: files, folders, commands of the program, layers."""
import re

from sources import files, report, text

README = text("README.md")
TOP = ("broker", "worker", "common", "tests", "deploy")
known = {str(path) for path in files()} | {str(parent) for path in files() for parent in path.parents}
names = {path.rsplit("/", 1)[-1] for path in known}


def files_named():
    """In links, in `…` with a path or with a name that ends like a source."""
    for name in re.findall(r"\]\(([^)#:]+)\)|`([^`\s]+)`", README):
        path = "".join(name).rstrip("/")
        if "NAME" in path or "<" in path:
            continue
        if path.split("/")[0] in TOP and path not in known:
            yield f"{path}: is not there"
        elif re.fullmatch(r"[\w.]+\.(c|h|js|yaml|py)", path) and path not in names:
            yield f"{path}: no file has this name"


def layers_named():
    for folder in sorted({path.parent for path in files("common", "worker", "broker", suffixes={".c"})}):
        if f"{folder}/" not in README:
            yield f"{folder}/: a layer that README does not show"


def commands_named():
    rows = set(re.findall(r'\{"([\w-]+)", cli_\w+', text("broker/main.c")))
    for command in sorted(set(re.findall(r"(?:`|^ {4}|/)fanfare ([a-z][\w-]*)", README, re.MULTILINE)) - rows):
        yield f"fanfare {command}: no such command"


report([*files_named(), *layers_named(), *commands_named()], "README shows what is there.")
