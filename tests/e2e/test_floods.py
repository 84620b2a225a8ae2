"""Floods of what is legal by the piece: empty fragments, empty messages, pings, requests, names."""

import json

import pytest

from lib import process
from lib.broker import Broker
from lib.client import Client, Disconnected
from lib.ws import CONTINUATION, PING, PONG, TEXT, Closed, Frame, Peer, WebSocket, encode_frame, parse_head

QUEUE = 64 << 10


# What happens to a flood that is taken as fast as it comes; that it is slowed else, test_gate.py shows.
UNSLOWED = {"commands_per_second": 0, "bytes_per_second": 0}


@pytest.fixture(scope="module")
def broker(redis):
	# The sanitizer keeps freed memory for a while; here it shall give it back.
	env = {"ASAN_OPTIONS": "quarantine_size_mb=1"}
	with Broker({"client": {"queue_max_size": QUEUE}, "limits": UNSLOWED}, redis=redis, env=env) as broker:
		yield broker


@pytest.fixture
def client(broker):
	with Client(broker.port) as client:
		yield client


@pytest.fixture(autouse=True)
def nobody_else_is_harmed(broker, redis):
	workers = broker.worker_pids()
	with Client(broker.port) as bystander:
		bystander.subscribe("bystander")
		yield
		redis.publish("bystander", '"all is well"')
		assert bystander.publication() == ("bystander", "all is well")
	assert broker.worker_pids() == workers
	broker.check_log()


def test_fragments_without_content_cost_no_memory_and_end_nothing(broker, client):
	[worker] = broker.worker_pids()
	client.ws.send_frame(TEXT, b'{"id":2,"rpc":{}}', fin=False)
	empty = encode_frame(CONTINUATION, b"", fin=False) * 10000
	before = process.private_bytes(worker)
	for _ in range(20):
		client.ws.send(empty)
	client.ws.send_frame(PING, b"read?")
	assert client.ws.read_frame(20) == Frame(PONG, b"read?")
	assert process.private_bytes(worker) - before < 8 << 20
	client.ws.send_frame(CONTINUATION)
	assert '"code":108' in client.ws.read_message()


def test_a_flood_of_empty_messages_ends_with_the_first(client):
	client.ws.send(encode_frame(TEXT, b"") * 10000)
	assert client.closed() == Closed(3501, "bad request")


def test_eight_megabytes_of_newlines_are_stopped_at_the_limit(client):
	client.ws.send(b"\x81\xff" + (8 << 20).to_bytes(8, "big") + bytes(4) + b"\n" * (1 << 20))
	assert client.closed() == Closed(1009, "message is too big")


def test_eight_megabytes_of_newlines_in_messages_that_may_be_are_one_error(client):
	client.ws.send_frame(TEXT, b'{"id":2,"rpc":{}}' + b"\n" * 60000)
	client.ws.send(encode_frame(TEXT, b"\n" * 65536) * 128)
	with pytest.raises(Disconnected, match="3501"):
		while True:
			client.ws.closed or client.push()


def test_who_pings_and_never_reads_the_pongs_costs_no_more_than_a_queue(broker):
	[worker] = broker.worker_pids()
	with Client(broker.port, receive_buffer=4096) as greedy, Client(broker.port) as other:
		greedy.ws.socket.settimeout(1.0)
		before = process.private_bytes(worker)
		pings = encode_frame(PING, b"x" * 125) * 1000
		try:
			for _ in range(400):
				greedy.ws.send(pings)
		except TimeoutError:
			pass  # the worker reads no more from it: as good
		assert other.publish("elsewhere", 1) == {}
		assert process.private_bytes(worker) - before < 16 << 20


def test_nothing_is_answered_after_a_close(client):
	client.ws.send(encode_frame(8, b"\x03\xe8") + encode_frame(TEXT, b'{"id":2,"rpc":{}}') + encode_frame(PING, b"x"))
	assert client.ws.read_message().code == 1000
	assert client.ws.read_frame() is None


def test_ten_thousand_pipelined_requests_of_unknown_methods_are_refused_in_order(broker):
	with Peer(broker.port) as peer:
		answered = 0
		for _ in range(10):
			peer.send(b"BREW /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
			for _ in range(1000):
				line, headers = parse_head(peer.read_head())
				assert line.startswith("HTTP/1.1 405 ")
				length = int(headers["content-length"])
				while len(peer.buffer) < length:
					peer.fill(5)
				del peer.buffer[:length]
				answered += 1
		assert answered == 10000


@pytest.mark.parametrize("method", [b"G" * 9000, b"\xff", b"get", b"CONNECT", b"TRACE", b"PRI"])
def test_strange_methods_are_refused(broker, method):
	with Peer(broker.port) as peer:
		peer.send(method + b" /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
		assert parse_head(peer.read_head())[0].split()[1] in ("400", "405", "414", "501")


def test_a_request_with_a_body_is_answered_and_its_body_is_no_request(broker):
	with Peer(broker.port) as peer:
		hidden = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
		peer.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(hidden) + hidden)
		assert peer.read_to_end().count(b"HTTP/1.1 ") == 1


def test_two_origins_are_refused(broker):
	with pytest.raises(ConnectionError, match="400"):
		WebSocket(broker.port, headers=["Origin: https://a.example"] * 2)


@pytest.mark.parametrize("header", ["Upgrade: websocket", "Connection: Upgrade"])
def test_headers_that_are_lists_may_stand_twice(broker, header):
	with WebSocket(broker.port, headers=[header] * 2) as ws:
		ws.send_text('{"id":1,"connect":{}}')
		assert '"client"' in ws.read_message()


def test_channels_in_the_thousands_come_and_go_and_leave_nothing_behind(broker, redis):
	"""An explosion of names: each client takes what it may, and leaves."""
	[worker] = broker.worker_pids()

	def explode(round):
		with Client(broker.port) as client:
			client.subscribe(*(f"{round}-{n}" for n in range(100)))

	for round in range(10):
		explode(round)
	before = process.private_bytes(worker)
	for round in range(10, 60):
		explode(round)
	assert process.private_bytes(worker) - before < 16 << 20


HOSTILE_JSON = {
	"a huge exponent": ('{"id":2,"publish":{"channel":"n","data":1e999999999}}', {}),
	"ten thousand digits": ('{"id":2,"publish":{"channel":"n","data":%s}}' % ("9" * 10000), {}),
	"a lone surrogate": ('{"id":2,"publish":{"channel":"n","data":"\\ud800"}}', {}),
	"NUL in a string": ('{"id":2,"publish":{"channel":"n","data":"\\u0000"}}', {}),
	"keys twice": ('{"id":2,"publish":{"channel":"n","data":{"a":1,"a":2}}}', {}),
	"an id beyond 32 bits": ('{"id":4294967296,"publish":{"channel":"n","data":1}}', None),
	"an id below zero": ('{"id":-1,"publish":{"channel":"n","data":1}}', None),
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_hostile_json_goes_through_unchanged_or_is_refused(client, name):
	text, reply = HOSTILE_JSON[name]
	client.subscribe("n")
	client.ws.send_text(text)
	if reply is None:
		assert client.closed().code == 3501
		return
	messages = client.ws.read_message()
	while messages.count('"id":2') == 0 or messages.count('"pub"') == 0:
		messages += "\n" + client.ws.read_message()
	sent = text[text.index('"data":') + 7:-2]
	assert any(f'"data":{sent}' in line for line in messages.split("\n")), messages[:300]
	assert json.loads(next(line for line in messages.split("\n") if '"id":2' in line)) == {"id": 2, "publish": {}}
