"""The users of Redis that README names may do what is needed, and nothing else."""

import pytest

from lib import process
from lib.broker import OPEN, Broker, merge
from lib.client import Client
from lib.readme import users
from lib.redis_server import RedisClient, RedisError, RedisServer

HISTORY = {"channel": {"without_namespace": {"history_size": 100, "history_ttl": "10m", "force_recovery": True}}}
CHANNEL = "orders"


@pytest.fixture
def redis():
	with RedisServer() as server:
		for words in users().values():
			server.call(*words)
		server.call("ACL", "LOG", "RESET")
		yield server
		refused = [dict(zip(entry[::2], entry[1::2])) for entry in server.call("ACL", "LOG")]
		assert [entry[b"object"] for entry in refused] == []


class As:
	def __init__(self, redis, user):
		self.client = RedisClient(redis.port)
		self.client.call("AUTH", user, "PASSWORD")

	def __enter__(self):
		return self.client

	def __exit__(self, *_):
		self.client.close()


def publish(client, data, *options, channel=CHANNEL):
	return client.call("FCALL", "fanfare_publish", 1, f"fanfare:{channel}", data, *options)


def url_of_broker(redis, database=0):
	return redis.url.replace("redis://", "redis://fanfare:PASSWORD@") + f"/{database}"


def test_a_broker_does_all_it_does(redis):
	with Broker(merge(OPEN, HISTORY), url_of_broker(redis, database=1)) as broker:
		for channel in (CHANNEL, "{tag}orders"):
			with Client(broker.port) as client:
				epoch = client.call("subscribe", {"channel": channel})["epoch"]
				client.publish(channel, 1)
				assert client.push()["pub"]["data"] == 1
				redis.call("CLIENT", "KILL", "TYPE", "pubsub")
				client.publish(channel, 2)
				assert client.push(timeout=20)["pub"]["data"] == 2
			with Client(broker.port) as client:
				answer = client.call("subscribe", {"channel": channel, "recover": True, "epoch": epoch, "offset": 0})
				assert [p["data"] for p in answer["publications"]] == [1, 2] and answer["recovered"]
		redis.call("FUNCTION", "FLUSH")
		process.wait_until(lambda: redis.call("FUNCTION", "LIST"), "the library is back")
		assert broker.ready()[0] == 200
		assert "NOPERM" not in broker.log()


def test_a_backend_publishes(redis):
	with Broker(merge(OPEN, HISTORY), url_of_broker(redis)) as broker, Client(broker.port) as client, As(redis, "backend") as backend:
		client.call("subscribe", {"channel": CHANNEL})
		offset, epoch = publish(backend, "1", "idempotency_key", "k", "version", 1, "tags", '{"a":"b"}')
		assert backend.call("WAIT", 0, 100) == 0
		assert publish(backend, "1", "idempotency_key", "k") == [offset, epoch, b"cached"]
		backend.call("PUBLISH", f"fanfare:{CHANNEL}", "2")
		assert [client.push()["pub"]["data"] for _ in range(2)] == [1, 2]
		assert backend.call("FCALL", "fanfare_history_remove", 1, f"fanfare:{CHANNEL}") == 1
		assert publish(backend, "1", channel="which nobody has read before")[0] == 1


@pytest.mark.parametrize("user", ["fanfare", "backend"])
def test_they_may_nothing_else(redis, user):
	with As(redis, user) as client:
		for words in (
			("GET", "other"), ("SET", "fanfare", "1"), ("PUBLISH", "other", "1"), ("KEYS", "*"), ("CONFIG", "GET", "*"),
			("FLUSHALL",), ("EVAL", "return 1", 0), ("ACL", "WHOAMI"), ("CLIENT", "KILL", "TYPE", "normal"), ("FUNCTION", "FLUSH")):
			with pytest.raises(RedisError, match="NOPERM"):
				client.call(*words)
	redis.call("ACL", "LOG", "RESET")
