"""Nobody reaches with a channel's name what lies beside that channel: other channels, other prefixes, the broker's own."""

import json

import pytest

from lib.broker import Broker
from lib.client import Client, ErrorReply
from lib.redis_server import RedisClient

NAMESPACES = {"channel": {"namespaces": [{"name": "open", "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}]}}


@pytest.fixture(scope="module")
def broker(redis):
	with Broker(NAMESPACES, redis=redis) as broker:
		yield broker


def test_names_that_differ_in_case_or_space_are_different_channels(broker, redis):
	with Client(broker.port) as client:
		client.subscribe("news")
		for other in ("News", "NEWS", " news", "news ", "news\t", "new", "newss"):
			redis.publish(other, '"of another channel"')
		redis.publish("news", '"its own"')
		assert client.publication() == ("news", "its own")


def own_channels(redis):
	"""What the broker itself listens to."""
	return [name.decode() for name in redis.call("PUBSUB", "CHANNELS", "fanfare.*")]


def test_the_channels_of_the_broker_itself_cannot_be_named(broker, redis):
	[canary, *_] = own_channels(redis)
	name = canary.removeprefix("fanfare.")
	with Client(broker.port) as client:
		for attempt in (canary, name, f".{name}", f"../{canary}", f"fanfare.{name}", f":{name}", f"\b.{name}"):
			try:
				client.subscribe(attempt)
			except ErrorReply:
				continue
		assert own_channels(redis) == [canary], "nothing but the broker's own subscription"
		redis.call("PUBLISH", canary, "canary 0000000000000000 1")
		redis.call("PUBLISH", canary, '"not for clients"')
		client.subscribe("news")
		redis.publish("news", '"over"')
		assert client.publication() == ("news", "over")


def test_whatever_a_client_publishes_to_lies_under_the_prefix(broker, redis):
	witness = RedisClient(redis.port)
	witness.call("PSUBSCRIBE", "*")
	names = ["news", "fanfare.canary.x", "*", "a\r\nb", "\0", ":", "::", "open", "fanfare:", "{x}", "%s", "__keyspace@0__:x"]
	with Client(broker.port) as client:
		for name in names:
			try:
				client.publish(name, "from a client")
			except ErrorReply:
				continue
		client.publish("last", "from a client")
	seen = []
	while not seen or seen[-1] != b"fanfare:last":
		_, _, channel, payload = witness.reply()
		if b"from a client" in payload:
			seen.append(channel)
	witness.close()
	assert len(seen) > 5
	assert all(channel.startswith(b"fanfare:") for channel in seen), seen


@pytest.mark.parametrize("name", ["closed:news", "Open:news", " open:news", "open :news", "$open:news", "open\0:news", "closed:open:news"])
def test_what_looks_like_an_open_namespace_is_not_one(broker, name):
	with Client(broker.port) as client:
		client.subscribe("open:news", "open:closed:news")
		with pytest.raises(ErrorReply) as refused:
			client.subscribe(name)
		assert refused.value.code in (102, 103, 107)


def test_members_that_only_the_broker_may_set_are_ignored_in_commands(broker):
	with Client(broker.port) as client:
		client.subscribe("news")
		client.ws.send_text(json.dumps({
			"id": 9, "publish": {"channel": "news", "data": 1, "info": {"user": "root"}, "offset": 7, "fanfare": 1, "tags": {"a": "b"}},
			"push": {"channel": "news"}, "user": "root"}))
		push = client.push()["pub"]
		assert push["info"]["user"] == "" and "offset" not in push and "tags" not in push
		assert client.reply(9, "publish") == {}
