"""Afterwards: what each subscriber got, compared with what was published and with what Redis has.

On a channel with history: from the first position of a subscriber to the end, every offset once and in order, or an explicit
signal of loss, and that only where Redis has lost what it had acknowledged. On a plain channel: in order, none twice, and none
lost unless a link of a broker to Redis broke, or the subscriber was away.
"""

import bisect
import json
from collections import Counter, defaultdict
from dataclasses import dataclass

from .ledger import Record

QUIET_S = 3.0  # in calm, after which what a channel missed that is quiet is there, when the busy ones are live again
PRESENCE_S = 3.0  # in calm, after which who came is there and who left is gone; twice that where a failover has no clear end
PLAIN_MARGIN_S = 1.0  # what is sent so shortly before a link breaks may be in it
INSUFFICIENT = 2500
INSUFFICIENT_DISCONNECT = 3010


@dataclass
class Violation:
	time: float
	what: str
	text: str


class Judge:
	def __init__(self, world, deaf_s):
		self.world, self.ledger, self.rounds = world, world.ledger, world.rounds
		self.deaf_s = deaf_s
		self.violations = []
		self.told = []  # times of justified signals of loss
		self.resyncs = []  # times of those that were not
		self.disconnects = []  # times, by the broker
		self.plain_lost = []  # (round, excused)
		self.received = defaultdict(dict)  # key: {record: time}
		self.truth = defaultdict(dict)  # channel: {(epoch, offset): key}, what Redis has in the end first of all, or had before it lost all
		self.kept = {}  # as truth, of what Redis has or had alone
		self.contradictions = defaultdict(set)  # channel: {(epoch, offset)} that were something else once
		self.outages = self._outages()
		failover = world.topology.loses_on_failover
		self.lossy = [r for r in self.rounds if r.fault.loses or (failover and r.fault.of == "redis")]

	def judge(self):
		self._read_truth()
		if self.world.topology.loses_on_failover:
			self._walk_all()  # for the contradictions alone, which all must be known before signals are judged
			self.violations, self.told, self.resyncs = [], [], []
		self._walk_all()
		for record in self.world.records:
			for channel in record.events:
				self._walk_lateness(record, channel)
		self._check_quiet()
		self._check_presence()
		self._check_epochs()
		self._check_once()
		self._check_plain()
		self._check_disconnects()
		self._check_live()
		return self

	def violate(self, when, what, text):
		self.violations.append(Violation(when, what, text))

	def round_at(self, when):
		"""The round to which that moment belongs."""
		starts = [r.start for r in self.rounds]
		return self.rounds[max(bisect.bisect_right(starts, when) - 1, 0)]

	# --- outages ---

	def _outages(self):
		found = [(r.begin - 0.1, r.end + r.fault.excuse_s) for r in self.rounds if r.fault.of != "nothing"]
		merged = []
		for begin, end in sorted(found + self.world.watchers.stalls):
			if merged and begin <= merged[-1][1]:
				merged[-1][1] = max(merged[-1][1], end)
			else:
				merged.append([begin, end])
		return merged

	def unexplained(self, begin, end):
		"""How much of the time from begin to end is in no outage."""
		left = end - begin
		for first, last in self.outages:
			left -= max(0.0, min(end, last) - max(begin, first))
		return left

	# --- the truth ---

	def _read_truth(self):
		for streams in *self.world.past, self.world.streams:
			for channel, (epoch, _, entries) in streams.items():
				for offset, payload in entries.items():
					self.truth[channel][epoch, offset] = json.loads(payload)["data"]["key"]
		self.kept = {channel: dict(positions) for channel, positions in self.truth.items()}
		for key, (when, offset, epoch) in self.ledger.acked.items():
			if offset:
				self.agree(when, self.ledger.channel[key], epoch, offset, key, "Redis acknowledged")

	def agree(self, when, channel, epoch, offset, key, who):
		"""All that is known of a position must be the same; False where Redis lost in a failover what was there."""
		there = self.truth[channel].setdefault((epoch, offset), key)
		if there == key:
			return True
		if self.world.topology.loses_on_failover:
			self.contradictions[channel].add((epoch, offset))
			return False
		self.violate(when, "contradiction", f"{who} {key} as {channel} {epoch} {offset}, which is {there}")
		return True

	# --- channels with history ---

	def _walk_all(self):
		for record in self.world.records:
			for channel in record.events:
				self._walk(record, channel)

	def _walk(self, record, channel):
		kept = channel in self.world.streams
		walk = _KeptWalk(self, record, channel) if kept else _PlainWalk(self, record, channel)
		for event in record.events[channel]:
			walk.take(*event)
		walk.end()

	def _check_epochs(self):
		for channel, positions in self.truth.items():
			epochs = {epoch for epoch, _ in positions}
			if len(epochs) > 1 + len(self.lossy):
				self.violate(
					self.world.ended, "epoch", f"{channel} had {len(epochs)} epochs, though Redis lost data {len(self.lossy)} times")

	def _check_once(self):
		"""What a failover has lost is published again, elsewhere: there, only what Redis has kept counts."""
		for channel, positions in (self.kept if self.world.topology.loses_on_failover else self.truth).items():
			count = Counter((epoch, key) for (epoch, _), key in positions.items())
			for (epoch, key), times in count.items():
				if times > 1:
					self.violate(self.ledger.begun.get(key, 0), "doubled", f"{key} was published {times} times in {channel} {epoch}")

	# --- deaf ---

	def _walk_lateness(self, record, channel):
		subscribed = away = None
		for when, kind, *rest in record.events[channel]:
			if kind == Record.SUBSCRIBED:
				if away is not None and self.unexplained(away, when) > self.deaf_s:
					self.violate(away, "deaf", f"{record.name} {channel}: subscribed again after {when - away:.1f} s")
				subscribed, away = when, None
			elif kind in (Record.DOWN, Record.LOST):
				away = when if away is None else away
			else:
				key = rest[1]
				self.received[key][record.name] = when
				sent = self.ledger.acked_at(key)
				if sent is None or when - sent < self.deaf_s:
					continue
				if self.unexplained(max(sent, subscribed), when) > self.deaf_s:
					self.violate(sent, "deaf", f"{record.name} {channel}: {key} came after {when - sent:.1f} s")

	def _check_quiet(self):
		"""However slow this machine is: who is live again in busy channels has what he missed in the others, too."""
		subscribed = {record.name: self._subscribed(record) for record in self.world.records}
		for r in self.rounds:
			for channel, key in () if r.fault.loses else r.quiet:
				for name, when in self.received[key].items():
					since = max(r.over, self.ledger.acked_at(key) or when, *(s for s in subscribed[name][channel] if s < when))
					if self.unexplained(since, when) > QUIET_S:
						self.violate(since, "quiet", f"{name} {channel}: {key} came {when - since:.1f} s after all others were live again")

	def _subscribed(self, record):
		return {channel: [0.0, *(when for when, kind, *_ in events if kind == Record.SUBSCRIBED)]
			for channel, events in record.events.items()}

	# --- presence ---

	def _check_presence(self):
		limit = PRESENCE_S * (2 if self.world.topology.loses_on_failover else 1)
		samples = [sample for sample in self.world.presence.samples if sample[0] < self.world.ended]  # those go on meanwhile
		for watcher in self.world.watchers.watchers:
			for client, begin, end in watcher.stays:
				self._check_stay(samples, limit, client, begin, self.world.ended if end is None else end)

	def _check_stay(self, samples, limit, client, begin, end):
		missed_since = begin
		for asked, answered, there in samples:
			if client in there and asked > end and self.unexplained(end, asked) > limit:
				return self.violate(end, "presence", f"{client} is there {asked - end:.1f} s after it left")
			if client in there:
				missed_since = answered
			elif asked > missed_since and answered < end and self.unexplained(missed_since, asked) > limit:
				return self.violate(missed_since, "presence", f"{client} is in the room, and not there for {asked - missed_since:.1f} s")

	# --- plain channels ---

	def may_be_behind(self, when):
		"""Who comes back is at another worker, and that one may bring late what the first one brought in time: its link was silent or
		late, or it was frozen itself. Only a history makes up for that."""
		return any(
			(r.fault.breaks or r.fault.silent or r.fault.late or r.fault.of in ("worker", "broker")) and r.begin - PLAIN_MARGIN_S < when < r.over
			for r in self.rounds) or any(begin < when < end + PLAIN_MARGIN_S for begin, end in self.world.watchers.stalls)

	def _excused(self, begun, acked):
		"""A link broke while the message was on its way, or had broken and not everybody was live again."""
		return any(
			(r.fault.breaks or r.replaced) and begun < r.over and acked > r.begin - PLAIN_MARGIN_S for r in self._rounds_around(begun, acked))

	def _rounds_around(self, begin, end):
		first = self.round_at(begin)
		index = self.rounds.index(first)
		return [r for r in self.rounds[index:] if r.start <= end + PLAIN_MARGIN_S]

	def _check_plain(self):
		messages = defaultdict(list)
		for key, channel in self.ledger.channel.items():
			if channel not in self.world.streams and key in self.ledger.acked:
				messages[channel].append((self.ledger.begun[key], self.ledger.acked_at(key), key))
		for record in self.world.records:
			for channel in record.events:
				if channel not in self.world.streams:
					self._check_plain_channel(record, channel, messages[channel])

	def _check_plain_channel(self, record, channel, messages):
		stays = self._stays(record.events[channel])
		for begun, acked, key in messages:
			if record.name in self.received[key]:
				continue
			if not any(begin < begun and acked < newest for begin, newest in stays):
				continue
			excused = self._excused(begun, acked)
			self.plain_lost.append((self.round_at(begun), excused))
			if not excused:
				self.violate(begun, "plain", f"{record.name} {channel}: {key} never came, though no link broke")

	def _stays(self, events):
		"""The times during which it was subscribed, as (begin, when the newest that it got in it was sent): what was taken by
		Redis before that should have come, too."""
		stays = []
		for when, kind, *rest in events:
			if kind == Record.SUBSCRIBED:
				stays.append([when, when])
			elif kind == Record.PUBLICATION:
				stays[-1][1] = max(stays[-1][1], self.ledger.begun[rest[1]])
		return stays

	# --- disconnects ---

	def _check_disconnects(self):
		for record in self.world.records:
			for when, kind, *rest in next(iter(record.events.values())):
				if kind == Record.DOWN and not rest[1]:
					self._check_disconnect(record, when, rest[0])

	def _check_disconnect(self, record, when, code):
		of = self.round_at(when).fault.of
		if of in ("redis", "link", "nothing"):
			self.disconnects.append(when)
			self.violate(when, "disconnect", f"{record.name} was disconnected ({code})")

	def _check_live(self):
		for r in self.rounds:
			if r.over - r.end > self.world.LIVE_S:
				self.violate(r.over, "deaf", f"not everybody is live {self.world.LIVE_S:.0f} s after the end of the fault")

	# --- signals of loss ---

	def lost_is_true(self, when, channel, epoch, position, since, new_epoch):
		"""Whether a subscriber that is there since then may be told that what it has is not what Redis has: the epoch is another
		one, or something up to its position was replaced, or is gone."""
		return epoch != new_epoch or any(e == epoch and offset <= position for e, offset in self.contradictions[channel]) or any(
			marked > since and tops[channel][0] == epoch.encode() and tops[channel][1] < position
			for marked, tops in self.world.marks) or self._was_written_twice(when, channel, epoch, position)

	def tell_of(self, when, channel, epoch, position):
		"""What is known of what stands there, for who is to find out why it was called lost."""
		key = self.truth[channel].get((epoch, position))
		if key is None:
			return f"{epoch} {position}: nobody knows it"
		acked, again = self.ledger.acked_at(key), key in self.ledger.repeated
		return (
			f"{epoch} {position}: {key}, sent at {self.ledger.begun[key] - when:+.3f} s{' and again' if again else ''},"
			f" {'never acknowledged' if acked is None else f'acknowledged at {acked - when:+.3f} s'}")

	def _was_written_twice(self, when, channel, epoch, position):
		"""Whether something up to there may have been taken by a master that was being replaced, was lost with it, and was sent
		again: its successor has the same at the same offset later, but had not when it was asked."""
		if not self.world.topology.loses_on_failover:
			return False
		begun, acked_at = self.ledger.begun, self.ledger.acked_at
		return any(
			e == epoch and offset <= position and key in self.ledger.repeated and begun[key] < when < acked_at(key) + self.deaf_s
			for (e, offset), key in self.truth[channel].items() if key in self.ledger.acked)


class _KeptWalk:
	def __init__(self, judge, record, channel):
		self.judge, self.record, self.channel = judge, record, channel
		self.epoch = self.position = None
		self.since = 0.0  # when it got there
		self.lost = False  # told by the broker, and not subscribed again yet
		self.replaced = None  # a publication that it got and that Redis lost, until it is told

	def violate(self, when, what, text):
		self.judge.violate(when, what, f"{self.record.name} {self.channel}: {text}")

	def take(self, when, kind, *rest):
		self.when = when
		if kind == Record.SUBSCRIBED:
			self._take_subscribed(when, *rest)
		elif kind == Record.PUBLICATION:
			self._take_publication(when, *rest)
		elif kind == Record.LOST or rest[0] == INSUFFICIENT_DISCONNECT:
			self.lost = True
			if kind == Record.LOST and rest[0] != INSUFFICIENT:
				self.violate(when, "unsubscribed", f"with code {rest[0]}")

	def _take_subscribed(self, when, epoch, offset, was_recovering, recovered):
		lost, self.lost = self.lost, False
		if self.epoch is None:
			self.epoch, self.position = epoch, offset
		elif not was_recovering:
			self.violate(when, "signal", "subscribed as if for the first time")
			self.epoch, self.position = epoch, offset
		elif recovered:
			if lost and self.judge.lost_is_true(when, self.channel, self.epoch, self.position, self.since, epoch):
				self.judge.told.append(when)  # but not of what it has that Redis has not: it still counts on that
			elif lost:
				self.judge.resyncs.append(when)
				self._violate_signal(when, "it was told that publications are lost, and they were not")
			if epoch != self.epoch:
				self.violate(when, "recovered", f"recovered from {self.epoch} {self.position} in {epoch}")
		else:
			self._take_loss(when, epoch, offset)

	def _violate_signal(self, when, what):
		self.violate(when, "signal", f"{what}; it has {self.judge.tell_of(when, self.channel, self.epoch, self.position)}")

	def _take_loss(self, when, epoch, offset):
		self.replaced = None
		if self.judge.lost_is_true(when, self.channel, self.epoch, self.position, self.since, epoch):
			self.judge.told.append(when)
		else:
			self.judge.resyncs.append(when)
			self._violate_signal(when, f"not recovered, though nothing was lost up to {offset}")
		self.epoch, self.position = epoch, offset

	def _take_publication(self, when, offset, key):
		if not offset:
			self.violate(when, "position", f"{key} has no offset")
			return
		if self.lost:
			self.violate(when, "position", f"{key} came after it was unsubscribed")
		if offset <= self.position:
			self.violate(when, "doubled", f"{offset} ({key}) came after {self.position}")
		elif offset > self.position + 1:
			self.violate(when, "lost", f"{offset} ({key}) came after {self.position} of {self.epoch}")
		if not self.judge.agree(when, self.channel, self.epoch, offset, key, f"{self.record.name} got"):
			self.replaced = key
		self.position, self.since = offset, when

	def end(self):
		if self.replaced:
			self.violate(self.judge.world.ended, "silence", f"it was never told that Redis has lost {self.replaced}")
		epoch, offset, _ = self.judge.world.streams[self.channel]
		if (self.epoch, self.position) != (epoch, offset) or self.lost:
			self.violate(
				self.judge.world.ended, "lost", f"at the end it has {self.epoch} {self.position} and Redis {epoch} {offset}")


class _PlainWalk:
	def __init__(self, judge, record, channel):
		self.judge, self.record, self.channel = judge, record, channel
		self.newest = {}  # publisher: number
		self.strays = set()  # given up by their publisher, who went on; the server that had them published them when it could
		self.before = {}  # as `newest`, of when it was subscribed before

	def take(self, when, kind, *rest):
		if kind == Record.SUBSCRIBED:
			self.before = self.before | self.newest
			self.newest = {}
		elif kind == Record.PUBLICATION:
			self._take_publication(when, rest[1])

	def _is_stray(self, key):
		return self.judge.world.topology.loses_on_failover and key not in self.judge.ledger.acked and key not in self.strays

	def _take_publication(self, when, key):
		publisher, number = key.rsplit(":", 1)
		number = int(number)
		newest, before = self.newest.get(publisher, 0), self.before.get(publisher, 0)
		if self._is_stray(key):
			self.strays.add(key)
		elif number <= newest:
			self.violate(when, f"{key} came after {newest}")
		elif number <= before and not self.judge.may_be_behind(when):
			self.violate(when, f"{key} came after {before}, across a reconnect")
		self.newest[publisher] = max(number, newest)

	def violate(self, when, text):
		self.judge.violate(when, "doubled", f"{self.record.name} {self.channel}: {text}")

	def end(self):
		if f"over:{self.channel}" not in self.newest:
			self.judge.violate(
				self.judge.world.ended, "lost", f"{self.record.name} {self.channel}: the last message never came")
