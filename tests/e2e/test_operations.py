"""What happens to a broker on a real host: clocks are set, processes stop and go on, somebody starts it twice."""

import os
import re
import signal
import time

import pytest

from lib import process
from lib.broker import BINARY, ENVIRONMENT, OPEN, Broker, merge
from lib.client import Client, ErrorReply
from lib.clock import Clock
from lib.redis_server import RedisServer

YEAR_S = 365 * 86400


# Starting

def test_of_several_started_at_once_on_one_directory_one_serves_and_the_others_say_why(redis, tmp_path):
	port = process.free_port()
	logs = [open(tmp_path / f"log{n}", "w+") for n in range(6)]
	started = [
		process.spawn(
			[BINARY, "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--redis", redis.url, "--workers", 1, "--runtime-dir",
			 tmp_path / "run"],
			stderr=log, env=os.environ | ENVIRONMENT)
		for log in logs]
	process.wait_until(lambda: sum(p.poll() is None for p in started) <= 1, "all but one have ended")
	[winner] = [p for p in started if p.poll() is None]
	process.wait_until(lambda: serves(port), "the one serves")
	assert process.stop(winner) == 0
	for p, log in zip(started, logs):
		log.seek(0)
		if p is not winner:
			assert p.returncode == 1 and "another broker (pid " in log.read()
		log.close()


def serves(port):
	try:
		with Client(port):
			return True
	except OSError:
		return False


def test_a_pid_file_that_names_a_stranger_harms_neither(redis):
	"""A broker was killed, and its number is somebody else's by now."""
	stranger = process.spawn(["sleep", "1000"])
	try:
		with Broker(redis=redis) as broker:
			broker.process.kill()
			broker.process.wait()
			with open(os.path.join(broker.runtime_path, "fanfare.pid"), "w") as f:
				f.write(f"{stranger.pid}\n")
			broker.start()
			broker.stop()
			assert stranger.poll() is None
	finally:
		process.stop(stranger, signal.SIGKILL)


# Processes that stop

def test_a_worker_that_was_stopped_goes_on_where_it_was(redis):
	with Broker(redis=redis) as broker, Client(broker.port) as client:
		client.subscribe("news")
		[worker] = broker.worker_pids()
		with process.frozen(worker):
			for n in range(100):
				redis.publish("news", str(n))
		assert [data for _, data in client.publications(100)] == list(range(100))
		assert broker.worker_pids() == [worker]


def test_a_worker_that_redis_cut_off_while_it_was_stopped_hears_again_and_says_so():
	"""Redis drops a subscriber for whom too much waits. It must not go on deaf, with its clients none the wiser."""
	with RedisServer("--client-output-buffer-limit", "pubsub 1mb 1mb 60") as redis, \
			Broker(redis=redis, dev=True) as broker, Client(broker.port) as client:
		client.subscribe("news")
		[worker] = broker.worker_pids()
		payload = '"' + "x" * 100_000 + '"'
		with process.frozen(worker):
			process.wait_until(
				lambda: redis.publish("news", payload) == 0, "Redis cuts the subscriber off", every=0)
		process.wait_until(lambda: re.search("Redis.*is back", broker.log()), "the link is back")
		broker.wait_ready()
		assert re.search(r"warning \[worker 0\].*Redis", broker.log())
		assert re.search(r"^fanfare_redis_link_losses_total [1-9]", broker.get("/metrics")[1], re.MULTILINE)
		redis.publish("news", '"heard"')
		while client.publication() != ("news", "heard"):
			pass
		assert broker.worker_pids() == [worker]


# What Redis refuses

def test_what_redis_refuses_is_logged_as_it_says_it_and_with_what_helps():
	kept = {"channel": {"without_namespace": {
		"history_size": 10, "history_ttl": "1m", "allow_history_for_client": True, "allow_history_for_anonymous": True}}}
	with RedisServer() as redis, Broker(merge(OPEN, kept), redis) as broker, Client(broker.port).subscribe("news") as client:
		redis.call("CONFIG", "SET", "min-replicas-to-write", 1)
		with pytest.raises(ErrorReply, match="100"):
			client.publish("news", 1)
		assert re.search(r"refused to publish: NOREPLICAS .*; its replicas are away or late, see its min-replicas-to-write\n", broker.log())
		redis.call("CONFIG", "SET", "min-replicas-to-write", 0)
		redis.call("SET", "{fanfare:news}.stream", "x")
		with pytest.raises(ErrorReply, match="100"):
			client.call("history", {"channel": "news", "limit": 1})
		assert re.search(r"cannot read a history: WRONGTYPE fanfare_history: ", broker.log())


# The clock

@pytest.fixture
def clock(tmp_path):
	return Clock(tmp_path)


def pings(client, count):
	"""Waits for so many pings, and answers them."""
	while count > 0:
		for line in client.ws.read_message().split("\n"):
			if line == "{}":
				client.ws.send_text("{}")
				count -= 1


@pytest.mark.parametrize("seconds", [3600, 20 * YEAR_S, -3600, -20 * YEAR_S])
def test_a_clock_that_is_set_anew_changes_nothing_but_the_time_that_is_told(redis, clock, seconds):
	config = {"client": {"ping_interval": "3s", "pong_timeout": "2900ms", "connect_include_server_time": True},
		"redis": {"canary_interval": "100ms", "canary_timeout": "30s", "call_timeout": "30s"}}
	with Broker(config, redis=redis, env=clock.environment) as broker, Client(broker.port) as client:
		client.subscribe("news")
		pings(client, 1)
		clock.jump(seconds)
		pings(client, 2)
		redis.publish("news", "1")
		assert client.publication() == ("news", 1)
		with Client(broker.port) as late:
			assert abs(late.hello["time"] / 1000 - time.time() - seconds) < 100
			late.publish("news", 2)
		assert client.publication() == ("news", 2)
		assert broker.ready()[0] == 200
		assert "warning" not in broker.log()


# What it tells

def test_metrics_are_names_and_numbers_whatever_clients_call_their_channels(redis):
	with Broker(redis=redis, dev=True) as broker, Client(broker.port, query={"name": 'x"} 1\nevil 1'}) as client:
		client.subscribe('a"} 1', "b{c=\"d\"}", "fanfare_clients 7", "\\n")
		for line in broker.get("/metrics")[1].splitlines():
			assert re.fullmatch(r"# (HELP|TYPE) fanfare_[a-z_]+ .+|fanfare_[a-z_]+ [0-9]+", line), line
