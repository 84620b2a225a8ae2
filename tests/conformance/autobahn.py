"""The Autobahn test suite against /echo: autobahn.py [--compression-min-size BYTES] [--table] CASES...

CASES are globs such as 9.*; every result must be the one that stands in expected.txt, and every case there that the
globs match must have been run. --table prints the results as lines of that file instead.

kosoku runs the cases: Autobahn's own runner is for Python 2 only.
"""
import argparse
import asyncio
import fnmatch
import pathlib
import sys

import kosoku

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from lib.broker import Broker  # noqa: E402
from lib.redis_server import RedisServer  # noqa: E402

EXPECTED = HERE / "expected.txt"


def expected(globs):
	"""{case: "verdict on the messages, verdict on the close"} of the cases that are asked for."""
	lines = [line.split(maxsplit=1) for line in EXPECTED.read_text().splitlines() if line and line[0] != "#"]
	table = {case: verdict for case, verdict in lines}
	assert len(table) == len(lines), "a case stands twice in expected.txt"
	return {case: verdict for case, verdict in table.items() if any(fnmatch.fnmatch(case, glob) for glob in globs)}


async def run(url, globs):
	"""Two cases at a time: one worker each. A failure has the results of all cases, too."""
	try:
		return await kosoku.run_fuzzingclient(url, globs, None, concurrency=2)
	except kosoku.FailureError as failure:
		return failure.results


def differences(wanted, results):
	found = {result.case_id: result for result in results}
	for case in sorted(wanted.keys() | found.keys()):
		result = found.get(case)
		got = result and f"{result.behavior.value}, {result.behavior_close.value}"
		if got != wanted.get(case):
			why = f" ({result.result} {result.result_close})" if result else ""
			yield f"{case}: expected {wanted.get(case, 'nothing')}, got {got or 'nothing'}{why}"


def main():
	parser = argparse.ArgumentParser()
	parser.add_argument("--compression-min-size", type=int, default=0)
	parser.add_argument("--table", action="store_true")
	parser.add_argument("cases", nargs="+")
	arguments = parser.parse_args()
	with RedisServer() as redis, Broker(redis=redis, workers=2, dev=True) as broker:
		url = f"ws://127.0.0.1:{broker.port}/echo?compression_min_size={arguments.compression_min_size}"
		results = asyncio.run(run(url, arguments.cases))
	if arguments.table:
		print(*(f"{r.case_id} {r.behavior.value}, {r.behavior_close.value}" for r in results), sep="\n")
		return
	wrong = list(differences(expected(arguments.cases), results))
	print(*wrong, sep="\n")
	print(f"{len(results)} cases, {len(wrong)} of them not as in {EXPECTED.name}")
	sys.exit(1 if wrong or not results else 0)


main()
