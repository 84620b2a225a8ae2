"""Gate: functions are short. None has more than 100 lines in its body, nine of ten in the product have under 50.

Finds functions by their shape, which clang-format guarantees: the braces of a function, and only they, stand alone
in the first column.
"""
from sources import PRODUCT, c_files, report, text

LONGEST = 100
USUAL = 50
USUAL_SHARE = 0.9


def functions(path):
    """(place, lines of body) of each function."""
    lines = text(path).splitlines()
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield f"{path}:{start - 1}: {lines[start - 2].strip()}", number - start - 1
            start = None


found = [f"{place}: {length} lines" for path in c_files() for place, length in functions(path) if length > LONGEST]
product = sorted((length, place) for path in c_files(*PRODUCT) for place, length in functions(path))
if not product:
    report(["no functions found"], "The gate looks in the wrong place.")
short = sum(length < USUAL for length, _ in product) / len(product)
median = product[len(product) // 2][0]
print(f"{len(product)} functions, median {median} lines, {short:.0%} under {USUAL} lines, longest {product[-1][0]}")
if short < USUAL_SHARE:
    found += [f"{place}: {length} lines" for length, place in product if USUAL <= length <= LONGEST]
report(found, f"At most {LONGEST} lines, {USUAL_SHARE:.0%} under {USUAL}: let the parts have names of their own.")
