"""Several brokers on one Redis are one: published anywhere, received everywhere, in order, once."""

import threading

import pytest

from lib.broker import Broker
from lib.client import Client

SUBSCRIBERS_PER_BROKER = 8  # enough that each of two workers gets some
MESSAGES = 300


@pytest.fixture(scope="module")
def brokers(redis):
	with Broker(redis=redis, workers=2) as one, Broker(redis=redis, workers=2) as other:
		yield one, other


@pytest.fixture
def subscribers(brokers):
	clients = [Client(broker.port).subscribe("all") for broker in brokers for _ in range(SUBSCRIBERS_PER_BROKER)]
	yield clients
	for client in clients:
		client.close()


def publish_by_client(client, name):
	"""Pipelined; every publication must be answered."""
	ids = [client.send("publish", {"channel": "all", "data": [name, n]}) for n in range(MESSAGES)]
	for id in ids:
		client.reply(id, "publish")


def publish_by_redis(redis):
	for n in range(MESSAGES):
		redis.publish("all", f'["redis", {n}]')


def test_what_is_published_anywhere_reaches_everybody_in_order_once(brokers, subscribers, redis):
	publishers = [Client(broker.port) for broker in brokers for _ in range(2)]
	threads = [
		threading.Thread(target=publish_by_client, args=(client, f"client {i}")) for i, client in enumerate(publishers)]
	threads.append(threading.Thread(target=publish_by_redis, args=(redis,)))
	for thread in threads:
		thread.start()

	names = ["redis", *(f"client {i}" for i in range(len(publishers)))]
	received = [[data for _, data in client.publications(MESSAGES * len(names), 60)] for client in subscribers]
	for thread in threads:
		thread.join()
	for client in publishers:
		client.close()

	for name in names:
		assert [n for who, n in received[0] if who == name] == list(range(MESSAGES)), name
	for other in received[1:]:
		assert other == received[0], "every subscriber sees the order that Redis gave"
	assert all(client.quiet() for client in subscribers)


def test_who_left_the_channel_gets_nothing_while_others_on_the_worker_do(brokers, subscribers, redis):
	leaving = subscribers[::2]
	for client in leaving:
		client.unsubscribe("all")
	redis.publish("all", '"for the rest"')
	for client in subscribers[1::2]:
		assert client.publication() == ("all", "for the rest")
	assert all(client.quiet(0.02) for client in leaving)


def test_a_channel_that_everybody_left_can_be_joined_again(brokers, redis):
	with Client(brokers[0].port) as client:
		for n in range(20):
			client.subscribe("revolving")
			redis.publish("revolving", str(n))
			assert client.publication() == ("revolving", n)
			client.unsubscribe("revolving")


def test_other_applications_on_the_same_redis_are_not_heard(brokers, subscribers, redis):
	for channel in ("all", "xfanfare:all", "fanfareall"):
		redis.call("PUBLISH", channel, '"foreign"')
	redis.publish("all", '"ours"')
	assert {client.publication() for client in subscribers} == {("all", "ours")}
