"""tests/e2e/chaos/run, once the broker is built: chaos for so many minutes, and the verdict."""

import argparse
import importlib
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lib import process  # noqa: E402

from chaos.faults import FAULTS  # noqa: E402
from chaos.judge import Judge  # noqa: E402
from chaos.report import print_report  # noqa: E402
from chaos.world import Size, World  # noqa: E402

TOPOLOGIES = {"single": "Single", "sentinel": "Sentinels", "cluster": "Cluster"}
DEAF_S = 5.0
TIMES_MAY_BE = 3.0  # so many times what is promised: machines are noisy


def bags(world, names, over):
	"""Every kind of fault once, in a random order, then all of them again."""
	while True:
		for name in world.rng.sample(names, len(names)):
			if over():
				return
			yield name


def play(topology, seed, size, names, over=None, slack=1.0):
	"""One run: the faults of that list, or bags of them until over() says so. Returns (judge, targets)."""
	world = World(topology, seed, size)
	try:
		names = [name for name in names if name in world.topology.faults()]
		for name in bags(world, names, over) if over else names:
			if not world.play(name):
				break
		world.finish()
		judge = Judge(world, DEAF_S * slack).judge()
		return judge, print_report(world, judge)
	finally:
		world.close()


def parse(arguments):
	parser = argparse.ArgumentParser(prog="tests/e2e/chaos/run")
	parser.add_argument("--minutes", type=float, default=30.0)
	parser.add_argument("--redis", choices=TOPOLOGIES, default="single")
	parser.add_argument("--seed", type=int, default=None)
	parser.add_argument("--faults", nargs="+", choices=FAULTS, metavar="FAULT", default=list(FAULTS), help=", ".join(FAULTS))
	return parser.parse_args(arguments)


def main():
	options = parse(sys.argv[1:])
	seed = random.randrange(1 << 30) if options.seed is None else options.seed
	print(f"chaos --redis {options.redis} --seed {seed} for {options.minutes} minutes", flush=True)
	process.adopt_orphans()
	end = time.monotonic() + options.minutes * 60
	topology = getattr(importlib.import_module(f"chaos.{options.redis}"), TOPOLOGIES[options.redis])
	judge, targets = play(topology, seed, Size(), options.faults, over=lambda: time.monotonic() > end)
	late = [figure for figure, goal, value, noisy in targets if noisy and value is not None and value > goal * TIMES_MAY_BE]
	for figure in late:
		print(f"TOO LATE OR TOO MUCH: {figure}")
	print(f"seed {seed}: " + ("failed" if judge.violations or late else "passed"))
	sys.exit(1 if judge.violations or late else 0)


if __name__ == "__main__":
	main()
