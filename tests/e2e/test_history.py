"""Channels with history: whatever breaks, every subscriber gets every publication once and in order, or is told."""

import os
import signal

import pytest

from lib.broker import HISTORY, OPEN, Broker, merge
from lib.client import Client, Disconnected
from lib.load import Follower, HistoryLoad, follow_to_the_end
from lib.redis_server import RedisClient, RedisServer
from lib.relay import Relay
from lib.sdk import SDKS

WORKERS = 2
CHANNEL = "orders"


@pytest.fixture
def redis():
	with RedisServer() as server:
		yield server


@pytest.fixture
def broker(redis):
	with Broker(merge(OPEN, HISTORY), redis, workers=WORKERS) as broker:
		yield broker


def fcall(redis, function, *arguments, channel=CHANNEL):
	return redis.call("FCALL", function, 1, f"fanfare:{channel}", *arguments)


def load_on(redis):
	return HistoryLoad(lambda: RedisClient(redis.port, timeout=20), CHANNEL)


class Returning(Follower):
	"""Keeps its position as an SDK does: when it is disconnected, it comes back, and recovers."""

	def __init__(self, broker):
		self.broker, self.recoveries = broker, 0
		super().__init__(broker, CHANNEL)

	def recover(self):
		position = {"recover": True, "epoch": self.epoch, "offset": self.position}
		answer = self.client.call(
			"subscribe", {"channel": CHANNEL, "recoverable": True, "positioned": True, **position})
		assert answer["recovered"], answer
		self.recoveries += 1
		self.epoch = answer["epoch"]
		for publication in answer.get("publications", ()):
			self.take(publication)

	def read(self, timeout=30):
		try:
			super().read(timeout)
		except (Disconnected, ConnectionError):
			self.client.close()
			self.client = Client(self.broker.port)
			self.recover()


def finish(redis, followers):
	offset, _ = fcall(redis, "fanfare_publish", '"over"')
	follow_to_the_end(followers, offset)


def test_a_publication_of_every_origin_has_an_offset(broker, redis):
	with Client(broker.port) as client:
		answer = client.call("subscribe", {"channel": CHANNEL})
		assert answer["recoverable"] and answer["positioned"] and len(answer["epoch"]) > 0
		assert fcall(redis, "fanfare_publish", '{"n": 1}') == [1, answer["epoch"].encode()]
		client.publish(CHANNEL, {"n": 2})
		pushes = [client.push()["pub"] for _ in range(2)]
		assert [(p["offset"], p["data"]) for p in pushes] == [(1, {"n": 1}), (2, {"n": 2})]
		history = client.call("history", {"channel": CHANNEL, "limit": 10})
		assert [p["data"] for p in history["publications"]] == [{"n": 1}, {"n": 2}]
		assert history["offset"] == 2 and history["epoch"] == answer["epoch"]


@pytest.mark.parametrize("what", ["pubsub", "normal"])
def test_a_killed_link_is_noticed_by_nobody(broker, redis, what):
	with load_on(redis) as load:
		followers = [Returning(broker) for _ in range(8)]
		for _ in range(4):
			load.more(100)
			redis.call("CLIENT", "KILL", "TYPE", what, "SKIPME", "yes")
		load.more(100)
	finish(redis, followers)
	assert all(f.recoveries == 0 for f in followers), "nobody had to come back"


def test_a_quiet_channel_gets_what_it_missed_as_soon_as_the_link_is_back(broker, redis):
	follower = Returning(broker)
	redis.call("CLIENT", "PAUSE", 100, "WRITE")
	redis.call("CLIENT", "KILL", "TYPE", "pubsub")
	fcall(redis, "fanfare_publish", "1")
	follower.follow(1)
	assert follower.recoveries == 0
	follower.client.close()


def test_redis_frozen_under_load_loses_nothing(broker, redis):
	with load_on(redis) as load:
		followers = [Returning(broker) for _ in range(4)]
		load.more(100)
		redis.freeze()
		broker.wait_not_ready()
		redis.thaw()
		load.more(100)
	finish(redis, followers)
	assert all(f.recoveries == 0 for f in followers)


def test_a_killed_worker_costs_a_reconnect_and_no_publication(broker, redis):
	with load_on(redis) as load:
		followers = [Returning(broker) for _ in range(8)]
		for _ in range(2):
			load.more(100)
			for pid in broker.worker_pids():
				os.kill(pid, signal.SIGKILL)
			load.more(100)
			broker.wait_ready()
	finish(redis, followers)
	assert all(f.recoveries > 0 for f in followers)


def test_a_restarted_broker_goes_on_where_it_was(broker, redis):
	followers = [Returning(broker) for _ in range(4)]
	fcall(redis, "fanfare_publish", "1")
	for follower in followers:
		follower.follow(1)
	broker.stop()
	for number in range(2, 50):
		fcall(redis, "fanfare_publish", number)
	broker.start()
	finish(redis, followers)
	assert all(f.recoveries > 0 for f in followers)


@pytest.mark.parametrize("flush", [("FUNCTION", "FLUSH"), ("SCRIPT", "FLUSH")])
def test_functions_that_redis_forgot_are_loaded_again(broker, redis, flush):
	with Client(broker.port).subscribe(CHANNEL) as client:
		redis.call(*flush)
		for number in range(3):
			client.publish(CHANNEL, number)
		assert [client.push()["pub"]["offset"] for _ in range(3)] == [1, 2, 3]


def test_a_history_of_large_publications_is_read_in_pieces(redis):
	size = 1 << 20
	patient = {"redis": {"call_timeout": "60s"}}
	with Broker(merge(merge(OPEN, HISTORY), patient), redis) as broker, Client(broker.port).subscribe("large") as client:
		redis.call("CLIENT", "KILL", "TYPE", "pubsub")
		for number in range(1, 101):
			fcall(redis, "fanfare_publish", '"' + "x" * size + '"', channel="large")
			client.take_what_came()
		offset = 0
		while offset < 100:
			push = client.push()["pub"]
			assert push["offset"] == offset + 1 and len(push["data"]) == size
			offset += 1
		assert len(client.call("history", {"channel": "large", "limit": 100}, timeout=60)["publications"]) < 100
		assert broker.ready()[0] == 200


def test_a_history_that_is_lost_is_told(broker, redis):
	with Client(broker.port) as client:
		epoch = client.call("subscribe", {"channel": CHANNEL})["epoch"]
		fcall(redis, "fanfare_publish", "1")
		assert client.push()["pub"]["offset"] == 1
		redis.call("FLUSHALL")
		fcall(redis, "fanfare_publish", "2")
		assert client.push()["unsubscribe"]["code"] == 2500
		answer = client.call(
			"subscribe", {"channel": CHANNEL, "recover": True, "epoch": epoch, "offset": 1})
		assert answer["was_recovering"] and "recovered" not in answer and answer["epoch"] != epoch


def test_who_writes_into_a_history_by_himself_ends_it_but_not_the_channel(broker, redis):
	with Client(broker.port) as client:
		client.call("subscribe", {"channel": CHANNEL})
		fcall(redis, "fanfare_publish", "1")
		assert client.push()["pub"]["offset"] == 1
		redis.call("XADD", "{fanfare:%s}.stream" % CHANNEL, "*", "m", "mine")
		_, epoch = fcall(redis, "fanfare_publish", "2")
		assert client.push()["unsubscribe"]["code"] == 2500
		assert client.call("subscribe", {"channel": CHANNEL})["epoch"] == epoch.decode()
		fcall(redis, "fanfare_publish", "3")
		assert client.push()["pub"] == {"data": 3, "offset": 2}


def test_who_saw_what_redis_then_lost_is_told_however_far_redis_went_on(broker, redis):
	"""It comes back with an older snapshot, under the same epoch, and gives offsets away again."""
	with Client(broker.port) as client, Client(broker.port) as other:
		seen = {"channel": CHANNEL, "recover": True, "offset": 6}
		for each in client, other:
			seen["epoch"] = each.call("subscribe", {"channel": CHANNEL})["epoch"]
		for n in range(1, 7):
			assert fcall(redis, "fanfare_publish", n)[0] == n
			if n == 4:
				redis.call("SAVE")
			for each in client, other:
				assert each.push()["pub"]["offset"] == n
		other.call("unsubscribe", {"channel": CHANNEL})
		redis.kill()
		redis.start()
		for n in range(5, 8):
			assert fcall(redis, "fanfare_publish", f'"other {n}"') == [n, seen["epoch"].encode()]
		assert client.push()["unsubscribe"]["code"] == 2500
		for each in client, other:
			answer = each.call("subscribe", seen)
			assert answer["was_recovering"] and "recovered" not in answer
			assert answer["epoch"] != seen["epoch"] and answer["offset"] == 7
		assert fcall(redis, "fanfare_publish", '"8"') == [8, answer["epoch"].encode()]
		assert [each.push()["pub"]["offset"] for each in (client, other)] == [8, 8]
		assert [pub["offset"] for pub in client.call("history", {"channel": CHANNEL, "limit": 9})["publications"]] == [*range(1, 9)]


def test_a_redis_that_comes_back_empty_is_told(broker, redis):
	with Client(broker.port) as client:
		client.call("subscribe", {"channel": CHANNEL})
		fcall(redis, "fanfare_publish", "1")
		assert client.push()["pub"]["offset"] == 1
		redis.kill()
		redis.start()
		assert client.push()["unsubscribe"]["code"] == 2500


def reads(redis):
	"""Of histories, by the functions, each of which looks once whether there is a stream, as each publication does: not their
	looks at the version of the library, which come with time."""
	lines = redis.call("INFO", "commandstats").decode().splitlines()
	return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines if line.startswith("cmdstat_xlen:"))


def test_a_storm_of_reconnects_costs_redis_a_handful_of_reads(broker, redis):
	followers = [Returning(broker) for _ in range(200)]
	for follower in followers:
		follower.client.close()
	for number in range(1, 51):
		fcall(redis, "fanfare_publish", number)
	before = reads(redis)
	for follower in followers:
		follower.client = Client(broker.port)
	for follower in followers:
		follower.recover()
		assert follower.position == 50
	assert reads(redis) - before <= 2 * WORKERS
	for follower in followers:
		follower.client.close()


@pytest.mark.parametrize("kind", SDKS)
def test_an_sdk_recovers_by_itself(broker, redis, kind):
	with SDKS[kind](broker.url) as sdk:
		sdk.do("connect")
		sdk.do("subscribe", channel=CHANNEL)
		sdk.expect("subscribed", channel=CHANNEL)
		fcall(redis, "fanfare_publish", "1")
		assert sdk.publications(1) == [1]
		for pid in broker.worker_pids():
			os.kill(pid, signal.SIGSTOP)
		for number in range(2, 11):
			fcall(redis, "fanfare_publish", number)
		for pid in broker.worker_pids():
			os.kill(pid, signal.SIGKILL)
		event = sdk.expect("subscribed", channel=CHANNEL)
		assert event["recovered"] and event["was_recovering"]
		assert sdk.publications(9) == list(range(2, 11))


@pytest.mark.parametrize("kind", SDKS)
def test_an_sdk_whose_connection_breaks_recovers_by_itself(broker, redis, kind):
	with Relay(broker.port) as relay, SDKS[kind](broker.url.replace(str(broker.port), str(relay.port))) as sdk:
		sdk.do("connect")
		sdk.do("subscribe", channel=CHANNEL)
		sdk.expect("subscribed", channel=CHANNEL)
		fcall(redis, "fanfare_publish", "1")
		assert sdk.publications(1) == [1]
		relay.cut()
		for number in range(2, 11):
			fcall(redis, "fanfare_publish", number)
		relay.mend()
		event = sdk.expect("subscribed", channel=CHANNEL)
		assert event["recovered"] and event["was_recovering"]
		assert sdk.publications(9) == list(range(2, 11))
