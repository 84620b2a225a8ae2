"""The scenarios of messages: what a delivery costs."""

from contextlib import ExitStack
from statistics import median

from bench import beside, cost, each
from servers import Fanfare, Floor, Second
from table import Row, grown, microseconds, ratio

DISTURBED = 4


def fanout(bench):
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Floor(), Fanfare())]
		for clients in 1000, 10000:
			for size in 128, 1024:
				messages = bench.scaled(400000 // clients)
				floor, fanfare = bench.compare(
					servers, clients=clients, size=size, messages=messages, warmup=max(2, messages // 10), rate=20000 // clients, wait=1)
				yield Row(
					"fan-out", f"{clients:,} subscribers, {size} B", microseconds(median(cost(fanfare))),
					microseconds(median(cost(floor))), ratio(cost(fanfare), cost(floor)),
					target=1.10, beside=beside(fanfare))


def burst(bench):
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Floor("batched"), Fanfare())]
		floor, fanfare = bench.compare(servers, clients=1000, messages=bench.scaled(4000), warmup=200, burst=50, rate=20, wait=1)
		yield Row(
			"burst", "50 back to back, 1,000 subscribers, 128 B", microseconds(median(cost(fanfare))),
			f"{microseconds(median(cost(floor)))} (batched)", ratio(cost(fanfare), cost(floor)),
			target=3, beside=beside(fanfare))


def many_channels(bench):
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Floor(), Fanfare())]
		floor, fanfare = bench.compare(
			servers, clients=10000, channels=10000, messages=bench.scaled(100000), warmup=10000, rate=20000)
		yield Row(
			"many channels", "10,000 with one subscriber each, 20,000 msg/s",
			microseconds(median(cost(fanfare))), microseconds(median(cost(floor))), ratio(cost(fanfare), cost(floor)),
			target=2, beside=beside(fanfare))


def dashboards(bench):
	"""A send is counted where it arrives: two that a client finds in one read are one."""
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Floor(), Floor("batched"), Fanfare())]
		floor, batched, fanfare = bench.compare(
			servers, clients=2000, seats=20, channels=500, zipf=1, messages=bench.scaled(1200), warmup=80, burst=4, rate=25)
		ours, theirs = each(fanfare, "cpu_ns", by="reads"), each(batched, "cpu_ns", by="reads")
		yield Row(
			"mixed dashboards", "2,000 clients × 20 of 500 channels, Zipf, 4 messages back to back: a send",
			microseconds(median(ours)), microseconds(median(cost(floor))),
			ratio(ours, cost(floor)),
			target=1.15, beside=beside(fanfare))
		yield Row(
			"mixed dashboards", "a send, beside the batched floor's", microseconds(median(ours)),
			f"{microseconds(median(theirs))} (batched)", ratio(ours, theirs))
		yield Row(
			"mixed dashboards", "a delivery", microseconds(median(cost(fanfare))), f"{microseconds(median(cost(batched)))} (batched)",
			ratio(cost(fanfare), cost(batched)))
		sends = median(each(fanfare, "reads"))
		yield Row(
			"mixed dashboards", "sends for each delivery", f"{sends:.2f}", f"{median(each(batched, 'reads')):.2f} (batched)",
			sends, shown="", target=0.75)


def history(bench):
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Fanfare(), Fanfare(history=True))]
		messages = bench.scaled(400)
		plain, kept = bench.compare(servers, clients=1000, messages=messages, warmup=messages // 10, rate=20, wait=1)
		yield Row(
			"history", "fan-out by FCALL, offsets, 1,000 subscribers, 128 B", microseconds(median(cost(kept))),
			f"{microseconds(median(cost(plain)))} (plain)", ratio(cost(kept), cost(plain)),
			target=1.1, beside=beside(kept))


def quiet_pairs(bench, servers, is_quiet, **options):
	"""As bench.compare() of two, but only with the pairs in whose first run the machine was ours. Tries three times as often."""
	pairs, quiet = [], []
	while len(quiet) < bench.pairs and len(pairs) < 3 * bench.pairs:
		pairs.append([bench.load("publish", server, **options) for server in servers])
		if is_quiet(pairs[-1][0]):
			quiet.append(pairs[-1])
	return len(quiet) == bench.pairs, zip(*(quiet or pairs))


def latency(bench):
	"""Publish to last subscriber, at half of what the floor could do, by what a delivery costs it and the generator. Where even the
	floor's median is many times what its sends take, others had the machine: that pair is told nothing by."""
	clients = 100
	with ExitStack() as stack:
		servers = [stack.enter_context(server) for server in (Floor(), Fanfare())]
		trial = bench.load("publish", servers[0], clients=clients, messages=1000, warmup=100, rate=10000, wait=1)
		slower = max(trial["cpu_ns"], trial["load_ns"]) / trial["deliveries"]
		rate = int(1e9 / slower / clients / 2)
		quiet, (floor, fanfare) = quiet_pairs(
			bench, servers, lambda run: run["p50_us"] * 1000 < DISTURBED * slower * clients, clients=clients,
			messages=bench.scaled(rate * 8), warmup=rate // 2, rate=rate)
		for name, label, target in ("p50_us", "p50", None), ("p99_us", "p99", 1.5), ("p999_us", "p99.9", None):
			ours, theirs = ([run[name] * 1000 for run in runs] for runs in (fanfare, floor))
			yield Row(
				"latency", f"{label} to the last of {clients} subscribers, {rate} msg/s", microseconds(median(ours)),
				microseconds(median(theirs)), ratio(ours, theirs),
				target=target if quiet else None,
				target_text=None if quiet else "(disturbed)", beside=beside(fanfare))


def second_address(scenario, listen, **options):
	def measure(bench):
		with Fanfare({"websocket": {"compression": False}}, listen=listen) as server:
			other = Second(server)
			messages = bench.scaled(400)
			options_of_both = dict(clients=1000, size=1024, messages=messages, warmup=messages // 10, rate=20, wait=1)
			runs = [(bench.load("publish", server, **options_of_both), bench.load("publish", other, **options_of_both, **options))
				for _ in range(bench.pairs)]
			plain, changed = zip(*runs)
			size = median(each(changed, "bytes"))
			yield Row(
				scenario, f"fan-out, 1,000 subscribers, 1024 B, {size:,.0f} B each on the wire",
				microseconds(median(cost(changed))), f"{microseconds(median(cost(plain)))} (plain)", ratio(cost(changed), cost(plain)),
				beside=beside(changed))
	return measure


def growth(bench):
	"""Not only the whole but our own part of it: the kernel's is nearly all. It may grow by what the caches hold no more, a
	subscriber's lines, though not with the number of subscribers."""
	def own(server, clients):
		messages = bench.scaled(1000000) // clients
		return bench.load("publish", server, clients=clients, messages=messages, warmup=messages // 20, rate=100000, wait=1)

	with Fanfare() as server:
		fewer = None
		for clients in 100, 1000, 10000:
			runs = [own(server, clients) for _ in range(bench.pairs)]
			ns = median(each(runs, "user_ns"))
			yield Row(
				"growth", f"user time of a delivery, {clients:,} subscribers", f"{ns:,.0f} ns", f"{fewer:,.0f} ns (fewer)" if fewer else "",
				**grown(ns, fewer), beside=beside(runs))
			fewer = min(ns, fewer or ns)
