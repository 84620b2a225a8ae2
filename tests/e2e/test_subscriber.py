"""`fanfare subscribe` follows a channel with history over whatever breaks: each publication once, in order, or it says that some are
missing."""

import os
import signal
import subprocess

import pytest

from lib import process
from lib.broker import BINARY, ENVIRONMENT, HISTORY, OPEN, Broker, merge
from lib.redis_server import RedisServer

MISSED = "fanfare subscribe: subscribed to %s; publications were missed that are not there any more\n"


@pytest.fixture
def redis():
	with RedisServer() as server:
		yield server


@pytest.fixture
def broker(redis):
	with Broker(merge(OPEN, HISTORY), redis) as broker:
		yield broker


class Subscriber:
	def __init__(self, broker, folder, *arguments):
		self.paths = [folder / "out", folder / "err"]
		with open(self.paths[0], "w") as out, open(self.paths[1], "w") as err:
			self.process = process.spawn(
				[BINARY, "subscribe", "--verbose", "--url", broker.url, *arguments], stdout=out, stderr=err,
				env=os.environ | ENVIRONMENT)
		self.wait_told("subscribed to")

	def lines(self):
		return self.paths[0].read_text().splitlines()

	def told(self):
		return self.paths[1].read_text()

	def wait_told(self, what, times=1):
		process.wait_until(lambda: self.told().count(what) >= times, f"{what} is told")

	def wait_line(self, line):
		process.wait_until(lambda: line in self.lines(), f"{line} is printed")

	def stop(self):
		process.stop(self.process)
		assert "Sanitizer" not in self.told()


@pytest.fixture
def subscriber(broker, tmp_path):
	subscriber = Subscriber(broker, tmp_path, "news", "other")
	subscriber.wait_told("subscribed to", 2)
	yield subscriber
	subscriber.stop()


def publish(redis, numbers, channel="news"):
	for n in numbers:
		redis.call("FCALL", "fanfare_publish", 1, f"fanfare:{channel}", str(n))


def expected(numbers, channel="news"):
	return [f"{channel}\t{n}" for n in numbers]


def kill_worker(broker):
	os.kill(broker.worker_pids()[0], signal.SIGKILL)


def test_what_was_published_while_the_worker_was_dead_is_printed(broker, redis, subscriber):
	for begin in (0, 100):
		publish(redis, range(begin, begin + 10))
		subscriber.wait_line(f"news\t{begin + 9}")
		kill_worker(broker)
		publish(redis, range(begin + 10, begin + 90))
		subscriber.wait_told("subscribed to", 4 + 2 * (begin > 0))
		publish(redis, range(begin + 90, begin + 100))
		subscriber.wait_line(f"news\t{begin + 99}")
	assert subscriber.lines() == expected(range(200))
	assert "missed" not in subscriber.told()


def test_what_was_published_while_the_broker_was_away_is_printed_up_to_the_count(broker, redis, tmp_path):
	subscriber = Subscriber(broker, tmp_path, "--count", "3", "news")
	broker.stop()
	publish(redis, range(5))
	broker.start()
	assert subscriber.process.wait(process.patience(30)) == 0
	assert subscriber.lines() == expected(range(3)) and "missed" not in subscriber.told()


def test_what_is_gone_is_told(broker, redis, subscriber):
	publish(redis, [1])
	subscriber.wait_line("news\t1")
	broker.stop()
	publish(redis, [2])
	redis.call("FCALL", "fanfare_history_remove", 1, "fanfare:news")
	broker.start()
	subscriber.wait_told(MISSED % "news")
	publish(redis, [3])
	subscriber.wait_line("news\t3")
	assert subscriber.lines() == expected([1, 3])
	assert subscriber.told().count("missed") == 1


def test_that_redis_has_lost_its_data_is_told(redis, subscriber):
	publish(redis, [1])
	subscriber.wait_line("news\t1")
	redis.call("FLUSHALL")
	publish(redis, [2])
	subscriber.wait_told("the broker ended the subscription to news: insufficient state (2500)")
	subscriber.wait_told(MISSED % "news")
	publish(redis, [3])
	subscriber.wait_line("news\t3")
	assert subscriber.lines() == expected([1, 3])


def test_without_history_nothing_is_said_to_be_missing(redis, tmp_path):
	with Broker(OPEN, redis) as broker:
		subscriber = Subscriber(broker, tmp_path, "news")
		kill_worker(broker)
		subscriber.wait_told("subscribed to", 2)
		redis.publish("news", "1")
		subscriber.wait_line("news\t1")
		subscriber.stop()
	assert "missed" not in subscriber.told()
