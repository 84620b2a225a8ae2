"""Malformed input of each kind gets its exact answer, and harms nobody else.

What is wrong in JSON and in the order of commands is in the recorded conversations; here are HTTP and frames.
"""

import base64
import os

import pytest

from lib.broker import Broker
from lib.client import Client
from lib.ws import (
	BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Closed, Frame, Framed, Peer, WebSocket, encode_frame, parse_head)

LIMIT = 65536


@pytest.fixture(scope="module")
def broker(redis):
	config = {"client": {"allowed_origins": ["https://app.example.com"]}}
	with Broker(config, redis=redis) as broker:
		yield broker


@pytest.fixture(scope="module")
def bystander(broker):
	with Client(broker.port) as client:
		yield client.subscribe("bystander")


@pytest.fixture(autouse=True)
def nobody_else_is_harmed(broker, bystander, redis):
	workers = broker.worker_pids()
	yield
	redis.publish("bystander", '"all is well"')
	assert bystander.publication() == ("bystander", "all is well")
	assert broker.worker_pids() == workers
	broker.check_log()


# HTTP

def key():
	return base64.b64encode(os.urandom(16)).decode()


def request(line="GET /connection/websocket HTTP/1.1", *headers, leave_out=(), instead=None):
	"""An upgrade request with headers added, left out or replaced."""
	usual = {
		"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key(),
		"Sec-WebSocket-Version": "13"} | (instead or {})
	lines = [line, *(f"{name}: {value}" for name, value in usual.items() if name not in leave_out), *headers, "", ""]
	return "\r\n".join(lines).encode("latin-1")


BAD_REQUESTS = {
	"no request line": (b"\r\n\r\n\r\n", 400),
	"garbage": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
	"one word": (b"GET\r\n\r\n", 400),
	"no version": (b"GET /\r\nHost: x\r\n\r\n", 400),
	"another version": (request("GET /connection/websocket HTTP/3.0"), 505),
	"no host": (request(leave_out=["Host"]), 400),
	"two hosts": (request("GET /connection/websocket HTTP/1.1", "Host: other"), 400),
	"a header without a colon": (request("GET /connection/websocket HTTP/1.1", "nonsense"), 400),
	"a header without a name": (request("GET /connection/websocket HTTP/1.1", ": x"), 400),
	"a space before the colon": (request("GET /connection/websocket HTTP/1.1", "Name : x"), 400),
	"a space in a name": (request("GET /connection/websocket HTTP/1.1", "A name: x"), 400),
	"a folded header": (request("GET /connection/websocket HTTP/1.1", "Name: x\r\n y"), 400),
	"NUL in a value": (request("GET /connection/websocket HTTP/1.1", "Name: x\0y"), 400),
	"a bare carriage return in a value": (request("GET /connection/websocket HTTP/1.1", "Name: x\ry"), 400),
	"lengths that differ": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
	"a length that is no number": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx", 400),
	"a length beyond all bounds": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
	"length and chunks": (
		b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
	"an unknown transfer coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n", 501),
	"a target without end": (b"GET /" + b"x" * 20000, 414),
	"a header without end": (b"GET / HTTP/1.1\r\nHost: x\r\nName: " + b"x" * 20000, 431),
	"too many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
	"upgrade by POST": (request("POST /connection/websocket HTTP/1.1", "Content-Length: 0"), 405),
	"upgrade by HTTP/1.0": (request("GET /connection/websocket HTTP/1.0"), 400),
	"upgrade without a key": (request(leave_out=["Sec-WebSocket-Key"]), 400),
	"upgrade with two keys": (request("GET /connection/websocket HTTP/1.1", f"Sec-WebSocket-Key: {key()}"), 400),
	"upgrade with a short key": (request(instead={"Sec-WebSocket-Key": "c2hvcnQ="}), 400),
	"upgrade with a key that is not base64": (request(instead={"Sec-WebSocket-Key": "!" * 22 + "=="}), 400),
	"upgrade without a version": (request(leave_out=["Sec-WebSocket-Version"]), 400),
	"upgrade to an old version": (request(instead={"Sec-WebSocket-Version": "8"}), 426),
	"upgrade without Connection": (request(leave_out=["Connection"]), 400),
	"a foreign origin": (request("GET /connection/websocket HTTP/1.1", "Origin: https://evil.example.com"), 403),
	"an origin that begins alike": (
		request("GET /connection/websocket HTTP/1.1", "Origin: https://app.example.com.evil.net"), 403),
	"an origin of another scheme": (request("GET /connection/websocket HTTP/1.1", "Origin: http://app.example.com"), 403),
	"the origin null": (request("GET /connection/websocket HTTP/1.1", "Origin: null"), 403),
	"an unknown path": (request("GET /nowhere HTTP/1.1"), 404),
	"an unknown method": (b"BREW /health/live HTTP/1.1\r\nHost: x\r\n\r\n", 405),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_gets_its_status(broker, name):
	data, status = BAD_REQUESTS[name]
	with Peer(broker.port) as peer:
		peer.send(data)
		line, headers = parse_head(peer.read_head())
	assert line.startswith(f"HTTP/1.1 {status} ")
	if status == 426:
		assert headers["sec-websocket-version"] == "13"


GOOD_REQUESTS = {
	"as usual": request(),
	"the allowed origin": request("GET /connection/websocket HTTP/1.1", "Origin: https://app.example.com"),
	"the allowed origin in capitals": request("GET /connection/websocket HTTP/1.1", "Origin: HTTPS://APP.example.com"),
	"a query": request("GET /connection/websocket?cf_protocol_version=v2 HTTP/1.1"),
	"an absolute target": request("GET http://localhost/connection/websocket HTTP/1.1"),
	"names and tokens in other case": request(
		"GET /connection/websocket HTTP/1.1", "upgrade: WebSocket", "connection: keep-alive, UPGRADE",
		leave_out=["Upgrade", "Connection"]),
	"an empty list of subprotocols": request("GET /connection/websocket HTTP/1.1", "Sec-WebSocket-Protocol: "),
	"a thousand subprotocols": request(
		"GET /connection/websocket HTTP/1.1", "Sec-WebSocket-Protocol: " + ", ".join(f"p{n}" for n in range(1000))),
	"extensions without sense": request(
		"GET /connection/websocket HTTP/1.1", "Sec-WebSocket-Extensions: permessage-deflate; x=\"; ; =,, ,;q=1;;"),
}


@pytest.mark.parametrize("name", GOOD_REQUESTS)
def test_an_unusual_but_right_request_is_upgraded(broker, name):
	with Peer(broker.port) as peer:
		peer.send(GOOD_REQUESTS[name])
		line, headers = parse_head(peer.read_head())
	assert line.startswith("HTTP/1.1 101 ")
	assert "sec-websocket-protocol" not in headers
	assert "sec-websocket-extensions" not in headers


def test_a_request_is_read_byte_by_byte_and_what_follows_it_is_not_lost(broker):
	with Framed(broker.port) as peer:
		for byte in request() + encode_frame(TEXT, b'{"id":1,"connect":{}}') + encode_frame(PING, b"x"):
			peer.send(bytes([byte]))
		peer.read_head()
		frame = peer.read_frame()
	assert frame.opcode == TEXT and b'"client"' in frame.payload


def test_frames_sent_together_with_the_request_are_answered(broker):
	with Framed(broker.port) as peer:
		peer.send(request() + encode_frame(TEXT, b'{"id":1,"connect":{}}'))
		assert parse_head(peer.read_head())[0].startswith("HTTP/1.1 101 ")
		frame = peer.read_frame()
	assert frame.opcode == TEXT and b'"client"' in frame.payload


def test_several_requests_on_one_connection_are_answered_in_order(broker):
	with Peer(broker.port) as peer:
		peer.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		answers = peer.read_to_end()
	assert answers.index(b"HTTP/1.1 200 ") < answers.index(b"HTTP/1.1 404 ")


# Frames

@pytest.fixture
def ws(broker):
	with WebSocket(broker.port) as ws:
		ws.send_text('{"id":1,"connect":{}}')
		assert '"client"' in ws.read_message()
		yield ws


FATAL_FRAMES = {
	"not masked": (encode_frame(TEXT, b"{}", mask=False), 1002),
	"first reserved bit": (encode_frame(TEXT, b"{}", rsv=4), 1002),
	"second reserved bit": (encode_frame(TEXT, b"{}", rsv=2), 1002),
	"third reserved bit": (encode_frame(TEXT, b"{}", rsv=1), 1002),
	"reserved bit in a ping": (encode_frame(PING, b"", rsv=4), 1002),
	"reserved data opcode": (encode_frame(3, b"{}"), 1002),
	"reserved control opcode": (encode_frame(11, b""), 1002),
	"ping of 126 bytes": (encode_frame(PING, b"x" * 126), 1002),
	"ping in fragments": (encode_frame(PING, b"x", fin=False), 1002),
	"close in fragments": (encode_frame(CLOSE, b"\x03\xe8", fin=False), 1002),
	"continuation of nothing": (encode_frame(CONTINUATION, b"{}"), 1002),
	"a message within a message": (encode_frame(TEXT, b"{", fin=False) + encode_frame(TEXT, b"}"), 1002),
	"length of 16 bits where 7 would do": (encode_frame(TEXT, b"{}", length_form=16), 1002),
	"length of 64 bits where 16 would do": (encode_frame(TEXT, b"x" * 200, length_form=64), 1002),
	"length with the top bit": (b"\x81\xff" + b"\xff" * 8 + b"mask", 1002),
	"announced above the limit": (b"\x82\xff" + (LIMIT + 1).to_bytes(8, "big") + b"mask", 1009),
	"announced as enormous": (b"\x82\xff" + (1 << 62).to_bytes(8, "big") + b"mask", 1009),
	"fragments above the limit": (
		encode_frame(TEXT, b" " * 40000, fin=False) + encode_frame(CONTINUATION, b" " * 40000), 1009),
	"close with half a code": (encode_frame(CLOSE, b"\x03"), 1002),
	"text that is not UTF-8": (encode_frame(TEXT, b"\xff"), 1007),
	"text that ends within a character": (encode_frame(TEXT, b'"\xe2\x82'), 1007),
	"an overlong character": (encode_frame(TEXT, b"\xc0\xaf"), 1007),
	"a surrogate in UTF-8": (encode_frame(TEXT, b"\xed\xa0\x80"), 1007),
	"bad UTF-8 in the first of several fragments": (encode_frame(TEXT, b"\xff", fin=False), 1007),
	"a character broken off by the next fragment": (
		encode_frame(TEXT, b"\xe2", fin=False) + encode_frame(CONTINUATION, b"x", fin=False), 1007),
	"close reason that is not UTF-8": (encode_frame(CLOSE, b"\x03\xe8\xff"), 1007),
} | {
	f"close with code {code}": (encode_frame(CLOSE, code.to_bytes(2, "big")), 1002)
	for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
}


@pytest.mark.parametrize("name", FATAL_FRAMES)
def test_a_bad_frame_closes_with_its_code(ws, name):
	data, code = FATAL_FRAMES[name]
	ws.send(data)
	assert ws.read_message().code == code


@pytest.mark.parametrize("name", ["not masked", "text that is not UTF-8", "ping in fragments"])
def test_a_bad_frame_after_single_bytes_closes_with_its_code(ws, name):
	data, code = FATAL_FRAMES[name]
	for byte in data:
		ws.send(bytes([byte]))
	assert ws.read_message().code == code


def test_nothing_is_answered_after_a_bad_frame(ws):
	ws.send(encode_frame(3, b"") + encode_frame(TEXT, b'{"id":2,"subscribe":{"channel":"a"}}'))
	assert ws.read_message().code == 1002
	assert ws.read_frame() is None


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 3000, 4999])
def test_a_close_is_answered_with_its_code(ws, code):
	ws.send_close(code, "bye")
	assert ws.read_message().code == code
	assert ws.read_frame() is None


def test_a_close_without_a_code_is_answered_so(ws):
	ws.send_frame(CLOSE)
	assert ws.read_message() == Closed(1005, "")


def test_a_ping_between_fragments_is_answered_at_once(ws):
	ws.send_frame(TEXT, b'{"id":2,"subscribe":', fin=False)
	ws.send_frame(PING, b"now")
	assert ws.read_frame() == Frame(PONG, b"now")
	ws.send_frame(CONTINUATION, b'{"channel":"a"}}')
	assert ws.read_message() == '{"id":2,"subscribe":{}}'


def test_a_character_may_be_split_over_fragments_and_single_bytes(ws):
	text = '{"id":2,"rpc":{"method":"€😀"}}'.encode()
	ws.send_fragments([bytes([byte]) for byte in text])
	assert '"code":108' in ws.read_message()


def test_empty_fragments_are_allowed(ws):
	ws.send_fragments([b"", b'{"id":2,"rpc":{}}', b"", b""])
	assert '"code":108' in ws.read_message()


def test_a_message_of_exactly_the_limit_is_accepted(ws):
	head, tail = b'{"id":2,"rpc":{"data":"', b'"}}'
	ws.send_frame(TEXT, head + b"x" * (LIMIT - len(head) - len(tail)) + tail)
	assert '"code":108' in ws.read_message()


def test_pongs_that_nobody_asked_for_are_ignored(ws):
	ws.send_frame(PONG, b"unasked")
	ws.send_text('{"id":2,"rpc":{}}')
	assert '"code":108' in ws.read_message()


def test_a_flood_of_pings_is_answered_in_order(ws):
	pings = [b"%d" % n for n in range(2000)]
	ws.send(b"".join(encode_frame(PING, payload) for payload in pings))
	assert [ws.read_frame().payload for _ in pings] == pings


def test_a_peer_that_vanishes_within_a_frame_leaves_no_trace(broker, ws):
	ws.send(encode_frame(TEXT, b"x" * 1000)[:500])
	ws.break_off()


def test_binary_frames_are_read_as_commands(ws):
	ws.send_frame(BINARY, b'{"id":2,"subscribe":{"channel":"a"}}')
	assert ws.read_message() == '{"id":2,"subscribe":{}}'


DEEP = '{"id":2,"publish":{"channel":"deep","data":' + "[" * 20000 + "]" * 20000 + "}}"


def test_deep_nesting_is_refused_or_published_but_never_fatal_for_others(broker, ws):
	ws.send_text(DEEP)
	answer = ws.read_message()
	assert answer == '{"id":2,"publish":{}}' or answer == Closed(3501, "bad request")


def test_half_a_message_of_many_peers_costs_nobody_else_anything(broker):
	peers = [WebSocket(broker.port) for _ in range(200)]
	for peer in peers:
		peer.send(encode_frame(TEXT, b" " * 60000)[:30000])
	for peer in peers:
		peer.close()
