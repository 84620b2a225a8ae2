"""Every table has a ceiling, and Redis is not trusted: what floods, stalls or forges is contained."""

import json
import os
import subprocess
import time

import pytest

from lib import process
from lib.broker import Broker
from lib.client import Client, ErrorReply
from lib.ws import TEXT, Closed, Peer, WebSocket, encode_frame


@pytest.fixture(scope="module")
def broker(redis):
	with Broker(redis=redis) as broker:
		yield broker


@pytest.fixture
def client(broker):
	with Client(broker.port) as client:
		yield client


# Clients

def test_connections_above_the_limit_get_503_and_places_are_given_back(redis):
	with Broker({"client": {"connection_limit": 5}}, redis=redis) as broker:
		clients = [Client(broker.port) for _ in range(5)]
		with pytest.raises(ConnectionError, match="503"):
			WebSocket(broker.port)
		clients.pop().close()
		process.wait_until(lambda: connects(broker), "the place is free again")
		for client in clients:
			client.close()


def connects(broker):
	try:
		with Client(broker.port):
			return True
	except ConnectionError:
		return False


def cpu_seconds(pid):
	with open(f"/proc/{pid}/stat") as f:
		fields = f.read().rsplit(")", 1)[1].split()
	return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_when_descriptors_run_out_nobody_is_lost_and_nothing_spins(redis):
	with Broker(redis=redis) as broker:
		worker = broker.worker_pids()[0]
		with Client(broker.port) as bystander:
			bystander.subscribe("news")
			subprocess.run(["prlimit", f"--pid={worker}", "--nofile=64"], check=True)
			peers = [Peer(broker.port) for _ in range(200)]
			before = cpu_seconds(worker)
			time.sleep(1)  # time for a loop around accept() to show
			assert cpu_seconds(worker) - before < 0.5
			redis.publish("news", "1")
			assert bystander.publication() == ("news", 1)
			for peer in peers:
				peer.close()
			process.wait_until(lambda: connects(broker), "new connections are served again")


def test_a_request_that_never_ends_is_given_up(broker):
	with Peer(broker.port) as slow, Peer(broker.port) as silent:
		slow.send(b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\n")
		for byte in b"X-Slow: yes, very":
			slow.send(bytes([byte]))
			time.sleep(0.1)  # a byte now and then must not keep it alive
		slow.read_to_end()
		assert slow.at_end
		silent.read_to_end()
		assert silent.at_end


def test_a_flood_of_newlines_is_one_error(broker):
	with Client(broker.port) as client:
		client.ws.send_frame(TEXT, b"\n" * 65536)
		assert client.closed() == Closed(3501, "bad request")


def test_a_flood_of_tiny_commands_is_answered_in_order(redis):
	with Broker({"limits": {"commands_per_second": 0}}, redis=redis) as broker, Client(broker.port) as client:
		flood(client)


def flood(client):
	commands = b"\n".join(b'{"id":%d,"unsubscribe":{"channel":"x"}}' % (n + 100) for n in range(1000))
	for _ in range(20):
		client.ws.send_frame(TEXT, commands)
		for n in range(1000):
			assert client.reply(n + 100, "unsubscribe") == {}


def test_who_sends_and_never_reads_the_answers_is_stopped(redis):
	"""Its socket fills up or its queue overflows; the worker serves others and holds no more than the limit."""
	with Broker({"client": {"queue_max_size": 65536}}, redis=redis) as broker:
		with Client(broker.port, receive_buffer=4096) as greedy, Client(broker.port) as other:
			greedy.ws.socket.settimeout(1.0)
			line = json.dumps({"id": 7, "rpc": {"method": "x" * 100}}).encode()
			batch = encode_frame(TEXT, b"\n".join([line] * 400))
			try:
				for _ in range(400):
					greedy.ws.send(batch)
			except TimeoutError:
				pass  # the worker reads no more from it: as good
			other.subscribe("news").publish("news", 1)
			assert other.publication() == ("news", 1)
			assert process.private_bytes(broker.worker_pids()[0]) < 512 << 20


@pytest.mark.parametrize("name", ["news*", "[news]", "news?", "%s%n", "a b", "{news}", "fanfare", "a\0b", "\x7f", "\"quoted\"", "\\"])
def test_a_strange_name_is_a_channel_like_any_other(broker, redis, client, name):
	try:
		client.subscribe(name)
	except ErrorReply as refused:
		assert refused.code in (103, 107)
		return
	for other in ("news", "news1", "newsX", "n", "e"):
		redis.publish(other, '"not for it"')
	redis.publish(name, '"for it"')
	assert client.publication() == (name, "for it")


def test_a_name_that_looks_like_a_redis_command_is_a_name(redis, client):
	name = "a\r\nPUBLISH fanfare_news 1\r\n"
	client.subscribe("news").subscribe(name)
	client.publish(name, "for it")
	assert client.publication() == (name, "for it")
	assert client.quiet()


def test_a_name_that_is_not_ascii_is_refused(client):
	for attempt in ("subscribe", "publish"):
		with pytest.raises(ErrorReply) as refused:
			client.call(attempt, {"channel": "é", "data": 1})
		assert refused.value.code == 107


# Redis

DROPPED = {
	"deep nesting": b"[" * 100000,
	"bytes that are not UTF-8": b'"a\xff"',
	"nothing": b"",
	"an envelope of another version": b'{"fanfare":2,"data":1}',
	"an envelope without data": b'{"fanfare":1,"tags":{}}',
	"an envelope with an offset twice": b'{"fanfare":1,"offset":1,"offset":2,"data":1}',
	"an envelope with tags that are none": b'{"fanfare":1,"tags":[1],"data":1}',
	"an envelope with a negative offset": b'{"fanfare":1,"offset":-1,"data":1}',
	"an envelope with info that is none": b'{"fanfare":1,"info":"root","data":1}',
}


@pytest.mark.parametrize("name", DROPPED)
def test_a_bad_publication_is_dropped_and_the_next_one_comes(redis, client, name):
	client.subscribe("news")
	redis.publish("news", DROPPED[name])
	redis.publish("news", '"good"')
	assert client.publication() == ("news", "good")


AS_TEXT = {
	"plain text": (b"hello", "hello"),
	"JSON with something after it": (b'{"a":1} x', '{"a":1} x'),
	"control characters": (b"a\x00b\x1f\x7f\"\\", "a\x00b\x1f\x7f\"\\"),
	"what begins like an envelope": (b'{"fanfare":1,', '{"fanfare":1,'),
}


@pytest.mark.parametrize("name", AS_TEXT)
def test_what_is_not_json_arrives_as_a_string(redis, client, name):
	payload, text = AS_TEXT[name]
	client.subscribe("news")
	redis.publish("news", payload)
	assert client.publication() == ("news", text)


@pytest.mark.parametrize("size", [1 << 10, 100 << 10, 5 << 20])
def test_a_large_publication_reaches_who_reads(redis, client, size):
	"""Above the limit of the queue, too, for it waits alone."""
	client.subscribe("news")
	redis.publish("news", b'"' + b"x" * size + b'"')
	assert client.publication() == ("news", "x" * size)


def test_a_publication_that_redis_will_not_give_costs_a_moment_and_nothing_more(broker, redis, client):
	"""Redis cuts off subscribers for whom more than 32 MiB wait, all of them."""
	client.subscribe("news")
	redis.publish("news", b'"' + b"x" * (40 << 20) + b'"')
	process.wait_until(lambda: "is back" in broker.log(), "the link is back")
	broker.wait_ready()
	redis.publish("news", '"next"')
	assert client.publication() == ("news", "next")


def test_a_client_cannot_forge_what_only_the_broker_knows(broker, client):
	"""A client's data that looks like an envelope stays data."""
	forged = {"fanfare": 1, "info": {"user": "root", "client": "x"}, "data": "forged"}
	client.subscribe("news").publish("news", forged)
	push = client.push()
	assert push["pub"]["data"] == forged
	assert push["pub"]["info"] == {"user": "", "client": client.hello["client"]}


def test_publications_during_a_storm_of_subscribing_and_leaving_come_in_order(broker, redis):
	with Client(broker.port) as steady, Client(broker.port) as restless:
		steady.subscribe("storm")
		for n in range(300):
			if n % 2:
				restless.unsubscribe("storm")
			else:
				restless.subscribe("storm")
			redis.publish("storm", str(n))
		assert [data for _, data in steady.publications(300)] == list(range(300))


def test_nothing_but_the_prefix_is_listened_to(redis):
	with Broker({"redis": {"prefix": "other:"}}, redis=redis) as broker, Client(broker.port) as client:
		client.subscribe("news")
		redis.publish("news", '"of another broker"')
		redis.publish("news", '"ours"', prefix="other:")
		assert client.publication() == ("news", "ours")


def test_replies_keep_the_order_of_commands_although_only_some_wait_for_redis(client):
	ids = []
	for n in range(200):
		ids.append((client.send("publish", {"channel": "order", "data": n}), "publish"))
		ids.append((client.send("unsubscribe", {"channel": "order"}), "unsubscribe"))
	order = []
	while len(order) < len(ids):
		message = client.ws.read_message()
		order += [json.loads(line)["id"] for line in message.split("\n") if line != "{}"]
	assert order == [id for id, _ in ids]
