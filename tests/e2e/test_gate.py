"""The door: who comes in and for whom, what is said to the others, and how those are slowed who send too much."""

import http.client
import re
import select
import socket
import ssl
import subprocess

import pytest

from lib import process
from lib import broker as broker_module
from lib.broker import Broker
from lib.certificates import Authority
from lib.client import Client
from lib.ws import PING, TEXT, Closed, Peer, WebSocket, encode_frame

LOCAL = {"trusted_peers": ["127.0.0.1"]}
BALANCER = "127.0.0.2"  # from here a PROXY header is demanded
BEHIND_BALANCER = {"proxy_protocol": {"trusted_peers": [BALANCER]}}
UPGRADE = (
	b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n")
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


def metric(broker, name):
	return int(re.search(rf"^fanfare_{name}(?:_total)? (\d+)$", broker.get("/metrics")[1], re.MULTILINE)[1])


def line(client, port=4711):
	return f"PROXY TCP4 {client} 127.0.0.1 {port} 443\r\n".encode()


def binary(client, port=4711):
	addresses = socket.inet_aton(client) + socket.inet_aton("127.0.0.1") + port.to_bytes(2, "big") + b"\1\xbb"
	extension = b"\x20\0\3abc"
	return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + (len(addresses) + len(extension)).to_bytes(2, "big") + addresses + extension


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
	authority = Authority(tmp_path_factory.mktemp("ca"))
	authority.issue("server", "DNS:localhost", "IP:127.0.0.1")
	return authority


# PROXY protocol

@pytest.mark.parametrize("header", [line, binary])
def test_a_proxy_header_names_the_client_in_the_log(redis, header):
	with Broker(BEHIND_BALANCER, redis=redis) as broker, Peer(broker.port, source=BALANCER) as peer:
		peer.send(header("192.0.2.1") + UPGRADE + b"\r\n" + encode_frame(TEXT, b"nonsense"))
		assert b" 101 " in peer.read_head()
		process.wait_until(lambda: " 192.0.2.1:4711: closed with 3501" in broker.log(), "the line with the client")


@pytest.mark.parametrize("header", [line, binary])
def test_a_proxy_header_may_come_in_any_two_pieces_and_tls_follows(redis, ca, header):
	port = process.free_port()
	tls = {"tls": {"cert_pem_file": ca.path("server.pem"), "key_pem_file": ca.path("server.key")}}
	whole = header("192.0.2.1")
	with Broker(BEHIND_BALANCER | tls, redis=redis, arguments=("--listen", f"tls:127.0.0.1:{port}")):
		for cut in range(1, len(whole) + 1, 3):
			with socket.create_connection(("127.0.0.1", port), 10, (BALANCER, 0)) as bare:
				bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
				bare.sendall(whole[:cut])
				bare.sendall(whole[cut:])
				with ca.context().wrap_socket(bare, server_hostname="localhost") as secure:
					secure.sendall(GET + b"\r\n")
					assert secure.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_who_must_begin_with_a_header_and_does_not_is_broken_off(redis):
	with Broker(BEHIND_BALANCER, redis=redis, dev=True) as broker:
		for said in (GET + b"\r\n", b"\x16\3\1\0\5", b"PROXY TCP4 nobody\r\n", b"PROXY " + b"x" * 200):
			with Peer(broker.port, source=BALANCER) as peer:
				peer.send(said)
				assert peer.read_to_end() == b""
		assert "refused 127.0.0.2:" in broker.log()
		assert "PROXY header: is none" in broker.log()
		assert metric(broker, "proxy_headers_refused") == 4


def test_the_limit_of_an_address_holds_for_clients_behind_a_load_balancer(redis):
	config = BEHIND_BALANCER | {"limits": {"connections_per_address": 2}}
	with Broker(config, redis=redis) as broker:
		peers = [Peer(broker.port, source=BALANCER) for _ in range(4)]
		for peer, client, status in zip(peers, ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"), (200, 200, 429, 200)):
			peer.send(line(client) + GET + b"\r\n")
			assert peer.read_head().startswith(b"HTTP/1.1 %d " % status)
		assert peers[2].read_to_end() == b""
		for peer in peers:
			peer.close()


def test_who_is_not_trusted_says_a_header_for_nothing(redis):
	with Broker({"proxy_protocol": {"trusted_peers": ["192.0.2.0/24"]}}, redis=redis) as broker:
		with Peer(broker.port) as peer:
			peer.send(line("192.0.2.1") + GET + b"\r\n")
			assert peer.read_to_end().startswith(b"HTTP/1.1 400 Bad Request\r\n")
		with WebSocket(broker.port, headers=["X-Forwarded-For: 192.0.2.1"]) as ws:
			ws.send_text("nonsense")
			assert ws.read_closed().code == 3501
		assert "192.0.2.1" not in broker.log()


# X-Forwarded-For

def test_forwarded_for_names_the_client_whose_origin_is_refused(redis):
	config = {"client": {"allowed_origins": ["https://app.example.com"]}, "forwarded_for": LOCAL}
	with Broker(config, redis=redis) as broker, Peer(broker.port) as peer:
		peer.send(UPGRADE + b"Origin: https://evil.com\r\nX-Forwarded-For: 1.1.1.1, [2001:db8::1]:99, 127.0.0.1\r\n\r\n")
		assert b" 403 " in peer.read_head()
		assert re.search(r"conn \d+ \[2001:db8::1\]:99: refused: origin https://evil.com is not", broker.log())


def test_the_limit_of_an_address_holds_for_clients_behind_a_proxy(redis):
	config = {"limits": {"connections_per_address": 2}, "forwarded_for": LOCAL}
	with Broker(config, redis=redis, dev=True) as broker:
		first, second = [WebSocket(broker.port, headers=["X-Forwarded-For: 192.0.2.1"]) for _ in range(2)]
		with pytest.raises(ConnectionError, match="429"):
			WebSocket(broker.port, headers=["X-Forwarded-For: 192.0.2.1"])
		WebSocket(broker.port, headers=["X-Forwarded-For: 192.0.2.2"]).close()
		first.close()

		def comes_in():
			try:
				WebSocket(broker.port, headers=["X-Forwarded-For: 192.0.2.1"]).close()
				return True
			except ConnectionError:
				return False

		process.wait_until(comes_in, "the place is given back")
		second.close()
		assert metric(broker, "refused_address") >= 1
		assert "192.0.2.1: limits.connections_per_address is reached for this address" in broker.log()


def test_a_proxy_that_does_not_say_an_address_is_warned_about(redis):
	with Broker({"forwarded_for": LOCAL}, redis=redis) as broker, Peer(broker.port) as peer:
		peer.send(GET + b"X-Forwarded-For: 192.0.2.1, unknown\r\n\r\n")
		assert b" 200 " in peer.read_head()
		assert re.search(r" warning .*conn \d+ 127.0.0.1:\d+: X-Forwarded-For is of no use", broker.log())


# Refusals

def comes_in(broker, clients):
	try:
		clients.append(Client(broker.port))
		return True
	except ConnectionError:
		return False


def test_a_limit_on_a_tls_address_is_told_by_an_alert(redis, ca):
	port = process.free_port()
	config = {
		"client": {"connection_limit": 1},
		"tls": {"cert_pem_file": ca.path("server.pem"), "key_pem_file": ca.path("server.key")}}
	with Broker(config, redis=redis, arguments=("--listen", f"tls:127.0.0.1:{port}")) as broker:
		# The place is free when the connection that found the broker ready is gone.
		clients = []
		process.wait_until(lambda: clients or comes_in(broker, clients), "the place is free")
		with clients[0]:
			with socket.create_connection(("127.0.0.1", port), timeout=10) as bare:
				with pytest.raises(ssl.SSLError, match="ALERT_INTERNAL_ERROR"):
					ca.context().wrap_socket(bare, server_hostname="localhost")
		assert "client.connection_limit is reached" in broker.log()


def limit_descriptors(pid, count):
	subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={count}:"], check=True)


def test_who_comes_when_there_is_no_descriptor_left_is_told_at_once(redis):
	with Broker(redis=redis, dev=True) as broker:
		worker = broker.worker_pids()[0]
		with Client(broker.port) as bystander:
			bystander.subscribe("news")
			limit_descriptors(worker, 20)
			peers = [Peer(broker.port) for _ in range(60)]  # the first few get the last descriptors
			process.wait_until(lambda: len(answered(peers)) >= 40, "the others are told")
			for peer in answered(peers):
				assert peer.read_to_end().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
			redis.publish("news", "1")
			assert bystander.publication() == ("news", 1)
			limit_descriptors(worker, 1024)
			with Client(broker.port):
				pass
			assert metric(broker, "refused_descriptors") >= 40
			assert "no descriptor is left" in broker.log()
			for peer in peers:
				peer.close()


def answered(peers):
	return [peer for peer in peers if peer.buffer or select.select([peer.socket], [], [], 0)[0]]


def test_new_connections_have_a_rate(redis):
	with Broker({"client": {"connection_rate_limit": 10}}, redis=redis, dev=True) as broker:
		answers = []
		for _ in range(100):
			with Peer(broker.port) as peer:
				peer.send(GET + b"Connection: close\r\n\r\n")
				answers.append(peer.read_to_end()[:12])
		assert set(answers) == {b"HTTP/1.1 200", b"HTTP/1.1 503"}
		assert "client.connection_rate_limit is reached" in broker.log()


def test_a_head_that_is_too_long_or_has_too_many_headers_is_counted(redis):
	with Broker(redis=redis, dev=True) as broker:
		for said, status in (
				(b"GET /" + b"x" * 9000, b" 414 "), (GET + b"X: y\r\n" * 70 + b"\r\n", b" 431 "),
				(GET + b"X: " + b"y" * 17000, b" 431 ")):
			with Peer(broker.port) as peer:
				peer.send(said)
				assert status in peer.read_head()
		assert metric(broker, "heads_refused") == 3
		assert "refused with 431: too many headers" in broker.log()


@pytest.mark.parametrize("said, why", [
	(line("192.0.2.1") + GET + b"\r\n", "a PROXY header from a peer that is not in proxy_protocol.trusted_peers"),
	(binary("192.0.2.1") + GET + b"\r\n", "a PROXY header from a peer that is not in proxy_protocol.trusted_peers"),
	(b"\x16\3\1\0\xc8\1\0\0\xc4\3\3" + bytes(190), "TLS on an address without it"),
	(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 is not spoken here"),
	(b"\r\n" * 20, "empty request line"),
], ids=["PROXY line", "binary PROXY header", "TLS", "HTTP/2", "nonsense"])
def test_what_comes_in_place_of_a_request_is_named_in_the_answer_and_the_log_and_counted(redis, said, why):
	with Broker(redis=redis, dev=True) as broker:
		with Peer(broker.port) as peer:
			peer.send(said)
			assert peer.read_to_end().startswith(b"HTTP/1.1 400 Bad Request\r\n")
			assert bytes(peer.buffer).endswith(b"\r\n\r\n" + why.encode())
		assert f"refused with 400: {why}\n" in broker.log()
		assert metric(broker, "heads_malformed") == 1


def test_heads_and_idle_connections_have_their_time(redis):
	config = {"limits": {"head_timeout": "300ms", "keep_alive_timeout": "300ms"}}
	with Broker(config, redis=redis, dev=True) as broker:
		with Peer(broker.port) as silent, Peer(broker.port) as slow, Peer(broker.port) as idle:
			idle.send(GET + b"\r\n")
			assert b" 200 " in idle.read_head()
			slow.send(GET)
			for peer in silent, slow, idle:
				peer.read_to_end()
		assert metric(broker, "heads_late") == 2


# What a client sends

def test_a_flood_of_commands_is_slowed_and_none_is_lost(redis):
	config = {"limits": {"commands_per_second": 200}}
	with Broker(config, redis=redis, dev=True) as broker, Client(broker.port) as client, Client(broker.port) as other:
		ids = range(100, 2400)
		for begin in ids[::100]:
			commands = (b'{"id":%d,"unsubscribe":{"channel":"x"}}' % id for id in range(begin, begin + 100))
			client.ws.send_frame(TEXT, b"\n".join(commands))
		other.subscribe("news")
		redis.publish("news", "1")
		assert other.publication() == ("news", 1)
		for id in ids:
			assert client.reply(id, "unsubscribe") == {}
		assert metric(broker, "held_back_commands") > 0
		assert "held back at limits.commands_per_second" in broker.log()


def test_who_sends_far_too_many_at_once_is_disconnected(redis):
	with Broker({"limits": {"commands_per_second": 10}}, redis=redis, dev=True) as broker, Client(broker.port) as client:
		client.ws.send_frame(TEXT, b"\n".join(b'{"id":%d,"unsubscribe":{"channel":"x"}}' % (n + 9) for n in range(500)))
		assert client.closed() == Closed(3013, "too many requests")
		assert metric(broker, "rate_disconnects") == 1


def test_a_flood_of_pings_is_slowed(redis):
	with Broker({"limits": {"commands_per_second": 100}}, redis=redis, dev=True) as broker, WebSocket(broker.port) as ws:
		ws.send_text('{"id":1,"connect":{}}')
		for _ in range(11):
			ws.send(encode_frame(PING, b"x") * 100)
		pongs = 0
		while pongs < 1100:
			frame = ws.read_frame()
			pongs += frame.opcode == 10
		assert metric(broker, "held_back_commands") > 0


def test_a_flood_of_bytes_is_slowed_and_none_is_lost(redis):
	config = {"limits": {"bytes_per_second": 131072}}
	with Broker(config, redis=redis, dev=True) as broker, Client(broker.port) as client:
		pad = "x" * 50000
		client.ws.socket.settimeout(30)
		ids = [client.send("rpc", {"method": pad}) for _ in range(32)]
		client.send("unsubscribe", {"channel": "end"})
		for id in ids:
			with pytest.raises(AssertionError, match="108"):
				client.reply(id, "rpc")
		assert metric(broker, "held_back_bytes") > 0


# CORS

def ask(broker, method, path, **headers):
	connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=5)
	try:
		connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
		response = connection.getresponse()
		response.read()
		return response.status, dict(response.getheaders())
	finally:
		connection.close()


def test_pages_of_allowed_origins_may_read_health(redis):
	with Broker({"client": {"allowed_origins": ["https://*.example.com"]}}, redis=redis) as broker:
		status, headers = ask(broker, "GET", "/health/live", Origin="https://app.example.com")
		assert status == 200 and headers["Access-Control-Allow-Origin"] == "https://app.example.com"
		assert headers["Access-Control-Allow-Credentials"] == "true" and headers["Vary"] == "Origin"
		status, headers = ask(broker, "GET", "/health/live", Origin="https://example.com.evil.com")
		assert status == 200 and headers["Vary"] == "Origin" and "Access-Control-Allow-Origin" not in headers
		status, headers = ask(
			broker, "OPTIONS", "/health/live", Origin="https://app.example.com", Access_Control_Request_Method="GET",
			Access_Control_Request_Headers="x-request-id")
		assert status == 204
		assert headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
		assert headers["Access-Control-Allow-Headers"] == "x-request-id"
		assert headers["Access-Control-Max-Age"] == "300"


def test_the_origin_null_passes_only_by_its_name(redis):
	with Broker({"client": {"allowed_origins": ["*"]}}, redis=redis) as broker:
		with pytest.raises(ConnectionError, match="403"):
			WebSocket(broker.port, headers=["Origin: null"])
		WebSocket(broker.port, headers=["Origin: https://anything.example"]).close()
	with Broker({"client": {"allowed_origins": ["null"]}}, redis=redis) as broker:
		WebSocket(broker.port, headers=["Origin: null"]).close()


# Compression per address

def test_compression_may_be_had_at_one_address_only(redis):
	port = process.free_port()
	offer = ["Sec-WebSocket-Extensions: permessage-deflate"]
	with Broker(redis=redis, arguments=("--listen", f"deflate:127.0.0.1:{port}")) as broker:
		with WebSocket(broker.port, headers=offer) as plain, WebSocket(port, headers=offer) as packed:
			assert "sec-websocket-extensions" not in plain.headers
			assert packed.headers["sec-websocket-extensions"].startswith("permessage-deflate")


# Configuration

def test_a_peer_that_is_none_is_an_error_with_its_place(tmp_path):
	code, stderr = broker_module.check(tmp_path, {"proxy_protocol": {"trusted_peers": ["10.0.0.0/8", "10.0.0.1/8"]}})
	assert code != 0
	assert 'proxy_protocol.trusted_peers: item 2: must not have bits set behind its prefix, not "10.0.0.1/8"' in stderr
