"""The scenario of fairness: what a quiet channel notices of another that takes all the worker can give, and of a client that sends
without end. The quiet one has 20 messages a second, and a generator of its own."""

import subprocess
import time
from contextlib import contextmanager
from statistics import median

from servers import Fanfare, Floor
from table import Row, microseconds, ratio

QUIET = 1  # the number of its channel; the hot one has 0
HOT = dict(clients=1000, burst=1000, messages=1000000, rate=1000, wait=1)
SETTLE_S = 2
TURNS_MS = 100  # two full turns of the worker (hub/backlog.h), and what a shared machine adds; in order of arrival it is 320
SHARES_MS = 10  # some turns with a client's share of commands in them


@contextmanager
def beside(bench, kind, server, **options):
	"""The load goes on all the while."""
	load = subprocess.Popen(bench.command(kind, server, options), stdout=subprocess.DEVNULL)
	try:
		time.sleep(SETTLE_S)
		if load.poll() is not None:
			raise SystemExit(f"the load beside ended with {load.returncode}")
		yield
		if load.poll() is not None:
			raise SystemExit(f"the load beside ended with {load.returncode}")
	finally:
		load.kill()
		load.wait()


def quiet(bench, server):
	return bench.load("publish", server, first=QUIET, clients=1, messages=bench.scaled(800), warmup=10, rate=20)


def fairness(bench):
	"""The hot channel is a thousand messages ahead of its last subscriber, always: the next thousand are published when all have those
	before. A floor would deliver in the order in which things come, and says nothing but what a quiet channel costs alone."""
	alone, hot, flood, floor_alone = [], [], [], []
	with Floor() as floor, Fanfare() as server:
		for _ in range(bench.pairs):
			floor_alone.append(quiet(bench, floor))
			alone.append(quiet(bench, server))
			with beside(bench, "publish", server, **HOT):
				hot.append(quiet(bench, server))
			with beside(bench, "flood", server, seconds=600):
				flood.append(quiet(bench, server))
	for what, runs, others, whose, target_ms in (
		("alone", alone, floor_alone, "", None),
		("beside a hot one: 1,000 messages ahead, 1,000 subscribers", hot, alone, " (alone)", TURNS_MS),
		("beside a client that sends commands without end", flood, alone, " (alone)", SHARES_MS)):
		for name, target in ("p50_us", None), ("p99_us", target_ms):
			ours, theirs = ([run[name] * 1000 for run in side] for side in (runs, others))
			yield Row(
				"fairness", f"{name[:3]} of a quiet channel {what}", microseconds(median(ours)), microseconds(median(theirs)) + whose,
				median(ours) / 1e6, shown=f"{ratio(ours, theirs):.2f}", target=target, target_text=target and f"≤ {target} ms")
