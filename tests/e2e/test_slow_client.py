"""A client that does not read costs the broker a bounded queue, and others nothing."""

import statistics
import time

import pytest

from lib import process
from lib.broker import Broker
from lib.client import Client, Disconnected
from lib.ws import Closed

KIB, MIB = 1 << 10, 1 << 20
QUEUE = 256 * KIB
MESSAGE = '"' + "x" * (8 * KIB) + '"'

# A peer that does not even read the close frame is dropped after some seconds.
CLOSED_LONG_AGO = (3008, 1006)


@pytest.fixture
def broker(redis):
	with Broker({"client": {"queue_max_size": QUEUE}}, redis=redis) as broker:
		yield broker


def lazy_client(broker, channel):
	"""Subscribed, and reads no more; with a small window, so that the broker feels it soon."""
	return Client(broker.port, receive_buffer=4096).subscribe(channel)


def publish_until_closed(broker, redis, channel, most=64 * MIB):
	"""Publishes until the log tells that a slow client was closed."""
	mark, sent = len(broker.log()), 0
	while "closed with 3008" not in broker.log()[mark:]:
		assert sent < most, "never closed"
		redis.publish(channel, MESSAGE)
		sent += len(MESSAGE)


def test_a_client_that_never_reads_is_closed_with_3008(broker, redis):
	with lazy_client(broker, "flood") as lazy:
		publish_until_closed(broker, redis, "flood")
		assert lazy.closed() == Closed(3008, "slow")


def test_what_it_was_sent_before_is_whole_and_in_order(broker, redis):
	with lazy_client(broker, "count") as lazy:
		mark, n = len(broker.log()), 0
		while "closed with 3008" not in broker.log()[mark:]:
			redis.publish("count", f'[{n},{MESSAGE}]')
			n += 1
		numbers = []
		with pytest.raises(Disconnected, match="3008"):
			while True:
				numbers.append(lazy.publication()[1][0])
		assert numbers == list(range(len(numbers)))


def test_memory_stays_bounded_while_many_do_not_read(redis):
	# The sanitizer keeps freed memory for a while; here it shall give most of it back.
	with Broker({"client": {"queue_max_size": QUEUE}}, redis=redis, env={"ASAN_OPTIONS": "quarantine_size_mb=1"}) as broker:
		worker = broker.worker_pids()[0]
		lazy = [lazy_client(broker, "flood") for _ in range(20)]
		before, most = process.private_bytes(worker), 0
		for _ in range(64):
			for _ in range(64):
				redis.publish("flood", MESSAGE)
			most = max(most, process.private_bytes(worker))
		for client in lazy:
			assert client.closed().code in CLOSED_LONG_AGO
	# 32 MiB were published to each. All share each frame, so that twenty queues hold little more than one.
	assert most - before < 2 * QUEUE + 8 * MIB, f"grew by {(most - before) >> 10} KiB"


def round_trips(redis, client, channel, count=100):
	times = []
	for n in range(count):
		start = time.monotonic()
		redis.publish(channel, str(n))
		assert client.publication() == (channel, n)
		times.append(time.monotonic() - start)
	return statistics.median(times)


def test_others_keep_their_latency(broker, redis):
	process.despite_noise(lambda: compare_latencies(broker, redis))


def compare_latencies(broker, redis):
	with Client(broker.port) as quick:
		quick.subscribe("quick")
		alone = round_trips(redis, quick, "quick")
		lazy = [lazy_client(broker, "flood") for _ in range(20)]
		for _ in range(16):
			redis.publish("flood", MESSAGE)
		beside = round_trips(redis, quick, "quick")
		for client in lazy:
			client.close()
	assert beside < 5 * alone + 0.002, f"{alone * 1e6:.0f} µs alone, {beside * 1e6:.0f} µs beside clients that do not read"


def test_who_reads_the_same_channel_gets_everything(broker, redis):
	with Client(broker.port) as quick, lazy_client(broker, "flood") as lazy:
		quick.subscribe("flood")
		for n in range(400):
			redis.publish("flood", f'[{n},{MESSAGE}]')
			assert quick.publication()[1][0] == n
		assert lazy.closed().code in CLOSED_LONG_AGO
