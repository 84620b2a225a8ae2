"""A crash is local, and nothing is orphaned."""

import errno
import os
import select
import signal
import socket

import pytest

from lib import process
from lib.broker import Broker
from lib.client import Client, Disconnected
from lib.load import Load
from lib.redis_server import RedisClient
from lib.ws import Closed, Peer

CLIENTS = 24


@pytest.fixture
def broker(redis):
	with Broker(redis=redis, workers=2) as broker:
		yield broker


@pytest.fixture
def clients(broker):
	clients = [Client(broker.port).subscribe("load") for _ in range(CLIENTS)]
	yield clients
	for client in clients:
		client.close()


def refuses_connections(port):
	with socket.socket() as knock:
		return knock.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def read_to(client, last):
	"""Numbers received up to and with the last; None when the connection broke before."""
	numbers = []
	try:
		while not numbers or numbers[-1] < last:
			numbers.append(client.publication()[1])
	except Disconnected:
		return None
	return numbers


def test_a_killed_worker_takes_only_its_own_clients_and_they_come_back(broker, clients, redis):
	load = Load(lambda: RedisClient(redis.port), "load")
	process.wait_until(lambda: load.sent > 100, "some load")
	victim, survivor = broker.worker_pids()
	os.kill(victim, signal.SIGKILL)
	process.wait_until(
		lambda: len(broker.worker_pids()) == 2 and victim not in broker.worker_pids(), "a new worker is there")
	broker.wait_ready()
	last = load.stop()

	received = [read_to(client, last) for client in clients]
	untouched = [numbers for numbers in received if numbers is not None]
	assert 0 < len(untouched) < CLIENTS, "the kernel gave all clients to one worker"
	for numbers in untouched:
		assert numbers == list(range(numbers[0], last + 1)), "no gap and no repetition on the other worker"
	assert survivor in broker.worker_pids()

	back = [Client(broker.port).subscribe("load") for numbers in received if numbers is None]
	redis.publish("load", "-1")
	for client in back:
		assert client.publication() == ("load", -1)
		client.close()


def test_connections_waiting_for_a_dead_worker_are_served_by_the_next(broker):
	stopped = broker.worker_pids()[0]
	os.kill(stopped, signal.SIGSTOP)
	peers = [Peer(broker.port) for _ in range(CLIENTS)]
	for peer in peers:
		peer.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	waiting = unanswered(peers)
	assert 0 < len(waiting) < CLIENTS, "some wait in the queue of the stopped worker"
	os.kill(stopped, signal.SIGKILL)
	for peer in waiting:
		assert peer.read_head().startswith(b"HTTP/1.1 200 ")
	for peer in peers:
		peer.close()


def unanswered(peers, silence=0.5):
	"""Those that have nothing to read when nothing has come for a while."""
	waiting = {peer.socket: peer for peer in peers}
	while readable := select.select(list(waiting), [], [], silence)[0]:
		for socket in readable:
			assert waiting.pop(socket).read_head().startswith(b"HTTP/1.1 200 ")
	return list(waiting.values())


def test_a_worker_that_keeps_dying_is_respawned_again_and_again(broker):
	for _ in range(3):
		victim = broker.worker_pids()[0]
		os.kill(victim, signal.SIGKILL)
		process.wait_until(
			lambda: len(broker.worker_pids()) == 2 and victim not in broker.worker_pids(), "a new worker")
	broker.wait_ready()


def test_workers_drain_and_leave_when_the_master_is_killed():
	"""With the embedded Redis, which must not be orphaned either."""
	with Broker(workers=2) as broker:
		clients = [Client(broker.port).subscribe("load") for _ in range(CLIENTS)]
		workers, others = broker.worker_pids(), broker.redis_pids()
		assert len(workers) == 2 and len(others) == 1
		broker.process.kill()
		broker.process.wait()
		for client in clients:
			assert client.closed() == Closed(3001, "shutdown")
			client.close()
		process.wait_until(lambda: not any(map(process.alive, workers + others)), "workers and Redis leave", timeout=20)


def test_a_killed_broker_is_started_again_while_its_workers_still_drain(redis):
	with Broker({"shutdown": {"timeout": "60s"}}, redis=redis, workers=2) as broker:
		clients = [Client(broker.port) for _ in range(CLIENTS)]
		workers = broker.worker_pids()
		broker.process.kill()
		broker.process.wait()
		process.wait_until(lambda: refuses_connections(broker.port), "the workers let go of the port")
		assert any(map(process.alive, workers))
		broker.start()
		with Client(broker.port) as client:
			client.subscribe("news").publish("news", 1)
			assert client.publication() == ("news", 1)
		assert any(map(process.alive, workers))
		for client in clients:
			client.close()
		process.wait_until(lambda: not any(map(process.alive, workers)), "the old workers leave")


def test_no_worker_means_not_ready_but_never_a_lost_listener(broker):
	for pid in broker.worker_pids():
		os.kill(pid, signal.SIGKILL)
	with Peer(broker.port) as peer:
		peer.send(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		assert peer.read_head().startswith(b"HTTP/1.1 200 ")


def test_a_stuck_worker_does_not_keep_the_broker_from_stopping(redis):
	with Broker(redis=redis, workers=2) as broker:
		os.kill(broker.worker_pids()[0], signal.SIGSTOP)
		broker.stop()
