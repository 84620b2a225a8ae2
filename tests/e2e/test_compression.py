"""permessage-deflate on the client endpoint: unmodified SDKs and a browser use it, and nobody can abuse it."""

import json
import re
import uuid
import zlib

import pytest

from lib import process
from lib.broker import OPEN, Broker, merge
from lib.sdk import SDKS
from lib.ws import TEXT, Closed, WebSocket

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
RSV1 = 4
TEXT_LONG = "again and again " * 5000
COMPRESSED = {"websocket": {"compression": True, "compression_min_size": 200}}


@pytest.fixture(scope="module")
def broker(redis):
	with Broker(COMPRESSED, redis=redis, dev=True, base=OPEN) as broker:
		yield broker


def metric(broker, name):
	return int(re.search(rf"^fanfare_{name}(?:_total)? (\d+)$", broker.get("/metrics")[1], re.MULTILINE)[1])


def deflate(data, level=9):
	packer = zlib.compressobj(level, zlib.DEFLATED, -15)
	packed = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
	assert packed.endswith(b"\0\0\xff\xff")
	return packed[:-4]


def inflate(data):
	return zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff")


def connect(broker, *headers):
	ws = WebSocket(broker.port, headers=headers)
	ws.send_frame(TEXT, b'{"id":1,"connect":{}}')
	return ws


def subscribe(broker, channel, *headers):
	ws = connect(broker, *headers)
	ws.send_frame(TEXT, b'{"id":2,"subscribe":{"channel":"%s"}}' % channel.encode())
	while b'"subscribe"' not in ws.read_frame().payload:
		pass
	return ws


@pytest.mark.parametrize("name", SDKS)
def test_an_sdk_gets_long_publications_compressed(broker, redis, name):
	channel = f"news-{uuid.uuid4().hex}"
	with SDKS[name](broker.url) as sdk:
		sdk.do("connect")
		sdk.expect("connected")
		sdk.do("subscribe", channel=channel)
		sdk.expect("subscribed", channel=channel)
		before = metric(broker, "bytes_sent")
		redis.publish(channel, json.dumps(TEXT_LONG))
		redis.publish(channel, '"short"')
		assert sdk.publications(2) == [TEXT_LONG, "short"]
		assert metric(broker, "bytes_sent") - before < len(TEXT_LONG) / 2
		sdk.do("publish", channel=channel, data={"from": "me " * 1000})
		assert sdk.publications(1) == [{"from": "me " * 1000}]


def test_subscribers_with_and_without_compression_get_the_same(broker, redis):
	channel = f"news-{uuid.uuid4().hex}"
	window = DEFLATE + "; server_max_window_bits=9"
	with subscribe(broker, channel) as plain, subscribe(broker, channel, DEFLATE) as packed, \
			subscribe(broker, channel, window) as narrow:
		assert "permessage-deflate" not in str(plain.headers)
		assert packed.headers["sec-websocket-extensions"] == \
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		assert narrow.headers["sec-websocket-extensions"].endswith("; server_max_window_bits=9")
		redis.publish(channel, json.dumps(TEXT_LONG))
		expected = plain.read_frame()
		assert expected.rsv == 0 and TEXT_LONG.encode() in expected.payload
		for ws in packed, narrow:
			frame = ws.read_frame()
			assert frame.rsv == RSV1 and inflate(frame.payload) == expected.payload
		redis.publish(channel, '"short"')
		assert plain.read_frame() == packed.read_frame() == narrow.read_frame()


def test_compression_is_off_unless_it_is_configured(redis):
	with Broker(redis=redis) as broker, WebSocket(broker.port, headers=[DEFLATE]) as ws:
		assert "sec-websocket-extensions" not in ws.headers
		ws.send_frame(TEXT, deflate(b'{"id":1,"connect":{}}'), rsv=RSV1)
		assert ws.read_closed().code == 1002


def test_commands_may_come_compressed_in_fragments(broker):
	command = deflate(b'{"id":1,"connect":{"name":"%s"}}' % (b"x" * 2000))
	with WebSocket(broker.port, headers=[DEFLATE]) as ws:
		ws.send_frame(TEXT, command[:5], fin=False, rsv=RSV1)
		ws.send_frame(9, b"between")
		ws.send_frame(0, command[5:])
		assert ws.read_frame().payload == b"between"
		assert b'"connect"' in ws.read_frame().payload


def peak_kib(broker):
	"""The most memory that the worker ever had."""
	[pid] = broker.worker_pids()
	with open(f"/proc/{pid}/status") as f:
		return int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1])


def test_bombs_cost_no_more_than_the_message_limit(redis):
	"""Sixty megabytes of zeros in sixty kilobytes, whole and in fragments: each is refused with 1009, and unpacked only up to
	64 KiB."""
	bomb = deflate(bytes(60 << 20))
	assert len(bomb) < 64 << 10
	with Broker(COMPRESSED, redis=redis) as broker:
		with connect(broker, DEFLATE) as ws:
			ws.read_frame()
			before = peak_kib(broker)
		for _ in range(20):
			with connect(broker, DEFLATE) as ws:
				ws.send_frame(TEXT, bomb, rsv=RSV1)
				assert ws.read_closed() == Closed(1009, "message is too big")
		for size in (100, 7000):
			with connect(broker, DEFLATE) as ws:
				parts = [bomb[at:at + size] for at in range(0, len(bomb), size)]
				for n, part in enumerate(parts):
					ws.send_frame(0 if n else TEXT, part, fin=n == len(parts) - 1, rsv=0 if n else RSV1)
				assert ws.read_closed() == Closed(1009, "message is too big")
		assert peak_kib(broker) - before < 8 << 10


def test_a_connection_that_may_compress_holds_no_window(redis):
	"""A single state of zlib is a quarter of a megabyte to send, and 40 KiB to receive."""
	with Broker(merge(COMPRESSED, {"client": {"ping_interval": "0s"}}), redis=redis) as broker:
		[worker] = broker.worker_pids()
		before = process.private_bytes(worker)
		clients = [subscribe(broker, "news", DEFLATE) for _ in range(500)]
		redis.publish("news", json.dumps(TEXT_LONG))
		for ws in clients:
			ws.send_frame(TEXT, deflate(b'{"id":3,"rpc":{"method":"%s"}}' % (b"x" * 5000)), rsv=RSV1)
			while b'"code":108' not in (frame := ws.read_frame()).payload:
				assert frame.rsv == RSV1
		assert process.private_bytes(worker) - before < 500 * (16 << 10)
		for ws in clients:
			ws.close()


@pytest.mark.parametrize("offers", [
	[f"x-{n}" for n in range(1000)], ["permessage-deflate; server_max_window_bits=8"] * 180, ["a;b=\"c\""] * 1000])
def test_a_thousand_extensions_are_read_once_and_passed_over(broker, offers):
	with WebSocket(broker.port, headers=["Sec-WebSocket-Extensions: " + ", ".join(offers)]) as ws:
		assert "sec-websocket-extensions" not in ws.headers
	with WebSocket(broker.port, headers=["Sec-WebSocket-Extensions: " + ", ".join([*offers, "permessage-deflate"])]) as ws:
		assert ws.headers["sec-websocket-extensions"].startswith("permessage-deflate")
