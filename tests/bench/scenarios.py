"""The scenarios: each is a function that measures and yields rows. They meet the machine as they find it: what is compared is
processor time, and only with what ran beside it."""

import json
import os
import subprocess
from contextlib import ExitStack
from statistics import median

from servers import BUILD, LOAD_CPU, Fanfare, Floor
from table import Row, microseconds, ratio

TROUBLE = ("lost", "duplicated", "reordered")


class Bench:
	def __init__(self, pairs, quick):
		self.pairs, self.quick = pairs, quick
		self.trouble = dict.fromkeys(TROUBLE, 0)
		self.busiest = 0.0
		self.notes = []

	def scaled(self, messages):
		return max(10, messages // 4) if self.quick else messages

	def load(self, kind, server, **options):
		"""Runs the generator against a server; returns what it says."""
		words = {
			"dialect": server.dialect, "server": server.port, "feed": server.feed, "cpu": LOAD_CPU,
			"pids": ",".join(map(str, server.pids)), "apart": ",".join(map(str, server.apart))} | options
		command = [os.path.join(BUILD, "tests/bench/bench_load"), kind, *(f"{name}={value}" for name, value in words.items())]
		said = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=False)
		if said.returncode:
			raise SystemExit(f"{' '.join(command)}: ended with {said.returncode}")
		figures = json.loads(said.stdout)
		for name in TROUBLE:
			self.trouble[name] += figures.get(name, 0)
		if "load_ns" in figures:
			self.busiest = max(self.busiest, figures["load_ns"] / figures["wall_ns"])
		return figures

	def compare(self, servers, kind="publish", **options):
		"""Runs the same load against each in turn, several times; returns for each the figures of its runs."""
		runs = [[] for _ in servers]
		for _ in range(self.pairs):
			for server, figures in zip(servers, runs):
				figures.append(self.load(kind, server, **options))
		return runs


def each(figures, name, by="deliveries"):
	return [run[name] / run[by] for run in figures]


def cost(figures):
	"""Of one delivery, in nanoseconds, in each run."""
	return each(figures, "cpu_ns")


def beside(figures):
	"""What else is told of a run: Redis, how the generator fared."""
	busy = max(run["load_ns"] / run["wall_ns"] for run in figures)
	server = median(run["cpu_ns"] / run["wall_ns"] for run in figures)
	redis = median(each(figures, "apart_ns"))
	return f"server {server:.0%} busy, generator {busy:.0%}" + (f", Redis {microseconds(redis)}" if redis else "")


def fanout(bench):
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Floor(), Fanfare())]
		for clients in 1000, 10000:
			for size in 128, 1024:
				messages = bench.scaled(400000 // clients)
				floor, fanfare = bench.compare(
					servers, clients=clients, size=size, messages=messages, warmup=max(2, messages // 10), rate=20000 // clients, wait=1)
				yield Row(
					"fan-out", f"{clients:,} subscribers, {size} B; {beside(fanfare)}", microseconds(median(cost(fanfare))),
					microseconds(median(cost(floor))), ratio(cost(fanfare), cost(floor)), target=1.10)


def burst(bench):
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Floor(batched=True), Fanfare())]
		messages = bench.scaled(4000)
		floor, fanfare = bench.compare(servers, clients=1000, messages=messages, warmup=200, burst=50, rate=20, wait=1)
		yield Row(
			"burst", f"50 back to back, 1,000 subscribers, 128 B; {beside(fanfare)}", microseconds(median(cost(fanfare))),
			microseconds(median(cost(floor))) + " (batched)", ratio(cost(fanfare), cost(floor)), target=3)


SCENARIOS = {"fan-out": fanout, "burst": burst}
