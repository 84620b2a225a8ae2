"""Clients that ask for much at once, and those that read it slowly: others notice nothing, and who reads gets all of it."""

import itertools
import json
import re

import pytest

from lib import process
from lib.broker import PATIENT, Broker, merge
from lib.client import Client
from lib.redis_server import RedisServer
from lib.reply_counter import ReplyCounter

KIB, MIB = 1 << 10, 1 << 20
KEPT = {"channel": {"without_namespace": {
	"history_size": 1000, "history_ttl": "10m", "force_recovery": True, "allow_history_for_client": True,
	"allow_history_for_anonymous": True}},
	"client": {"ping_interval": "0s"}}  # who has much to do at once answers no ping meanwhile
PUBLICATION = 60000
PIECE = MIB
# A piece, and what its last publication and the frame around it may have.
REPLY_MAX = PIECE + 2 * PUBLICATION


@pytest.fixture(scope="module")
def redis():
	with RedisServer() as server:
		yield server


@pytest.fixture(scope="module")
def counter(redis):
	with ReplyCounter(redis.port) as counter:
		yield counter


@pytest.fixture(scope="module")
def broker(counter):
	with Broker(merge(PATIENT, KEPT), counter.url) as broker:
		yield broker


def metric(broker, name):
	return int(re.search(rf"^fanfare_{name}_total (\d+)$", broker.get("/metrics")[1], re.MULTILINE)[1])


def fill(redis, channel, count, size):
	for number in range(1, count + 1):
		redis.call("FCALL", "fanfare_publish", 1, f"fanfare:{channel}", '"' + "x" * size + '"')


def ask(client, *requests):
	"""All in one message; the ids of the answers."""
	commands = [{"id": next(client.ids), name: request} for name, request in requests]
	client.ws.send_text("\n".join(map(json.dumps, commands)))
	return [command["id"] for command in commands]


def test_greedy_readers_of_histories_do_not_keep_others_waiting(broker, redis, counter):
	fill(redis, "greedy", 300, PUBLICATION)
	with Client(broker.port) as quiet:
		quiet.subscribe("quiet")
		greedy = [Client(broker.port, receive_buffer=4096) for _ in range(10)]
		ids = [ask(client, *[("history", {"channel": "greedy", "limit": 300 - n % 3 - i}) for n in range(50)])
			for i, client in enumerate(greedy)]
		before = len(counter.sizes)
		process.wait_until(lambda: len([size for size in counter.sizes[before:] if size > PIECE // 2]) >= 10, "they are served")
		for number in range(50):
			assert quiet.publish("quiet", number) == {}
			assert quiet.publication() == ("quiet", number)
		# Nobody reads: what was asked after that which fits into a queue is not even read from Redis.
		most = max(counter.sizes)
		assert PIECE // 2 < most < REPLY_MAX, most
		reader = greedy.pop()
		for id in ids.pop():
			answer = reader.reply(id, "history")
			assert answer["offset"] == 300 and [p["offset"] for p in answer["publications"]] == list(range(1, 18))
		for client in (*greedy, reader):
			client.close()


def test_what_nobody_reads_is_not_asked_for(broker, redis, counter):
	"""The queue has room for one answer; what more was read from Redis fills the sockets, of a few megabytes each."""
	fill(redis, "unread", 20, PUBLICATION)
	greedy = [Client(broker.port, receive_buffer=4096) for _ in range(4)]
	before = sum(counter.sizes)
	for client in greedy:
		ask(client, *[("history", {"channel": "unread", "limit": 20}) for _ in range(200)])
	with Client(broker.port) as quiet:
		for _ in range(50):
			quiet.call("history", {"channel": "quiet"})
	assert sum(counter.sizes) - before < 4 * 16 * MIB
	for client in greedy:
		client.close()


def test_who_reads_slowly_recovers_many_channels_in_one_go(broker, redis):
	"""Twenty times as much as may wait for a client, and what is published meanwhile, in the order of the commands."""
	channels = [f"slow{n}" for n in range(10)]
	for channel in channels:
		fill(redis, channel, 200, 10000)
	with Client(broker.port, receive_buffer=4096) as slow, Client(broker.port).subscribe("live") as quick:
		slow.subscribe("live")
		ids = ask(slow, *[("subscribe", {"channel": channel, "recover": True, "offset": 0}) for channel in channels])
		for number in range(100):
			redis.call("FCALL", "fanfare_publish", 1, "fanfare:live", json.dumps([number, "x" * KIB]))
			assert quick.publication()[1][0] == number
		for id in ids:
			answer = slow.reply(id, "subscribe")
			assert answer["recovered"] and len(answer["publications"]) == 200
		assert [slow.publication()[1][0] for _ in range(100)] == list(range(100))
		for channel in channels:
			fill(redis, channel, 1, 10)
		assert sorted(slow.push()["pub"]["offset"] for _ in channels) == [201] * len(channels)


def test_what_many_missed_and_do_not_read_is_bounded(counter, redis):
	"""18 MB for each. Who does read gets it, though it has to wait; who missed little need not even wait."""
	fill(redis, "missed", 300, PUBLICATION)
	fill(redis, "little", 300, 100)
	# The sanitizer keeps freed memory for a while; here it shall give most of it back.
	with Broker(merge(PATIENT, KEPT), counter.url, dev=True, env={"ASAN_OPTIONS": "quarantine_size_mb=1"}) as broker:
		worker = broker.worker_pids()[0]
		recover = ("subscribe", {"channel": "missed", "recover": True, "offset": 0})
		before = process.private_bytes(worker)
		lazy = [Client(broker.port, receive_buffer=4096) for _ in range(20)]
		for client in lazy:
			ask(client, recover)
		process.wait_until(lambda: metric(broker, "answers_full") > 0, "there is no room for more")
		most = process.private_bytes(worker)
		with Client(broker.port) as reader, Client(broker.port) as modest:
			[id] = ask(reader, recover)
			[id_of_little] = ask(modest, ("subscribe", {"channel": "little", "recover": True, "offset": 0}))
			assert len(modest.reply(id_of_little, "subscribe")["publications"]) == 300
			process.wait_until(lambda: metric(broker, "slow_disconnects") >= len(lazy) - 4, "those who do not read make room")
			most = max(most, process.private_bytes(worker))
			answer = reader.reply(id, "subscribe")
			assert answer["recovered"] and len(answer["publications"]) == 300
		for client in lazy:
			client.close()
	# All of them together had 360 MB.
	assert most - before < 220 * MIB, f"grew by {(most - before) >> 20} MiB"


def test_more_than_one_piece_of_a_channel_is_recovered(broker, redis, counter):
	fill(redis, "long", 290, PUBLICATION)
	before = len(counter.sizes)
	with Client(broker.port) as client:
		answer = client.call("subscribe", {"channel": "long", "recover": True, "offset": 0})
		assert answer["recovered"] and [p["offset"] for p in answer["publications"]] == list(range(1, 291))
	assert max(counter.sizes[before:]) < REPLY_MAX
