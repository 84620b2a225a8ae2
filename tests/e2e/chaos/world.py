"""Everything that takes part, and one round after the other: calm, a fault, until everybody is live again."""

import random
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from lib.broker import OPEN, Broker, merge
from lib.clock import Clock
from lib.sdk import NodeSdk, PythonSdk

from .faults import FAULTS
from .ledger import Ledger, Record
from .probe import CostProbe, PresenceProbe, ReadinessProbe
from .publisher import FunctionPublisher, PlainPublisher, ProgramPublisher, SdkPublisher
from .sdk_subscriber import SdkSubscriber
from .watcher import Watchers

BUSY = ["busy1", "busy2", "busy3"]
PLAIN = ["plain:1", "plain:2"]
ROOM = "room:1"
OVER = "over"
ALL = {"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True, "allow_publish_for_client": True,
	"allow_publish_for_anonymous": True}
CONFIG = {
	"channel": {
		"without_namespace": ALL | {"history_size": 1000000, "history_ttl": "10h", "force_positioning": True, "force_recovery": True},
		"namespaces": [ALL | {"name": "plain"}, ALL | {"name": "room", "presence": True, "join_leave": True}],
	},
	"client": {"recovery_max_publication_limit": 5000, "queue_max_size": "128MiB"},
	# Soon full, and large enough for what is missed in the longest fault: else the memory that is measured would grow all the time.
	"history": {"cache_size": "1MiB"},
}


@dataclass
class Size:
	"""How much takes part."""
	brokers: int = 2
	workers: int = 2
	watchers: int = 16
	restless: int = 4
	sdks: int = 4
	quiet: int = 24  # channels
	rate: float = 20.0  # publications a second of each publisher
	longest_s: float = 15.0  # a fault


@dataclass
class Round:
	fault: object
	start: float  # the end of the one before
	begin: float = 0.0  # of the fault
	end: float = 0.0
	over: float = 0.0  # everybody is live again
	detail: str = ""
	replaced: bool = False  # a Redis by another one, maybe for no reason that we gave
	quiet: list = field(default_factory=list)  # (channel, key) of messages after which their channel is quiet
	refused: int = 0


class World:
	LIVE_S = 60.0  # after which nobody is waited for any more: the judge will see who is deaf

	def __init__(self, topology, seed, size, log=print):
		self.rng, self.size, self.log = random.Random(seed), size, log
		self.folder = tempfile.TemporaryDirectory(prefix="fanfare-chaos-")
		self.ledger, self.rounds, self.records, self.sdks, self.publishers = Ledger(), [], [], [], []
		self.emptied = 0.0  # when Redis last lost everything
		self.past = []  # {channel: as _stream()}, what it had before it did
		self.marks = []  # (time, {channel: (epoch, offset)}), what Redis had when one server had taken over from another
		self.broker_clock, self.redis_clock = Clock(self._folder("brokers")), Clock(self._folder("redis"))
		self.topology = topology(size.brokers, self.redis_clock.environment)
		self.quiet_channels = [f"quiet{n}" for n in range(1, size.quiet + 1)]
		self.brokers = []
		for n in range(size.brokers):
			self.brokers.append(Broker(
				merge(CONFIG, self.topology.config), self.topology.address(n), workers=size.workers, base=merge(OPEN, CONFIG),
				env=self.broker_clock.environment))
		self.ports = [broker.port for broker in self.brokers]
		self.watchers = Watchers()
		self.readiness = ReadinessProbe(self.ports)
		self.watchers.start(self.readiness.run())
		self.cost = CostProbe(self.brokers)
		self.presence = PresenceProbe(self.topology, ROOM)
		self._subscribe()
		self._publish()
		self._await_all("the beginning", time.monotonic())
		self.now = Round(None, time.monotonic())

	def _folder(self, name):
		return tempfile.mkdtemp(prefix=name, dir=self.folder.name)

	# --- who takes part ---

	def _channels(self):
		return [
			*self.rng.sample(BUSY, 2), self.rng.choice(PLAIN),
			*self.rng.sample(self.quiet_channels, min(6, len(self.quiet_channels)))]

	def _record(self, name, steady=True):
		self.records.append(Record(name, self._channels(), self.ledger, steady))
		return self.records[-1]

	def _subscribe(self):
		for n in range(self.size.watchers + self.size.restless):
			steady = n < self.size.watchers
			ports = self.ports[n % len(self.ports):] + self.ports[:n % len(self.ports)]
			record = self._record(f"{'watcher' if steady else 'restless'}{n}", steady)
			self.watchers.add(record, ports, random.Random(self.rng.random()), ROOM)
		for n in range(self.size.sdks):
			sdk = [NodeSdk, PythonSdk][n % 2]
			broker = self.brokers[n // 2 % len(self.brokers)]
			self.sdks.append(SdkSubscriber(self._record(f"{sdk.__name__}{n}"), sdk(broker.url)))

	def _publish(self):
		rate, ledger, redis = self.size.rate, self.ledger, self.topology
		for n, channel in enumerate(BUSY):
			self.publishers.append(FunctionPublisher(f"function{n}", ledger, [channel], rate, redis, padding=n * 300))
		for n, channel in enumerate(PLAIN):
			self.publishers.append(PlainPublisher(f"plain{n}", ledger, [channel], rate, redis))
		arguments = [*redis.program_arguments, "--config", self.brokers[0].config_path]
		self.publishers.append(ProgramPublisher("program", ledger, BUSY, rate / 20, arguments))
		for n, subscriber in enumerate(self.sdks[:2]):
			self.publishers.append(SdkPublisher(f"sdk{n}", ledger, BUSY, rate / 4, subscriber))
		self.burster = FunctionPublisher("burst", ledger, [], 1, redis)
		for publisher in self.publishers:
			publisher.start()

	# --- what faults use ---

	def seconds(self, low, high):
		return self.rng.uniform(low, max(low, min(high, self.size.longest_s)))

	def sleep(self, seconds):
		time.sleep(seconds)

	def detail(self, what):
		self.now.detail = str(what)

	def begin(self):
		self.now.begin = self.now.begin or time.monotonic()

	def end(self):
		self.now.end = time.monotonic()

	def some_workers(self):
		"""One, or some, never all of them."""
		workers = [pid for broker in self.brokers for pid in broker.worker_pids()]
		return self.rng.sample(workers, self.rng.randrange(1, len(workers)))

	def some_proxies(self):
		return self.rng.choice([self.topology.proxies, [self.rng.choice(self.topology.proxies)]])

	def some_channels(self):
		return self.rng.sample([*BUSY, *PLAIN, *self.quiet_channels], 6)

	def burst(self, count, size):
		"""Large publications into a busy channel, with a thread of their own to wait for their acknowledgements."""
		channel, self.burster.padding = self.rng.choice(BUSY), "x" * size
		for _ in range(count):
			self.burster.publish_next(channel)

	def quiet(self):
		"""A message into some channels that are silent from then on, taken by Redis when this returns."""
		self._start_quiet(wait=True)

	def quiet_later(self):
		"""The same, while Redis does not answer: it is sent, and taken when Redis can."""
		self._start_quiet(wait=False)

	def _start_quiet(self, wait):
		used = {channel for channel, _ in self.now.quiet}
		free = [channel for channel in self.quiet_channels if channel not in used]
		for channel in self.rng.sample(free, min(2, len(free))):
			key = f"quiet:{len(self.ledger.begun)}:{channel}"
			self.now.quiet.append((channel, key))
			thread = threading.Thread(target=self._publish_quiet, args=(channel, key), daemon=True)
			thread.start()
			if wait:
				thread.join(10)

	def keep_streams(self):
		"""Before Redis loses everything. What has replaced a publication in a failover may be known to nobody else: who was told that
		it was lost comes back from there, and publishers are not told where it stands by an SDK."""
		if self.topology.loses_on_failover:
			streams = {channel: self._stream(channel) for channel in [*BUSY, *self.quiet_channels]}
			self.past.append({channel: stream for channel, stream in streams.items() if stream})

	def fill_again(self):
		"""What Redis has just lost is as long again in some quiet channels: the same offsets, in another epoch."""
		published = Counter(
			self.ledger.channel[key] for key in list(self.ledger.acked)
			if self.ledger.channel[key] in self.quiet_channels and self.ledger.acked_at(key) > self.emptied)
		for channel in sorted(published)[:4]:
			for _ in range(published[channel]):
				self._publish_quiet(channel, f"again:{len(self.ledger.begun)}:{channel}")
		self.emptied = self.now.end

	def _publish_quiet(self, channel, key):
		publisher = FunctionPublisher("quiet", self.ledger, [], 1, self.topology)
		self.ledger.begin(key, channel)
		publisher.publish(channel, key)
		publisher.disconnect()

	# --- rounds ---

	def live_since(self, moment):
		busy = {*BUSY, *PLAIN}
		return self.readiness.all_ready_since(moment) and all(
			sent >= moment for record in self.records if record.steady for channel, sent in record.newest.items() if channel in busy)

	def _await_all(self, what, since):
		"""False when somebody stays deaf."""
		live = self._wait(lambda: self.live_since(since), self.LIVE_S)
		if not live:
			self.log(f"  not everybody is live {self.LIVE_S:.0f} s after {what}")
		return live

	def _wait(self, condition, timeout):
		"""Whether it became true in time."""
		deadline = time.monotonic() + timeout
		while not condition():
			if time.monotonic() > deadline:
				return False
			time.sleep(0.02)
		return True

	def play(self, name):
		"""False when somebody is not live again: what came after that would prove nothing."""
		self.now = Round(FAULTS[name], self.rounds[-1].over if self.rounds else time.monotonic())
		refused = len(self.watchers.refused) + len(self.readiness.refused)
		leaders = self.topology.leaders()
		self.now.fault.act(self)
		live = self._await_all(name, self.now.end)
		self._wait(lambda: all(key in self.ledger.acked for _, key in self.now.quiet), 30)
		self.now.replaced = self.topology.replaced_since(self.now.start, leaders)
		if self.topology.loses_on_failover and self.now.fault.of == "redis":
			self._mark()
		time.sleep(self.rng.uniform(0.5, 1.5))
		self.now.refused = len(self.watchers.refused) + len(self.readiness.refused) - refused
		self.now.over = time.monotonic()
		self.rounds.append(self.now)
		self.log(f"  {name} {self.now.detail}: {self.now.end - self.now.begin:.1f} s, over after {self.now.over - self.now.end:.1f} s")
		return live

	def _mark(self):
		connection = self.topology.client(None, 10)
		tops = {}
		for channel in [*BUSY, *self.quiet_channels]:
			epoch, offset = connection.call("HMGET", f"{{fanfare:{channel}}}.meta", "epoch", "offset")
			tops[channel] = epoch, int(offset or 0)
		connection.close()
		self.marks.append((time.monotonic(), tops))

	# --- the end ---

	def finish(self):
		"""Everything is quiet, and then one last message in every channel reaches everybody."""
		for publisher in self.publishers:
			publisher.stop()
		self.watchers.settle()
		self._wait(lambda: all(record.is_subscribed() for record in self.records), 20)
		last = {}
		for channel in [*BUSY, *PLAIN, *self.quiet_channels]:
			kind = PlainPublisher if channel in PLAIN else FunctionPublisher
			kind(f"{OVER}:{channel}", self.ledger, [], 1, self.topology).publish_next(channel)
			last[channel] = f"{OVER}:{channel}:1"
		self._wait(lambda: all(
			record.newest[channel] >= self.ledger.begun[last[channel]] for record in self.records for channel in record.events), 30)
		self.ended = time.monotonic()
		self.streams = {channel: self._stream(channel) for channel in [*BUSY, *self.quiet_channels]}

	def _stream(self, channel):
		"""(epoch, offset, {offset: payload}) as Redis has it; None: nothing."""
		connection = self.topology.client(channel, 60)
		key = f"{{fanfare:{channel}}}"
		epoch, offset = connection.call("HMGET", f"{key}.meta", "epoch", "offset")
		entries = connection.call("XRANGE", f"{key}.stream", "-", "+")
		connection.close()
		return epoch and (epoch.decode(), int(offset), {int(id.split(b"-")[0]): fields[1] for id, fields in entries})

	def close(self):
		"""Fails when a process of a broker had a sanitizer report, or did not leave."""
		troubles = []
		for part in (self.watchers, self.cost, self.presence, *self.sdks):
			self._try(part.close, troubles)
		for broker in self.brokers:
			self._try(broker.stop, troubles)
		self._try(self.topology.stop, troubles)
		if troubles:
			raise troubles[0]

	def _try(self, act, troubles):
		try:
			act()
		except Exception as trouble:  # the others are closed all the same
			troubles.append(trouble)
