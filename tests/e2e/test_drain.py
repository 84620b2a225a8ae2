"""Stopping: clients are sent away politely and not all at once."""

import json
import os
import select
import signal
import socket
import subprocess
import time

import pytest

from lib import process
from lib.broker import BINARY, ENVIRONMENT, Broker
from lib.client import Client
from lib.ws import Closed, WebSocket

CLIENTS = 40
DRAIN_S = 2.0
# Not to be taken for how long it takes a busy machine to end some processes.
LONG_S = 60.0


def draining(redis, seconds):
	return Broker({"shutdown": {"timeout": f"{seconds:.0f}s"}}, redis=redis, workers=2)


@pytest.fixture
def broker(redis):
	with draining(redis, DRAIN_S) as broker:
		yield broker


@pytest.fixture
def patient_broker(redis):
	with draining(redis, LONG_S) as broker:
		yield broker


def close_times(clients):
	"""Seconds until each got its close frame."""
	start, open_clients, times = time.monotonic(), {client.ws.socket: client for client in clients}, []
	while open_clients:
		readable, _, _ = select.select(list(open_clients), [], [], 30)
		assert readable, f"{len(open_clients)} clients were not closed"
		for socket in readable:
			assert open_clients.pop(socket).closed() == Closed(3001, "shutdown")
			times.append(time.monotonic() - start)
	return times


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_clients_get_3001_spread_over_the_drain_time(redis, sig):
	def spread():
		with draining(redis, DRAIN_S) as broker:
			clients = [Client(broker.port).subscribe("news") for _ in range(CLIENTS)]
			broker.process.send_signal(sig)
			times = close_times(clients)
			assert broker.process.wait(30) == 0
		assert times[-1] - times[0] > DRAIN_S / 3, "they would all come back in one instant"
		for earlier, later in zip(times, times[CLIENTS // 2:]):
			assert later - earlier > DRAIN_S / 10, "half of them at once"
	process.despite_noise(spread)


def test_unidirectional_clients_are_told_by_a_push_and_the_close_code(redis):
	config = {"shutdown": {"timeout": "1s"}, "uni_websocket": {"enabled": True}}
	with Broker(config, redis=redis, workers=1) as broker:
		ws = WebSocket(broker.port, "/connection/uni_websocket")
		ws.send_text("{}")
		assert "connect" in json.loads(ws.read_message())
		broker.process.send_signal(signal.SIGTERM)
		assert json.loads(ws.read_message()) == {"disconnect": {"code": 3001, "reason": "shutdown"}}
		assert ws.read_message() == Closed(3001, "shutdown")


def test_the_log_tells_how_long_it_may_take(redis):
	with Broker({"shutdown": {"timeout": "1500ms"}}, redis=redis, workers=1) as broker:
		with Client(broker.port):
			process.wait_until(lambda: "1 worker is ready" in broker.log(), "the log tells of the start")
			broker.process.send_signal(signal.SIGTERM)
			assert broker.process.wait(30) == 0
		assert "within 1.5 s, and at most 5 s more for clients that do not answer" in broker.log()
		assert "draining 1 connection within 1.5 s" in broker.log()


def test_a_client_that_does_not_answer_the_close_gets_five_seconds_more(redis):
	def silence():
		with Broker({"shutdown": {"timeout": "0s"}}, redis=redis, workers=1) as broker, Client(broker.port):
			start = time.monotonic()
			broker.process.send_signal(signal.SIGTERM)
			assert broker.process.wait(60) == 0
			assert 4 < time.monotonic() - start < 8
	process.despite_noise(silence)


def test_without_clients_it_stops_at_once(patient_broker):
	patient_broker.process.send_signal(signal.SIGTERM)
	assert patient_broker.process.wait(LONG_S / 2) == 0


def test_quit_stops_without_draining(patient_broker):
	clients = [Client(patient_broker.port) for _ in range(CLIENTS)]
	workers = patient_broker.worker_pids()
	patient_broker.process.send_signal(signal.SIGQUIT)
	patient_broker.process.wait(LONG_S / 2)
	process.wait_until(lambda: not any(map(process.alive, workers)), "workers are gone", LONG_S / 2)
	for client in clients:
		client.closed()
		client.close()


def test_a_second_start_follows_at_once(broker):
	for _ in range(2):
		assert broker.stop() == 0
		broker.start()
		with Client(broker.port) as client:
			client.subscribe("news")


def test_ctrl_c_ends_dev_mode_in_seconds_with_all_that_it_started(tmp_path):
	"""A terminal sends the signal to everybody in the foreground, the embedded Redis too."""
	port = process.free_port()
	broker = process.spawn(
		[BINARY, "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--runtime-dir", tmp_path], start_new_session=True,
		stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=os.environ | ENVIRONMENT)
	process.wait_until(lambda: answers(port), "the broker listens")
	clients = [Client(port).subscribe("news") for _ in range(5)]
	family = process.descendants(broker.pid)
	start = time.monotonic()
	os.killpg(broker.pid, signal.SIGINT)
	assert close_times(clients)
	assert broker.wait(30) == 0
	assert time.monotonic() - start < 15  # not in dev mode it drains for half a minute
	assert not any(map(process.alive, family))


def answers(port):
	try:
		with socket.create_connection(("127.0.0.1", port)):
			return True
	except OSError:
		return False
