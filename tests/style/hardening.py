"""Gate: a release is hardened: it builds one and looks at what the compiler was told, and at what came of it."""
import json
import re
import subprocess
import sys
from pathlib import Path

from sources import PRODUCT, ROOT, report

build = Path(sys.argv[1]).resolve() / "hardened"
TOLD = (
    "-fPIE", "-fstack-protector-strong", "-fstack-clash-protection", "-ftrivial-auto-var-init=zero", "-D_FORTIFY_SOURCE=3",
    "-Werror")
X86 = ("Advanced Micro Devices X86-64", "Intel 80386")


def run(*command):
    done = subprocess.run([*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        report([done.stdout[-5000:]], f"{command[0]} failed.")
    return done.stdout


def told_to_the_compiler():
    for unit in json.loads((build / "compile_commands.json").read_text()):
        path = Path(unit["file"]).relative_to(ROOT)
        if path.parts[0] in PRODUCT:
            missing = [flag for flag in TOLD if flag not in unit["command"].split()]
            if missing:
                yield f"{path}: compiled without {' '.join(missing)}"


def executable(path):
    """What the loader is asked for."""
    head, dynamic, segments = (run("readelf", "-W", option, path) for option in ("-h", "-d", "-l"))
    if not re.search(r"Type:\s+DYN", head):
        yield "not position-independent"
    if not re.search(r"FLAGS_1.*\bNOW\b.*\bPIE\b", dynamic):
        yield "not bound when it starts, or no PIE"
    if "GNU_RELRO" not in segments:
        yield "tables of the loader stay writable (no GNU_RELRO)"
    if not re.search(r"GNU_STACK\s.*\sRW\s", segments):
        yield "the stack can be executed"
    if re.search(r"LOAD\s.*\sRWE\s", segments):
        yield "a segment can be both written and executed"
    if "TEXTREL" in dynamic or re.search(r"\(R(UN)?PATH\)", dynamic):
        yield "relocations in the code, or a path to search for libraries"


def fortified(path):
    imported = run("nm", "-D", "--undefined-only", path)
    for name in ("__stack_chk_fail", "__vsnprintf_chk", "__memcpy_chk"):
        if not re.search(rf"\b{name}\b", imported):
            yield f"does not call {name}"


def control_flow(path):
    """Debian's own start-up code knows nothing of it, so that the whole executable cannot say so; each object of ours does."""
    if not any(machine in run("readelf", "-h", path) for machine in X86):
        return
    for archive in sorted(build.glob("lib*.a")):
        notes = run("readelf", "-nW", archive)
        objects, marked = notes.count("\nFile: "), len(re.findall(r"x86 feature: IBT, SHSTK", notes))
        if objects == 0 or objects != marked:
            yield f"{archive.name}: {objects} objects, {marked} of them for indirect branch tracking and shadow stacks"


run("cmake", "-S", ".", "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DFANFARE_WERROR=ON")
run("cmake", "--build", build, "--target", "fanfare")
found = list(told_to_the_compiler())
for path in (build / "fanfare", build.parent / "fanfare"):
    found += [f"{path.relative_to(ROOT)}: {problem}" for problem in executable(path)]
found += [f"{path.name}: {problem}" for path in [build / "fanfare"] for check in (fortified, control_flow) for problem in check(path)]
report(found, "The flags are in CMakeLists.txt.")
