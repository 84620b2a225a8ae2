"""The users of Redis that README names may do what is needed, and nothing else."""

import contextlib
import itertools

import pytest

from lib import process
from lib.broker import OPEN, Broker, merge
from lib.client import Client, ErrorReply
from lib.readme import more_rights, users
from lib.rights import expect_each_is_needed, give, refused
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
		assert [refused([server], user) for user in ("fanfare", "backend")] == [[], []]


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
				assert client.push()["pub"]["data"] == 2
			broker.wait_ready()  # else a new channel is answered with an error that tells to try again
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


EVERYTHING = {
	"channel": {"namespaces": [
		{"name": "kept", **OPEN["channel"]["without_namespace"], **HISTORY["channel"]["without_namespace"],
		"allow_history_for_client": True, "allow_history_for_anonymous": True},
		{"name": "room", **OPEN["channel"]["without_namespace"], "presence": True, "join_leave": True, "force_push_join_leave": True,
		"allow_presence_for_client": True, "allow_presence_for_anonymous": True, "allow_subscribe_for_anonymous": True},
	]},
	"redis": {"unsubscribe_linger": "10ms", "canary_interval": "500ms"}, "client": {"presence_update_interval": "1s"},
}
ROUNDS = itertools.count()


def stir(redis, broker):
	"""Makes a broker do whatever it ever does in Redis, part by part; what comes of it does not matter here."""
	number = next(ROUNDS)
	kept, room = f"kept:{number}", f"room:{number}"
	with contextlib.suppress(ErrorReply, AssertionError, OSError), Client(broker.port) as client:
		for channel in kept, room, f"kept:{{tag}}{number}":
			client.send("subscribe", {"channel": channel})
		for request in {"limit": 1}, {"limit": 1, "reverse": True}:
			client.send("history", {"channel": kept, **request})
		client.send("publish", {"channel": kept, "data": 1})
		client.send("unsubscribe", {"channel": kept})
		break_presence(redis, room)
		client.call("presence_stats", {"channel": room}, timeout=1)
		client.call("presence", {"channel": room}, timeout=1)
	if number % 3 == 0:
		redis.call("FUNCTION", "FLUSH")
		redis.call("SCRIPT", "FLUSH")
		redis.call("CLIENT", "KILL", "USER", "fanfare")
		with contextlib.suppress(process.Timeout):
			process.wait_until(lambda: broker.ready()[0] == 200, "the broker is back", 1)


def break_presence(redis, room):
	"""As another worker leaves it that died, and as Redis does that lost a key. A leave is set aside that was due long ago."""
	key = "{fanfare:%s}.presence" % room
	redis.call("HSET", key, "dead", 1)
	redis.call("HSET", f"{key}.of.dead", "client", "4:user{}")
	redis.call("DEL", f"{key}.users")
	redis.call("HSET", f"{key}.left", "user", "1 {}\n2 {}\n")
	redis.call("ZADD", f"{key}.due", 1, "user")


def rights_of(user):
	return users()[user][5:]


def test_a_broker_needs_each_right(redis):
	rights = [*rights_of("fanfare"), *more_rights()["presence"]]
	redis.call("ACL", "SETUSER", "fanfare", *rights)
	with Broker(EVERYTHING, url_of_broker(redis, database=1)) as broker, RedisIn(redis, 1) as inside:
		expect_each_is_needed([redis], "fanfare", rights, lambda: stir(inside, broker))


def test_a_broker_without_functions_needs_each_right_for_scripts_instead(redis):
	more = more_rights()
	others = [right for right in [*rights_of("fanfare"), *more["presence"]] if right not in more["functions"]]
	give([redis], "fanfare", [*others, *more["scripts"]])
	with Broker(EVERYTHING, url_of_broker(redis, database=1)) as broker, RedisIn(redis, 1) as inside:
		with Client(broker.port) as client:
			client.subscribe("kept:a", "room:a").publish("kept:a", 1)
			assert client.call("presence_stats", {"channel": "room:a"})["num_clients"] == 1
		assert set(refused([redis], "fanfare")) <= {("command", "fcall"), ("command", "function|load")}
		expect_each_is_needed([redis], "fanfare", more["scripts"], lambda: stir(inside, broker), beside=others)
	redis.call("ACL", "LOG", "RESET")


class RedisIn:
	"""The administrator, in one of the databases."""

	def __init__(self, redis, database):
		self.client = RedisClient(redis.port)
		self.client.call("SELECT", database)
		self.call = self.client.call

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.client.close()


def test_a_backend_needs_each_right(redis):
	more = more_rights()
	with Broker(merge(OPEN, HISTORY), url_of_broker(redis)):
		def act():
			channel = f"fanfare:{next(ROUNDS)}"
			with As(redis, "backend") as backend:
				for words in (
						("FCALL", "fanfare_publish", 1, channel, "1", "idempotency_key", "k"), ("PUBLISH", channel, "1"), ("WAIT", 0, 1),
						("FCALL", "fanfare_publish", 1, f"fanfare:{{tag}}{channel}", "1"),
						("FCALL", "fanfare_history", 1, channel, "limit", 1), ("FCALL", "fanfare_history", 1, channel, "newest", 1)):
					with contextlib.suppress(RedisError):
						backend.call(*words)
		expect_each_is_needed([redis], "backend", [*rights_of("backend"), *more["history"]], act)


@pytest.mark.parametrize("user", ["fanfare", "backend"])
def test_they_may_nothing_else(redis, user):
	with As(redis, user) as client:
		for words in (
			("GET", "other"), ("SET", "fanfare", "1"), ("PUBLISH", "other", "1"), ("KEYS", "*"), ("CONFIG", "GET", "*"),
			("FLUSHALL",), ("EVAL", "return 1", 0), ("ACL", "WHOAMI"), ("CLIENT", "KILL", "TYPE", "normal"), ("FUNCTION", "FLUSH")):
			with pytest.raises(RedisError, match="NOPERM"):
				client.call(*words)
	redis.call("ACL", "LOG", "RESET")
