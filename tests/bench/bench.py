"""How the scenarios measure: the generator is run against each server in turn, and what it says is kept account of."""

import json
import os
import subprocess
from statistics import median

from servers import BUILD, LOAD_CPU
from table import microseconds

TROUBLE = ("lost", "duplicated", "reordered")


class Bench:
	def __init__(self, pairs, quick):
		self.pairs, self.quick = pairs, quick
		self.trouble = dict.fromkeys(TROUBLE, 0)
		self.busiest = 0.0

	def scaled(self, count):
		"""So many, or fewer when it shall be quick."""
		return max(10, count // 4) if self.quick else count

	def command(self, kind, server, options):
		"""That runs the generator against a server."""
		words = {
			"dialect": server.dialect, "server": server.port, "feed": server.feed, "cpu": LOAD_CPU,
			"pids": ",".join(map(str, server.pids)), "apart": ",".join(map(str, server.apart))} | options
		return [os.path.join(BUILD, "tests/bench/bench_load"), kind, *(f"{name}={value}" for name, value in words.items())]

	def load(self, kind, server, **options):
		"""Runs the generator; returns what it says."""
		command = self.command(kind, server, options)
		said = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=False)
		if said.returncode:
			raise SystemExit(f"{' '.join(command)}: ended with {said.returncode}")
		figures = json.loads(said.stdout)
		self.keep_account(figures)
		if "load_ns" in figures:
			self.busiest = max(self.busiest, figures["load_ns"] / figures["wall_ns"])
		return figures

	def keep_account(self, figures):
		for name in TROUBLE:
			self.trouble[name] += figures.get(name, 0)

	def compare(self, servers, kind="publish", **options):
		"""Runs the same load against each in turn, several times; returns for each the figures of its runs."""
		runs = [[] for _ in servers]
		for _ in range(self.pairs):
			for server, figures in zip(servers, runs):
				figures.append(self.load(kind, server, **options))
		return runs


def each(runs, name, by="deliveries"):
	return [run[name] / run[by] for run in runs]


def cost(runs):
	"""Of one delivery, in nanoseconds, in each run."""
	return each(runs, "cpu_ns")


def beside(runs):
	"""What else is told of runs: how busy the two sides were, and what Redis had to do for a delivery."""
	generator = max(run["load_ns"] / run["wall_ns"] for run in runs)
	server = median(run["cpu_ns"] / run["wall_ns"] for run in runs)
	redis = median(each(runs, "apart_ns"))
	return f"{server:.0%}, {generator:.0%}" + (f"; {microseconds(redis)}" if redis else "")
