"""The table: what each kind of fault did, and the figures that were promised beside those that were measured."""

import bisect
import statistics
from collections import defaultdict

from .world import BUSY, PLAIN
from .ledger import Record

COLUMNS = (
	"fault", "rounds", "violations", "disconnected", "resyncs", "told", "quiet s", "live s", "no s", "yes s", "plain lost",
	"refused", "memory", "cpu")

# After which nobody may wait for a message any more, whatever broke.
QUIET_S = 5.0

# So many messages that were sent later may overtake one whose publisher hangs on a server that is frozen.
OVERTAKEN = 10

# After which everybody is live again, whatever broke of Redis or a link.
LIVE_S = 1.5

# Faults that take away the Redis that a broker uses.
KILLED = "redis-killed", "redis-restarted-empty", "redis-master-killed"


class Figures:
	"""Per kind of fault the worst that was measured; None: there was nothing to measure."""

	def __init__(self, world, judge):
		self.world, self.judge = world, judge
		self.rounds = defaultdict(list)
		for r in world.rounds:
			self.rounds[r.fault.name].append(r)
		# By faults that have an end; a link that stays half-open has none.
		self.broken = [r for r in world.rounds if r.fault.of in ("redis", "link") and not r.fault.excuse_s]
		self.receipts = self._busy_receipts()
		self.taken = self._busy_taken()

	def _busy_receipts(self):
		"""For each steady subscriber and busy channel: both names, when what came was sent, and when it came, in order."""
		found = []
		for record in self.world.records:
			for channel in {*BUSY, *PLAIN} & record.events.keys() if record.steady else ():
				pairs = [
					(self.world.ledger.begun.get(event[3], 0.0), event[0]) for event in record.events[channel]
					if event[1] == Record.PUBLICATION]
				pairs.sort()
				found.append((record.name, channel, [sent for sent, _ in pairs], [came for _, came in pairs]))
		return found

	def _busy_taken(self):
		"""For each busy channel: when its messages were sent, in order, and when Redis had taken them."""
		ledger, found = self.world.ledger, defaultdict(list)
		for key, (when, *_) in ledger.acked.items():
			found[ledger.channel[key]].append((ledger.begun[key], when))
		return {channel: sorted(found[channel]) for channel in [*BUSY, *PLAIN]}

	def first_taken(self, channel, moment):
		"""When Redis had taken the first message to it that was sent after that moment: publishers are thrown back by a fault, too."""
		times = self.taken[channel]
		at = bisect.bisect_left(times, (moment,))
		return min((taken for _, taken in times[at:at + OVERTAKEN]), default=moment)

	def live_receipts(self, r):
		"""(how long after the end of the fault, and after Redis had taken the first message that was sent after it, somebody got
		something that was sent after it; the channel, and who it was)"""
		for name, channel, sent, came in self.receipts:
			at = bisect.bisect_left(sent, r.end)
			first_came = min(came[at:at + OVERTAKEN], default=float("inf"))
			yield first_came - self.first_taken(channel, r.end), channel, name

	def live_s(self, r):
		return max((late for late, _, _ in self.live_receipts(r)), default=0.0)

	def quiet_receipts(self, r):
		"""Of messages after which their channel was silent: (how long after the end of the fault, or after Redis had taken it, key,
		who got it)."""
		for _, key in r.quiet:
			taken = max(r.end, self.world.ledger.acked_at(key) or 0.0)
			for name, when in self.judge.received[key].items():
				yield max(0.0, when - taken), key, name

	def quiet_s(self, r):
		return max((late for late, _, _ in self.quiet_receipts(r)), default=None)

	def no_s(self, r):
		"""How long after its beginning the fault was told by /health/ready; None: never."""
		late = []
		for answers in self.world.readiness.answers.values():
			no = [answered - r.begin for _, answered, status in answers if r.begin < answered < r.over and status == 503]
			late += no[:1]
		return max(late, default=None)

	def surely_no_s(self, r):
		return float("inf") if self.no_s(r) is None else self.no_s(r)

	def yes_s(self, r):
		"""How long after its end it was told the last time."""
		late = [
			answered - r.end for answers in self.world.readiness.answers.values() for asked, answered, status in answers
			if r.begin < answered < r.over and status == 503]
		return max(0.0, max(late)) if late else None

	def cost(self, r):
		"""(worst memory over its median, cores in the worst second)"""
		memory, cores = [], []
		for samples in self.world.cost.samples:
			usual = statistics.median(m for _, m, _ in samples)
			during = [(m / usual, c) for t, m, c in samples if r.start < t <= r.over + 1]
			memory += [m for m, _ in during]
			cores += [c for _, c in during]
		return max(memory, default=None), max(cores, default=None)

	def count(self, name, times):
		return sum(self.judge.round_at(when).fault.name == name for when in times)

	def worst(self, measure, rounds):
		return max((value for value in map(measure, rounds) if value is not None), default=None)

	def row(self, name):
		rounds, judge = self.rounds[name], self.judge
		return (
			name, len(rounds), self.count(name, [v.time for v in judge.violations]), self.count(name, judge.disconnects),
			self.count(name, judge.resyncs), self.count(name, judge.told),
			None if rounds[0].fault.loses else self.worst(self.quiet_s, rounds), self.worst(self.live_s, rounds),
			self.worst(self.no_s, rounds), self.worst(self.yes_s, rounds), sum(r.fault.name == name for r, _ in judge.plain_lost),
			sum(r.refused for r in rounds), self.worst(lambda r: self.cost(r)[0], rounds),
			self.worst(lambda r: self.cost(r)[1], rounds))

	def targets(self):
		"""(figure, what is promised, what was measured, whether a machine's noise can spoil it)"""
		rounds, judge = self.world.rounds, self.judge
		broken = self.broken
		half_open = [r for r in rounds if r.fault.excuse_s]
		closed = [r for r in broken if r.fault.breaks and not r.fault.silent and not r.fault.loses]
		silent = [r for r in broken if r.fault.silent]
		long_silent = [r for r in silent if r.end - r.begin > 6]
		killed = [r for r in broken if r.fault.name in KILLED and r.end - r.begin > 2]
		yield "violations", 0, len(judge.violations), False
		yield "clients disconnected by a fault of Redis or a link", 0, len(judge.disconnects), False
		yield "resynchronisations within the history kept", 0, len(judge.resyncs), False
		yield "a message missed by a quiet channel, after a closed link", 2.0, self.worst(self.quiet_s, closed), True
		yield "... after the end of a half-open link or frozen Redis", QUIET_S, self.worst(self.quiet_s, silent), True
		yield "... of a link that stays half-open, after it broke", QUIET_S, self.worst(self.quiet_s, half_open), True
		yield "everybody live again", LIVE_S, self.worst(self.live_s, broken), True
		yield "/health/ready says no: black hole or frozen Redis", 6.0, self.worst(self.surely_no_s, long_silent), True
		yield "... killed Redis", 2.0, self.worst(self.surely_no_s, killed), True
		yield "... yes again", 3.0, self.worst(self.yes_s, [*silent, *killed]), True
		yield "plain messages lost where no link broke", 0, sum(not excused for _, excused in judge.plain_lost), False
		yield "refused connects when a worker is killed", 0, sum(r.refused for r in rounds if r.fault.of == "worker"), False
		yield "memory, worst over median", 2.0, self.worst(lambda r: self.cost(r)[0], rounds), True
		yield "CPU in the worst second, cores", 0.3, self.worst(lambda r: self.cost(r)[1], rounds), True


def text(value):
	if value is None:
		return "-"
	return f"{value:.1f}" if isinstance(value, float) else str(value)


def print_rows(rows):
	rows = [[text(cell) for cell in row] for row in rows]
	widths = [max(map(len, column)) for column in zip(*rows)]
	for row in rows:
		print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))))


def print_violations(judge, most=5):
	"""So many of each kind in each kind of fault."""
	kinds = defaultdict(list)
	for violation in sorted(judge.violations, key=lambda v: v.time):
		kinds[judge.round_at(violation.time).fault.name, violation.what].append(violation)
	for (fault, what), violations in kinds.items():
		for violation in violations[:most]:
			r = judge.round_at(violation.time)
			print(f"VIOLATION in {fault} {r.detail} {violation.time - r.begin:+.2f} s: {what}: {violation.text}")
		if len(violations) > most:
			print(f"... and {len(violations) - most} more of this kind")


def latest(rounds, receipts, promised):
	"""Of what is later than that: (round, and what receipts() says of it), the worst first."""
	late = [(r, *receipt) for r in rounds for receipt in receipts(r) if receipt[0] > promised]
	return sorted(late, key=lambda found: -found[1])[:5]


def print_late(figures):
	"""Which quiet messages were the latest, where one was later than is promised for any fault; and likewise who was live again last."""
	rounds = figures.world.rounds
	for r, seconds, key, name in latest([r for r in rounds if not r.fault.loses], figures.quiet_receipts, QUIET_S):
		print(f"LATE in {r.fault.name} {r.detail}: {name} got {key} after {seconds:.1f} s; the round was over after {r.over - r.end:.1f} s")
	for r, seconds, channel, name in latest(figures.broken, figures.live_receipts, LIVE_S):
		print(f"LATE in {r.fault.name} {r.detail}, round {rounds.index(r) + 1}: {name} is live again in {channel} after {seconds:.1f} s")


def print_report(world, judge):
	"""Returns the figures of targets(), measured."""
	figures = Figures(world, judge)
	deliveries = sum(len(came) for came in judge.received.values())
	stalled = sum(end - begin for begin, end in world.watchers.stalls)
	print(
		f"\n{len(world.ledger.begun)} messages, {len(world.ledger.acked)} acknowledged, {deliveries} deliveries to"
		f" {len(world.records)} subscribers; this machine stood still for {stalled:.1f} s\n")
	print_rows([COLUMNS, *(figures.row(name) for name in figures.rounds)])
	print()
	targets = list(figures.targets())
	print_rows([("figure", "promised", "measured", ""), *(
		(figure, goal, value, "MISSED" if value is not None and value > goal else "") for figure, goal, value, _ in targets)])
	print_violations(judge)
	print_late(figures)
	return targets
