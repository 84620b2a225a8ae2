"""The embedded Redis: one command gives a working broker, whose data outlives a crash of its Redis."""

import os
import signal

import pytest

from lib import process
from lib.broker import Broker, run
from lib.client import Client


@pytest.fixture(scope="module")
def broker():
	with Broker(workers=2) as broker:
		yield broker


def redis_cli(broker, *arguments):
	result = run("redis-cli", "--runtime-dir", broker.runtime_path, *arguments)
	assert result.returncode == 0, result.stderr
	return result.stdout.strip()


def test_one_command_gives_a_working_broker(broker):
	with Client(broker.port) as client:
		client.subscribe("news").publish("news", 1)
		assert client.publication() == ("news", 1)


def test_the_command_line_reaches_it(broker):
	with Client(broker.port) as client:
		client.subscribe("news")
		assert run("publish", "news", "2", "--runtime-dir", broker.runtime_path).returncode == 0
		assert client.publication() == ("news", 2)
		redis_cli(broker, "PUBLISH", "fanfare:news", "3")
		assert client.publication() == ("news", 3)


def test_killed_it_is_restarted_and_keeps_its_data(broker):
	with Client(broker.port) as client:
		client.subscribe("news")
		redis_cli(broker, "SET", "kept", "yes")
		killed = broker.redis_pids()[0]
		os.kill(killed, signal.SIGKILL)
		process.wait_until(lambda: broker.redis_pids() not in ([], [killed]), "a new Redis", timeout=20)
		broker.wait_ready()
		assert redis_cli(broker, "GET", "kept") == "yes"
		redis_cli(broker, "PUBLISH", "fanfare:news", "4")
		assert client.publication() == ("news", 4)


def test_a_second_broker_on_the_same_directory_is_refused(broker):
	result = run("serve", "--listen", f"127.0.0.1:{process.free_port()}", "--runtime-dir", broker.runtime_path)
	assert result.returncode == 1
	assert broker.runtime_path in result.stderr


def test_its_data_outlives_the_broker():
	with Broker() as broker:
		redis_cli(broker, "SET", "kept", "yes")
		broker.stop()
		assert not broker.redis_pids()
		broker.start()
		assert redis_cli(broker, "GET", "kept") == "yes"
