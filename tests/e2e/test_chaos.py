"""Faults of every kind while publishers number their messages: nothing is lost, doubled or reordered, nobody is told of a loss
that there was not, and nobody is disconnected by what happens in Redis. tests/e2e/chaos/run does the same for as long as you like.

CHAOS_SEED repeats the choices of a run.
"""

import os

from chaos.run import play
from chaos.single import Single
from chaos.world import Size

SEED = int(os.environ.get("CHAOS_SEED", 5))
# Few enough that it fits beside another test on two cores.
SMALL = Size(watchers=6, restless=2, sdks=2, quiet=12, rate=8.0, longest_s=4.0)
# Each kind of damage once. How long a broker takes under sanitizers beside other tests is not judged, so nobody is called
# deaf before several times what that takes.
FAULTS = (
	"subscriber-links-killed", "redis-killed", "links-cut-inside-a-reply", "redis-frozen", "workers-killed", "half-open-links",
	"redis-flushed", "subscriber-links-overrun", "redis-paused", "workers-frozen", "functions-flushed", "black-hole",
	"redis-restarted-empty", "subscriber-links-late", "master-killed", "redis-frozen-and-a-worker-killed", "command-links-killed")
PATIENCE = 5.0


def test_a_single_redis_and_its_brokers_in_trouble_lose_nothing():
	print(f"CHAOS_SEED={SEED}")
	judge, targets = play(Single, SEED, SMALL, FAULTS, slack=PATIENCE)
	assert not judge.violations
	for figure, promised, measured, noisy in targets:
		assert noisy or measured == promised, figure
