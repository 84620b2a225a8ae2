"""Gate: cppcheck finds no error, warning, slowness or unportable code in the product, headers included."""
import os
import subprocess

from sources import PRODUCT, ROOT, report

COMMAND = [
    "cppcheck", "--enable=warning,performance,portability", "--inline-suppr", "--std=c11", "--quiet", "--error-exitcode=1",
    "--template={file}:{line}: {severity}: {message} [{id}]", f"-j{len(os.sched_getaffinity(0))}",
    # System headers are not given on purpose: cppcheck knows the C library itself.
    "--suppress=missingIncludeSystem", "-D_GNU_SOURCE", '-DFANFARE_VERSION="0"',
    "-D__linux__", "-D__x86_64__", "-D__GNUC__=12", "-D__BYTE_ORDER__=1234", "-D__ORDER_LITTLE_ENDIAN__=1234",
    *(f"-I{folder}" for folder in ("common", "broker", "worker", "worker/proto", "worker/net", "worker/redis",
                                   "worker/hub", "worker/client", "worker/http")),
]

run = subprocess.run([*COMMAND, *PRODUCT], cwd=ROOT, capture_output=True, text=True, check=False)
found = sorted({line for line in run.stderr.splitlines() if line.strip()})
if run.returncode and not found:
    found = [run.stdout.strip() or f"cppcheck ended with {run.returncode}"]
report(found, "A finding that is wrong gets a cppcheck-suppress comment that says why.")
