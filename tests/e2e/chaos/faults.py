"""The table of faults. Each is a function that is given the world, does its harm between world.begin() and world.end(), and leaves
everything as it was; the decorator says what is to be expected of it."""

import os
import signal
import time
from dataclasses import dataclass

from lib import process


@dataclass
class Fault:
	name: str
	act: object
	of: str  # what breaks: nothing, redis, link, worker, broker
	breaks: bool  # a link of a worker to Redis; then plain messages may be lost
	silent: bool  # the link says nothing any more, but is not closed
	late: bool  # the link says everything, some time later
	loses: bool  # what Redis had acknowledged
	excuse_s: float  # how long after its end a worker may take to notice


FAULTS = {}
# A link that is silently dead is noticed after the canary's interval and its timeout.
CANARY_S = 5.0


def fault(of, breaks=False, silent=False, late=False, loses=False, excuse_s=0.0):
	def enter(act):
		name = act.__name__.replace("_", "-")
		FAULTS[name] = Fault(name, act, of, breaks, silent, late, loses, excuse_s)
		return act
	return enter


@fault("nothing")
def calm(world):
	"""What is seen here is not due to any fault."""
	world.begin()
	world.end()
	world.quiet()
	world.sleep(2)


# --- Redis ---

@fault("redis", silent=True)
def redis_frozen(world):
	world.quiet()
	world.topology.freeze()
	world.begin()
	world.quiet_later()
	world.sleep(world.seconds(3, 15))
	world.topology.thaw()
	world.end()


@fault("redis", silent=True)
def redis_paused(world):
	"""Sentinels have a master replaced that does not take what they say in it, and do so again and again while all are paused."""
	mode = world.rng.choice(["ALL", "WRITE"])
	world.detail(mode)
	world.quiet()
	seconds = world.seconds(3, 10)
	world.topology.command("CLIENT", "PAUSE", int(seconds * 1000), mode)
	world.begin()
	world.quiet_later()
	world.sleep(seconds)
	world.end()
	world.topology.settle()


@fault("redis", breaks=True)
def redis_killed(world):
	world.quiet()
	world.topology.kill()
	world.begin()
	world.quiet_later()
	world.sleep(world.rng.choice([0, world.seconds(0.5, 6)]))
	world.topology.start()
	world.end()


@fault("redis", breaks=True, loses=True)
def redis_restarted_empty(world):
	world.quiet()
	world.topology.kill()
	world.begin()
	world.topology.lose_everything()
	world.sleep(world.seconds(0, 2))
	world.topology.start()
	world.end()
	world.fill_again()


@fault("redis", loses=True)
def redis_flushed(world):
	world.quiet()
	world.keep_streams()
	world.begin()
	world.topology.command("FLUSHALL")
	world.end()
	world.fill_again()
	world.quiet()


@fault("redis")
def functions_flushed(world):
	world.detail(what := world.rng.choice(["FUNCTION", "SCRIPT"]))
	world.begin()
	world.topology.command(what, "FLUSH")
	world.end()
	world.quiet_later()


@fault("redis")
def clock_of_redis_set(world):
	"""By less than what expires: what is too old may go."""
	world.detail(f"{(jump := world.rng.choice([-60, -5, 5, 60]))} s")
	world.quiet()
	world.begin()
	world.redis_clock.jump(jump)
	world.end()
	world.quiet()
	world.sleep(3)
	world.redis_clock.jump(0)


# --- several Redis servers ---

# Of topologies in which one takes over from another.
REPLICATED = {
	"redis-master-killed", "redis-master-frozen", "redis-master-replaced", "redis-replica-killed", "redis-replica-frozen",
	"sentinel-killed", "slots-moved"}


@fault("redis", breaks=True)
def redis_master_killed(world):
	master = world.topology.a_master(world.rng)
	world.quiet()
	master.kill()
	world.begin()
	world.quiet_later()
	world.topology.wait_replaced(master)
	world.end()
	world.sleep(world.seconds(0, 3))
	world.topology.start_again(master)


@fault("redis", breaks=True, silent=True)
def redis_master_frozen(world):
	"""Until it has a successor, and some: it does not know of it when it goes on."""
	master = world.topology.a_master(world.rng)
	world.quiet()
	master.freeze()
	world.begin()
	world.quiet_later()
	world.topology.wait_replaced(master)
	world.end()
	world.sleep(world.seconds(0, 5))
	world.topology.thaw(master)


@fault("redis", breaks=True)
def redis_master_replaced(world):
	"""In order, by command."""
	world.quiet()
	world.begin()
	world.topology.replace(world.rng)
	world.end()
	world.topology.settle()


def _go_without(world, take, give_back, *seconds):
	"""Takes for a while what is no master."""
	take()
	world.begin()
	world.quiet()
	world.sleep(world.seconds(*seconds))
	world.end()
	give_back()


@fault("redis", breaks=True)
def redis_replica_killed(world):
	replica = world.topology.a_replica(world.rng)
	_go_without(world, replica.kill, lambda: world.topology.start_again(replica), 0, 3)


@fault("redis")
def redis_replica_frozen(world):
	replica = world.topology.a_replica(world.rng)
	_go_without(world, replica.freeze, lambda: world.topology.thaw(replica), 1, 5)


@fault("redis", breaks=True)
def sentinel_killed(world):
	sentinel = world.topology.a_sentinel(world.rng)
	_go_without(world, sentinel.kill, lambda: world.topology.start_again(sentinel), 0, 3)


@fault("redis", breaks=True)
def slots_moved(world):
	world.quiet()
	world.begin()
	world.topology.move_slots(world.some_channels(), world.rng)
	world.end()
	world.quiet()


# --- the links ---

def kill_clients(world, kinds):
	for _ in range(world.rng.choice([1, 1, 3])):
		world.quiet()
		for kind in kinds:
			world.topology.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
		world.begin()
		world.burst(count=300, size=10)  # of which some come twice: what is read back, and what comes meanwhile
		world.quiet()
		world.end()
		world.sleep(world.seconds(0, 0.5))


@fault("link", breaks=True)
def subscriber_links_killed(world):
	kill_clients(world, ["pubsub"])


@fault("link", breaks=True)
def command_links_killed(world):
	kill_clients(world, ["normal"])


@fault("link", breaks=True)
def all_links_killed(world):
	kill_clients(world, world.rng.sample(["normal", "pubsub"], 2))


@fault("link", breaks=True)
def subscriber_links_overrun(world):
	"""Single publications are larger than what Redis keeps for a subscriber that does not read."""
	world.topology.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 65536 0 0")
	world.quiet()
	world.begin()
	world.burst(count=world.rng.randrange(3, 10), size=100_000)
	world.quiet()
	world.topology.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 33554432 8388608 60")
	world.end()


@fault("link", breaks=True)
def links_cut(world):
	world.detail(kind := world.rng.choice([None, "subs", "calls"]))
	for _ in range(world.rng.choice([1, 1, 3])):
		world.quiet()
		for proxy in world.some_proxies():
			proxy.cut(kind, reset=world.rng.random() < 0.5)
		world.begin()
		world.quiet()
		world.end()
		world.sleep(world.seconds(0, 0.5))


@fault("link", breaks=True)
def links_cut_inside_a_reply(world):
	world.detail(kind := world.rng.choice(["subs", "calls"]))
	world.begin()
	for _ in range(world.rng.choice([1, 2, 4])):
		for proxy in world.some_proxies():
			proxy.cut_inside(kind, after=world.rng.randrange(1, 150))
		world.quiet()
		world.burst(count=3, size=world.rng.choice([10, 5000]))
		world.sleep(0.3)
	for proxy in world.topology.proxies:
		proxy.cut_inside(kind, after=None)
	world.end()
	world.quiet()


@fault("link", breaks=True, silent=True)
def black_hole(world):
	"""Nothing passes for a while, new connections included; then the old ones go on, or are half-open."""
	world.detail(after := world.rng.choice(["then on", "then half-open"]))
	world.quiet()
	proxies = world.some_proxies()
	for proxy in proxies:
		proxy.stall()
	world.begin()
	world.quiet()
	world.sleep(world.seconds(3, 15))
	for proxy in proxies:
		if after == "then half-open":
			proxy.forget()
		proxy.flow()
	world.end()


@fault("link", breaks=True, silent=True, excuse_s=CANARY_S)
def half_open_links(world):
	"""They never say anything again, while Redis takes new ones at once; so what counts is how fast a worker notices."""
	world.detail(kind := world.rng.choice([None, "subs", "calls"]))
	world.quiet()
	for proxy in world.some_proxies():
		proxy.forget(kind)
	world.begin()
	world.quiet()
	world.end()
	process.wait_until(lambda: not any(proxy.forgotten() for proxy in world.topology.proxies), "it is noticed", timeout=40)


@fault("link", late=True)
def subscriber_links_late(world):
	"""What Redis says on them comes later and later, though it never stops. So others are made beside them, and the marker by which
	they change places comes by the new ones first, and then by the old ones."""
	for at_marker in None, 0.5:
		world.quiet()
		for proxy in world.topology.proxies:
			proxy.let_lag("subs", at_marker)
		world.begin()
		process.wait_until(
			lambda: all(proxy.handed_over() for proxy in world.topology.proxies), "all connections that lag are replaced", timeout=30)
		for proxy in world.topology.proxies:
			proxy.let_lag(None)
	world.end()
	world.quiet()


# --- processes of the broker ---

def signal_all(pids, sig):
	for pid in pids:
		try:
			os.kill(pid, sig)
		except ProcessLookupError:
			pass


@fault("worker")
def workers_killed(world):
	world.quiet()
	signal_all(world.some_workers(), signal.SIGKILL)
	world.begin()
	world.quiet()
	world.end()


@fault("worker")
def workers_frozen(world):
	pids = world.some_workers()
	world.quiet()
	signal_all(pids, signal.SIGSTOP)
	world.begin()
	world.quiet()
	world.sleep(world.seconds(2, 8))
	signal_all(pids, signal.SIGCONT)
	world.end()


@fault("broker")
def master_killed(world):
	"""Its workers leave in order; whoever supervises the broker starts it again."""
	broker = world.rng.choice(world.brokers)
	family = process.descendants(broker.pid)
	world.quiet()
	broker.process.kill()
	world.begin()
	broker.process.wait()
	world.quiet()
	process.wait_until(lambda: not any(map(process.alive, family)), "the workers leave", timeout=30)
	broker.start(wait=False)
	world.end()


@fault("broker")
def master_frozen(world):
	broker = world.rng.choice(world.brokers)
	os.kill(broker.pid, signal.SIGSTOP)
	world.begin()
	world.quiet()
	world.sleep(world.seconds(1, 5))
	os.kill(broker.pid, signal.SIGCONT)
	world.end()


@fault("broker")
def broker_restarted(world):
	broker = world.rng.choice(world.brokers)
	world.quiet()
	world.begin()
	broker.stop()
	world.quiet()
	broker.start(wait=False)
	world.end()


@fault("broker")
def clock_of_brokers_set(world):
	world.detail(f"{(jump := world.rng.choice([-86400, -60, 60, 86400]))} s")
	world.quiet()
	world.begin()
	world.broker_clock.jump(jump)
	world.end()
	world.quiet()
	world.sleep(3)
	world.broker_clock.jump(0)


# --- two at once ---

@fault("broker", breaks=True, silent=True)
def redis_frozen_and_a_worker_killed(world):
	world.topology.freeze()
	world.begin()
	time.sleep(world.seconds(0, 1))
	signal_all(world.some_workers(), signal.SIGKILL)
	world.quiet_later()
	world.sleep(world.seconds(1, 8))
	world.topology.thaw()
	world.end()


@fault("broker", breaks=True)
def redis_and_a_worker_killed(world):
	world.quiet()
	world.topology.kill()
	world.begin()
	signal_all(world.some_workers(), signal.SIGKILL)
	world.quiet_later()
	world.sleep(world.seconds(0, 3))
	world.topology.start()
	world.end()
