"""A broker that speaks TLS, and clients of it."""

import contextlib
import json
import socket

from websockets.sync.client import connect as ws_connect

from . import process
from .broker import Broker


def tls_broker(ca, redis, workers=1, **tls):
	port = process.free_port()
	config = {"tls": {"cert_pem_file": ca.path("server.pem"), "key_pem_file": ca.path("server.key")} | tls}
	# Only dev mode shows the metrics.
	broker = Broker(config, redis=redis, workers=workers, dev=True, arguments=("--listen", f"tls:127.0.0.1:{port}"))
	broker.tls_port = port
	broker.tls_url = f"wss://localhost:{port}/connection/websocket"
	return broker


@contextlib.contextmanager
def connected(broker, context, name="localhost", session=None):
	with socket.create_connection(("127.0.0.1", broker.tls_port), timeout=10) as bare:
		with context.wrap_socket(bare, server_hostname=name, session=session) as secure:
			yield secure


def ask(secure, path="/health/live"):
	"""The status of a request; the connection ends with it."""
	secure.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
	answer = b""
	while data := secure.recv(65536):
		answer += data
	return int(answer.split(b" ", 2)[1])


def common_name(secure):
	return dict(pair for part in secure.getpeercert()["subject"] for pair in part)["commonName"]


def metric(broker, name):
	lines = broker.get("/metrics")[1].splitlines()
	return sum(int(line.split()[-1]) for line in lines if line.split(" ")[0] in (f"fanfare_{name}", f"fanfare_{name}_total"))


@contextlib.contextmanager
def subscribed(broker, ca, channel, **options):
	with ws_connect(
			broker.tls_url, ssl=ca.context(), subprotocols=["centrifuge-json"], max_size=None, **options) as ws:
		ws.send(json.dumps({"id": 1, "connect": {}}))
		ws.recv(timeout=10)
		ws.send(json.dumps({"id": 2, "subscribe": {"channel": channel}}))
		ws.recv(timeout=10)
		yield ws
