"""The scenarios of connections and subscriptions: what it costs to have them, and to make them."""

import os
import re
import subprocess
from contextlib import ExitStack
from statistics import median

from bench import each
from servers import BUILD, LOAD_CPU, Fanfare, Floor, Second, on
from table import Row, grown, microseconds, ratio, size

IDLE = 18000
IDLE_PAIRS = 3
SMALL = 512  # bytes of a connection that only is there
LAYER = 128  # what TLS of it is ours
FEW_TIMES, MANY_TIMES = 2, 3
NO_SLOWER = 1.05  # as near as can be told


def idle(bench):
	"""Pings go on all the time, to each every 25 s, and are answered.

	Two targets of this scenario can lie below what the machine itself takes, and then that is the target. A ping is one send
	and one receive, and no other system call (strace, 25 s of 18,000 clients: 18,013 sends, 18,026 receives, 456 epoll_waits):
	what these cost the floor, ours may cost, too. And what OpenSSL keeps for a connection is its own: what the floor takes
	more over TLS than without, we may take beside what is ours."""
	def load(server):
		run = bench.load("idle", server, clients=IDLE, seconds=25)
		return run["memory"] / IDLE, run["idle_ns"] / run["idle_ms"] / 1e6

	def floor(tls):
		with Floor("pings", tls=tls) as server:
			return load(server)

	def fanfare(tls):
		with Fanfare({"client": {"ping_interval": "25s"}}, listen="tls:" if tls else None) as server:
			return load(Second(server) if tls else server)

	plain_floor = None
	for tls, target, ours in (False, SMALL, SMALL), (True, 12 * 1024, SMALL + LAYER):
		runs = [(floor(tls), fanfare(tls)) for _ in range(min(bench.pairs, IDLE_PAIRS))]
		(bare, bare_busy), (memory, busy) = (list(zip(*side)) for side in zip(*runs))
		plain_floor = plain_floor or median(bare)
		openssl = median(bare) - plain_floor
		what = f"{IDLE:,} subscribed connections{' over TLS' if tls else ''}"
		yield Row(
			"idle", f"{what}: user memory of each (PSS)", size(median(memory)), f"{size(openssl)} (OpenSSL alone)" if tls else "",
			median(memory), shown=f"{median(memory) / openssl:.2f}" if tls else "", target=target,
			target_text=f"≤ 12 KiB, or OpenSSL and {ours} B" if tls else f"≤ {ours} B", or_floor=openssl + ours)
		yield Row(
			"idle", f"{what}: processor time with pings every 25 s", f"{median(busy):.4f} cores", f"{median(bare_busy):.4f} cores",
			median(busy), shown=f"{ratio(busy, bare_busy):.2f}", target=0.01, target_text="≤ 0.01, or the floor",
			or_floor=median(busy) / ratio(busy, bare_busy))


def accept(bench):
	"""Each way in turn. The kernel, too, has more to look through, and less in its caches, where 10,000 others are connected: that is
	what the floor beside as many shows."""
	count, ways = bench.scaled(10000), {"alone": {}, "crowded": {"beside": 10000}}
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Floor(), Fanfare())]
		runs = [{way: [] for way in ways} for _ in servers]
		for _ in range(bench.pairs):
			for way, options in ways.items():
				for server, figures in zip(servers, runs):
					figures[way].append(bench.load("accept", server, clients=count, **options))
		floor, fanfare = ({way: each(figures[way], "cpu_ns", by="clients") for way in figures} for figures in runs)
		slower = [ratio(costs["crowded"], costs["alone"]) for costs in (floor, fanfare)]
		yield Row(
			"accept", "TCP, upgrade, connect, subscribe, close; 500 at a time", microseconds(median(fanfare["alone"])),
			microseconds(median(floor["alone"])), ratio(fanfare["alone"], floor["alone"]), target=2)
		yield Row(
			"accept", "the same with 10,000 idle connections beside", microseconds(median(fanfare["crowded"])),
			microseconds(median(floor["crowded"])), ratio(fanfare["crowded"], floor["crowded"]), target=2)
		yield Row(
			"accept", "how much slower these make it", f"× {slower[1]:.2f}", f"× {slower[0]:.2f}", slower[1] / slower[0],
			target=NO_SLOWER, target_text="no slower than the floor gets")


def processor_ns(pid):
	with open(f"/proc/{pid}/schedstat") as f:
		return int(f.read().split()[0])


RECOVERED = re.compile(
	r"recovered: +(\d+) of (\d+), all with everything (\d+) ms.*\n.* (\d+) lost, (\d+) doubled.*\n.* (\d+), (\d+) of them", re.MULTILINE)


def storm(bench):
	"""The successor of the worker that is lost does nothing else in its life: all it costs is the storm's."""
	config = {
		"client": {"recovery_max_publication_limit": 1000},
		"channel": {"namespaces": [{
			"name": "recovery", "history_size": 1000, "history_ttl": "10m", "force_recovery": True,
			"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}]}}
	for messages in 20, 1000:
		with Fanfare(config) as server, on(LOAD_CPU):
			[worker] = server.broker.worker_pids()
			redis_ns = processor_ns(server.apart[0])
			said = subprocess.run(
				[os.path.join(BUILD, "tests/bench/bench_recovery"), str(server.port), "10000", str(messages), server.redis_socket, str(worker)],
				stdout=subprocess.PIPE, text=True, timeout=600, check=False).stdout
			found = RECOVERED.search(said)
			if not found:
				raise SystemExit(f"bench_recovery says:\n{said}")
			clients, wanted, took_ms, lost, repeated, reads, of_publications = map(int, found.groups())
			[successor] = server.broker.worker_pids()
			spent, redis_ns = processor_ns(successor), processor_ns(server.apart[0]) - redis_ns
		bench.keep_account({"lost": lost + wanted - clients, "duplicated": repeated})
		yield Row(
			"storm", f"10,000 lose their worker and recover {messages:,} messages: processor time of each client; all have them after "
			f"{took_ms / 1000:.2f} s, Redis {redis_ns / 1e6:.0f} ms, {reads} reads of it, in {of_publications} steps",
			microseconds(spent / wanted))


def subscribe(bench):
	"""1,000 channels a client: first the same for all, so that it is our own cost, then each for itself, with Redis. What is
	counted of the first thousand is a few milliseconds, so that it is done more often."""
	def run(clients, channels):
		with Fanfare() as server:
			run = bench.load("idle", server, clients=clients, seats=1000, channels=channels or clients * 1000, seconds=0)
		return run["open_ns"] / clients / 1000, run["memory"] / clients / 1000

	for channels, what, each_with in (1000, "of 1,000 channels", "each"), (None, "of as many channels", "each, with its channel"):
		fewer = None
		for clients in 1, 100, 1000:
			times = bench.pairs * FEW_TIMES if clients == 1 else min(bench.pairs, MANY_TIMES)
			costs, memories = zip(*(run(clients, channels) for _ in range(times)))
			cost = median(costs)
			yield Row(
				"subscribe", f"{clients * 1000:,} subscriptions {what}, {size(median(memories))} {each_with}", microseconds(cost),
				f"{microseconds(fewer)} (fewer)" if fewer else "", **grown(cost, fewer))
			fewer = min(cost, fewer or cost)
