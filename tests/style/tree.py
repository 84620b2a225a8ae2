"""Gate: the tree holds what it should: known names at the top, text that people can read, nothing left for later."""
import re

from sources import ROOT, PRODUCT, c_files, files, report

TOP_LEVEL = {"CMakeLists.txt", "CMakePresets.json", "README.md", "broker", "worker", "common", "tests", "deploy", "build"}
MAX_BYTES = 512 * 1024
LEFT_FOR_LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
SOURCES = {".c", ".h", ".py", ".js", ".mjs", ".html", ".css", ".txt", ".md", ".sh", ".cmake", ".json", ".yaml", ".yml", ".svg", ".lua", ""}
THIRD_PARTY = {"vendor", "third_party", "3rdparty", "external", "node_modules"}


def top_level():
    for entry in sorted(ROOT.iterdir()):
        if entry.name not in TOP_LEVEL and not entry.name.startswith("."):
            yield f"{entry.name}: nothing of this name belongs at the top level"


def contents(path):
    data = (ROOT / path).read_bytes()
    if THIRD_PARTY & set(path.parts) or ".min." in path.name:
        yield f"{path}: code of others comes from packages"
    if len(data) > MAX_BYTES:
        yield f"{path}: {len(data)} bytes, more than {MAX_BYTES}"
    if path.suffix not in SOURCES:
        return
    try:
        lines = data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        yield f"{path}: not UTF-8 text"
        return
    for number, line in enumerate(lines, 1):
        if LEFT_FOR_LATER.search(line) and path.name != "tree.py":
            yield f"{path}:{number}: left for later: {line.strip()[:80]}"


def says_what_it_is_for(path):
    """A .c file may leave the explaining to the header of the same name."""
    header = (ROOT / path).with_suffix(".h")
    if not any(file.exists() and file.read_text().startswith("/*") for file in (ROOT / path, header)):
        yield f"{path}: neither it nor its header begins with a comment that says what it is for"


found = list(top_level())
for path in files():
    # The corpus of a fuzzer and recorded data are data, whatever bytes they hold.
    if not {"corpus", "data"} & set(path.parts):
        found += contents(path)
for path in c_files(*PRODUCT, "tests"):
    found += says_what_it_is_for(path)
report(found, "What stands where is in README.")
