"""Redis killed, frozen, cut off on one link: the broker recovers by itself, and readiness tells the truth in between."""

import contextlib
import json
import time

import pytest

from lib import process
from lib.broker import OPEN, Broker, merge
from lib.client import Client, ErrorReply
from lib.load import Load
from lib.redis_server import RedisClient, RedisServer, TlsRedisServer

FROZEN_S = 30  # longer than every deadline of the broker: it has given up its links when Redis wakes


@pytest.fixture(params=["tcp", "tls"])
def redis(request):
	"""What holds over TCP holds over TLS."""
	ca = request.getfixturevalue("redis_ca")
	with TlsRedisServer(ca) if request.param == "tls" else RedisServer() as server:
		yield server


@pytest.fixture
def broker(redis):
	with Broker({"client": {"ping_interval": "0s"}}, redis, workers=2) as broker:  # they are not read all the time
		yield broker


@pytest.fixture
def clients(broker):
	clients = [Client(broker.port).subscribe("news") for _ in range(8)]
	yield clients
	for client in clients:
		client.close()


def load_on(redis):
	return Load(lambda: RedisClient(redis.port, timeout=2 * FROZEN_S), "news")


def not_ready(broker):
	"""The answer of a worker that says it is not ready."""
	status, body = broker.ready()
	return body if status == 503 else None


def expect_recovered(broker, redis, clients):
	"""All that stayed connected hear again, in order and without repetition; and new ones are served."""
	broker.wait_ready()
	redis.publish("news", '"over"')
	for client in clients:
		numbers = read_to_over(client)
		assert numbers == sorted(set(numbers)), "in order, none twice"
	with Client(broker.port) as client:
		client.subscribe("fresh").publish("fresh", 1)
		assert client.publication() == ("fresh", 1)


def read_to_over(client):
	numbers = []
	while True:
		_, data = client.publication()
		if data == "over":
			return numbers
		numbers.append(data)


def test_redis_killed_and_restarted_under_load(broker, redis, clients):
	with load_on(redis) as load:
		process.wait_until(lambda: load.sent > 100, "some load")
		redis.kill()
		reason = process.wait_until(lambda: not_ready(broker), "readiness says no")
		assert "redis" in reason.lower()
		broker.wait_not_ready()
		assert broker.get("/health/live")[0] == 200
		redis.start()
		broker.wait_ready()
		before = load.sent
		process.wait_until(lambda: load.sent > before + 100, "more load")
	expect_recovered(broker, redis, clients)


def test_while_redis_is_away_clients_stay_and_what_needs_it_answers_100(broker, redis, clients):
	redis.kill()
	broker.wait_not_ready()
	with Client(broker.port) as client:
		for attempt in (
				lambda: client.call("subscribe", {"channel": "other"}),
				lambda: client.call("publish", {"channel": "news", "data": 1})):
			with pytest.raises(ErrorReply) as refused:
				attempt()
			assert refused.value.code == 100
		redis.start()
		broker.wait_ready()
		client.subscribe("other")
	for client in clients:
		assert client.unsubscribe("nothing") == {}, "still connected"
	expect_recovered(broker, redis, clients)


def test_redis_away_at_start(redis):
	redis.kill()
	with Broker(redis=redis, workers=2, wait=False) as broker:
		process.wait_until(lambda: "redis" in (not_ready(broker) or "").lower(), "readiness names the reason")
		with Client(broker.port) as client:
			assert client.hello["client"]
			redis.start()
			broker.wait_ready()
			client.subscribe("news")
			redis.publish("news", "1")
			assert client.publication() == ("news", 1)


def test_redis_frozen_under_load(broker, redis, clients):
	with load_on(redis) as load:
		process.wait_until(lambda: load.sent > 100, "some load")
		redis.freeze()
		frozen = time.monotonic()
		broker.wait_not_ready()
		while time.monotonic() < frozen + FROZEN_S:  # the freeze itself is what is tested
			for client in clients:
				assert client.unsubscribe("nothing") == {}, "still served"
			time.sleep(0.5)
		redis.thaw()
		broker.wait_ready()
	expect_recovered(broker, redis, clients)


def test_a_short_freeze_loses_nothing(redis):
	def lose_nothing():
		with Broker(redis=redis, workers=2) as broker, contextlib.ExitStack() as stack:
			clients = [stack.enter_context(Client(broker.port)).subscribe("news") for _ in range(8)]
			with redis.frozen():
				redis_clients = [RedisClient(redis.port) for _ in range(3)]
				for n, client in enumerate(redis_clients):
					client.send("PUBLISH", "fanfare:news", str(n))
				time.sleep(1)  # shorter than every deadline
			for client in redis_clients:
				client.reply()
				client.close()
			for client in clients:
				assert sorted(data for _, data in client.publications(3)) == [0, 1, 2]
	process.despite_noise(lose_nothing)


def test_the_subscriber_link_alone_is_killed(broker, redis, clients):
	with load_on(redis) as load:
		for _ in range(3):
			before = load.sent
			process.wait_until(lambda: subscriber_links(redis) == 2, "one subscriber link for each worker")
			redis.call("CLIENT", "KILL", "TYPE", "pubsub")
			broker.wait_ready()
			process.wait_until(lambda: load.sent > before + 100, "more load")
			process.wait_until(lambda: subscriber_links(redis) >= 2, "links are back")
	expect_recovered(broker, redis, clients)


def subscriber_links(redis):
	return len(redis.call("CLIENT", "LIST", "TYPE", "pubsub").splitlines())


def test_the_command_links_alone_are_killed(broker, redis, clients):
	redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	process.wait_until(lambda: publishes(clients[0]), "publishing works again")
	process.wait_until(lambda: publishes(clients[-1]), "publishing works again")


def publishes(client):
	try:
		return client.publish("elsewhere", 1) == {}
	except ErrorReply as refused:
		assert refused.code == 100
		return False


PATIENT = merge(OPEN, {
	"channel": {"without_namespace": {"history_size": 100, "history_ttl": "10m"}},
	"redis": {"call_timeout": "20s", "canary_timeout": "30s"},
})


RECOVERY = {"channel": {"without_namespace": {"force_recovery": True}}}


def test_while_redis_holds_back_writes_a_publish_is_late_and_no_connection_is_lost(redis):
	"""As in CLIENT PAUSE and in a failover. A connection made meanwhile, to see whether the first is dead, logs in."""
	process.despite_noise(lambda: hold_back_writes(redis))


def hold_back_writes(redis):
	with Broker(PATIENT, redis) as broker, Client(broker.port).subscribe("news") as client:
		before = command_links(redis)
		redis.call("CLIENT", "PAUSE", 60000, "WRITE")
		publish = client.send("publish", {"channel": "news", "data": 1})
		process.wait_until(lambda: [
			link for link in command_links(redis).values()
			if link["id"] not in before and link["cmd"] == "publish" and int(link["idle"]) >= 1], "another one waits, too")
		redis.call("CLIENT", "UNPAUSE")
		client.reply(publish, "publish")
		assert client.publication() == ("news", 1)
		process.wait_until(lambda: command_links(redis).keys() == before.keys(), "the first one alone is there")
		assert "does not answer" not in broker.log()


def test_an_answer_that_redis_cuts_off_is_logged_with_its_cause(redis):
	with Broker(merge(PATIENT, RECOVERY), redis) as broker, Client(broker.port) as client:
		for _ in range(100):
			_, epoch = redis.call("FCALL", "fanfare_publish", 1, "fanfare:news", json.dumps("x" * 50000))
		redis.call("CONFIG", "SET", "client-output-buffer-limit", "normal 500kb 0 0")  # half a piece of a history
		with pytest.raises(ErrorReply) as refused:
			client.call("subscribe", {"channel": "news", "recover": True, "offset": 0, "epoch": epoch.decode()})
		assert refused.value.code == 100
		process.wait_until(lambda: "client-output-buffer-limit normal" in broker.log(), "the log names the limit")


def command_links(redis):
	return {link["id"]: link for link in redis.clients() if link["name"].endswith(".calls")}


def test_the_log_tells_of_a_change_and_not_of_every_attempt(broker, redis):
	redis.kill()
	broker.wait_not_ready()
	start = len(broker.log())
	time.sleep(3)  # time for many attempts to connect
	assert broker.log()[start:].lower().count("redis") <= 2, broker.log()[start:]
	redis.start()
	broker.wait_ready()
