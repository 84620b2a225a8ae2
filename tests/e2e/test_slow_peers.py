"""Peers that begin something and never end it cost what the limits say, and others nothing."""

import statistics
import subprocess
import time

import pytest

from lib import process
from lib.broker import Broker
from lib.certificates import Authority
from lib.client import Client
from lib.slowloris import Slowloris
from lib.ws import PING, PONG, TEXT, Closed, Frame, Peer, Timeout, WebSocket, encode_frame

HALF_OPEN = 5000


@pytest.fixture(scope="module")
def broker(redis, tmp_path_factory):
	ca = Authority(tmp_path_factory.mktemp("ca"))
	tls_port = process.free_port()
	config = {
		"tls": {
			"cert_pem_file": ca.issue("server", "IP:127.0.0.1") + ".both.pem", "handshake_limit": 2 * HALF_OPEN,
			"handshake_timeout": "10s"},
		"client": {"stale_close_delay": "1s", "ping_interval": "0s"},
	}
	with Broker(config, redis=redis, arguments=("--listen", f"tls:127.0.0.1:{tls_port}")) as broker:
		broker.tls_port = tls_port
		yield broker


def round_trips(redis, client, count=300):
	"""How long publications took from Redis to the client, in µs, sorted."""
	times = []
	for n in range(count):
		start = time.monotonic()
		redis.publish("live", str(n))
		assert client.publication() == ("live", n)
		times.append((time.monotonic() - start) * 1e6)
		time.sleep(0.001)  # so that the samples stretch over several turns of whoever else is there
	return sorted(times)


def p99(times):
	return times[len(times) * 99 // 100]


BEGINNINGS = {
	"request line": ("port", b"GET /connection/websocket?x="),
	"headers": ("port", b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nX-Slow: x"),
	# A record of 512 bytes is announced: not before the last of them is there anything to look at.
	"TLS handshake": ("tls_port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_five_thousand_half_open_handshakes_do_not_slow_others_down(broker, redis, name):
	"""Compares medians, of what was measured right before and right beside; noise of the machine would have to be there five
	times, and each time only beside."""
	port, beginning = BEGINNINGS[name]
	with Client(broker.port) as live:
		live.subscribe("live")
		for _ in range(5):
			alone = round_trips(redis, live)
			with Slowloris(getattr(broker, port), HALF_OPEN, beginning) as crowd:
				crowd.wait_complete()
				beside = round_trips(redis, live)
			print(
				f"{name}: median {statistics.median(alone):.0f} µs alone, {statistics.median(beside):.0f} beside {HALF_OPEN};"
				f" 99 % {p99(alone):.0f}, {p99(beside):.0f}")
			process.wait_until(lambda: connections(broker) < 100, "the worker has seen them off", timeout=60)
			if statistics.median(beside) <= 2 * statistics.median(alone):
				return
	raise AssertionError("five times they did")


def connections(broker):
	"""Sockets of the broker's ports that are established, as the kernel sees them."""
	ports = f"( sport = :{broker.port} or sport = :{broker.tls_port} )"
	return subprocess.run(["ss", "-Htn", "state", "established", ports], capture_output=True, text=True).stdout.count("\n")


def test_a_byte_now_and_then_does_not_keep_a_request_alive(broker):
	beginnings = [b"", b"GET /connection/websocket", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "]
	peers = [Peer(broker.port) for _ in beginnings]
	for peer, beginning in zip(peers, beginnings):
		peer.send(beginning)
	start = time.monotonic()
	while not all(peer.at_end for peer in peers):
		assert time.monotonic() - start < 120, "still there"
		for peer in peers:
			drip(peer, b"x")
	for peer in peers:
		peer.close()


def drip(peer, data):
	"""Sends, and looks for a moment at what comes."""
	peer.send(data)
	try:
		peer.fill(0.1)
	except Timeout:
		pass


@pytest.mark.parametrize("data", [b"", encode_frame(PING, b"ping"), encode_frame(PONG, b"pong"), encode_frame(0, b" ", fin=False)])
def test_who_upgrades_and_never_says_connect_is_closed_as_stale(broker, data):
	with WebSocket(broker.port) as ws:
		ws.send_frame(TEXT, b'{"id":1,', fin=False)
		start = time.monotonic()
		while not ws.at_end and b"\x88" not in ws.buffer:
			assert time.monotonic() - start < 60, "still there"
			drip(ws, data)
		assert ws.read_closed() == Closed(3502, "stale")


def test_a_message_that_never_ends_holds_no_more_than_its_limit(broker):
	"""A hundred clients with as much as they may send, and half of another frame: 64 KiB each, and what an allocator adds."""
	[worker] = broker.worker_pids()
	before = process.private_bytes(worker)
	clients = [Client(broker.port) for _ in range(100)]
	for client in clients:
		client.ws.send_frame(TEXT, b" " * 60000, fin=False)
		client.ws.send_frame(PING, b"read?")
		client.ws.send(encode_frame(0, b" " * 5000)[:3000])
	for client in clients:
		assert client.ws.read_frame() == Frame(PONG, b"read?")
	assert process.private_bytes(worker) - before < 100 * 3 * (64 << 10)
	for client in clients:
		client.close()
