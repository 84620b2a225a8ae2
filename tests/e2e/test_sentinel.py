"""Redis behind Sentinels: whoever is the master, clients see every publication, and notice nothing of a failover but a delay."""

import re
import threading
import time

import pytest

from lib import process, readme
from lib.broker import HISTORY, OPEN, Broker, check, merge, run
from lib.client import Client
from lib.load import Follower, HistoryLoad, follow_to_the_end
from lib.redis_sentinel import RedisSentinels
from lib.redis_server import RedisError
from lib.rights import expect_each_is_needed

CONFIG = merge(OPEN, HISTORY)
WORKERS = 2
CHANNEL = "orders"


@pytest.fixture
def redis():
	with RedisSentinels() as group:
		yield group


@pytest.fixture
def broker(redis):
	with Broker(CONFIG, redis, workers=WORKERS) as broker:
		yield broker


class Load(HistoryLoad):
	"""To whom the sentinels name, each number when all replicas of the first master have the last one."""

	def __init__(self, redis):
		self.first = redis.master().port
		self.held = threading.Lock()  # while it is held, everything is replicated: what a failover loses then is our fault
		super().__init__(lambda: redis.client(timeout=1), CHANNEL)

	def publish(self, client, number):
		with self.held:
			super().publish(client, number)
			if client.socket.getpeername()[1] == self.first and client.call("WAIT", 2, 500) < 2:
				raise RedisError("not replicated")


def followers_of(broker):
	return [Follower(broker, CHANNEL) for _ in range(8)]


def publish(redis, data, channel=CHANNEL):
	return redis.call("FCALL", "fanfare_publish", 1, f"fanfare:{channel}", data)


def finish(redis, followers):
	offset, _ = publish(redis, '"over"')
	follow_to_the_end(followers, offset)


def links(server):
	"""Connections of brokers to a server, by name."""
	lines = server.call("CLIENT", "LIST").decode().splitlines()
	return [line for line in lines if " name=fanfare." in line]


def all_moved(broker, server):
	"""Both connections of each worker are at the server."""
	return len(links(server)) >= 2 * broker.workers_wanted


def live_again(broker, server, clients):
	"""Seconds until everybody has heard something that was published at the server from now on."""
	start = time.monotonic()
	waiting = set(clients)

	def all_hear():
		server.publish("live", time.monotonic() - start)
		waiting.difference_update([client for client in waiting if not client.quiet(0.001)])
		return not waiting

	process.wait_until(all_hear, "everybody hears what is published at the new master", 60)
	return time.monotonic() - start


# --- failovers ---

def test_a_failover_by_command_is_noticed_by_nobody(redis, broker):
	with Load(redis) as load:
		followers = followers_of(broker)
		load.more(100)
		with load.held:
			old = redis.failover()
			process.wait_until(lambda: redis.master() is not old, "the sentinels agree")
		load.more(100)
	assert not links(old), "nobody stays at a master that was replaced, though it lives"
	finish(redis, followers)


def test_a_killed_master_is_left_for_its_successor(redis, broker):
	clients = [Client(broker.port).subscribe("live") for _ in range(8)]
	with Load(redis) as load:
		followers = followers_of(broker)
		load.more(100)
		with load.held:
			old = redis.kill_master()
		new = redis.wait_promoted(old)
		print(f"live again {live_again(broker, new, clients):.2f} s after the new master took writes")
		load.more(100)
	broker.wait_ready()
	finish(redis, followers)
	for client in clients:
		client.close()


def test_a_frozen_master_is_left_and_not_believed_when_it_wakes(redis, broker):
	with Load(redis) as load:
		followers = followers_of(broker)
		load.more(100)
		with load.held:
			old = redis.freeze_master()
		new = redis.wait_promoted(old)
		process.wait_until(lambda: all_moved(broker, new), "the workers are at the new master")
		broker.wait_ready()
		load.more(100)
		old.thaw()
		process.wait_until(lambda: old.role() == "master" and new.role() == "master", "two think they are the master")
		old.publish(CHANNEL, '"stale"')
		load.more(100)
		assert not links(old), "nobody goes back to it"
		process.wait_until(lambda: old.role() == "slave", "the sentinels demote it", timeout=60)
		load.more(100)
	finish(redis, followers)


def test_one_failover_after_the_other(redis, broker):
	followers = followers_of(broker)
	number = 0
	for _ in range(3):
		new = redis.wait_promoted(redis.failover_when_healthy())
		process.wait_until(lambda: all_moved(broker, new), "the workers are at the new master")
		broker.wait_ready()
		for _ in range(20):
			number += 1
			new.call("FCALL", "fanfare_publish", 1, f"fanfare:{CHANNEL}", number)
		for follower in followers:
			follower.follow(number)
	for follower in followers:
		follower.client.close()


# --- sentinels ---

def test_dead_and_silent_sentinels_delay_nothing(redis):
	redis.sentinels[0].freeze()
	redis.sentinels[1].kill()
	with Broker(CONFIG, redis) as broker, Client(broker.port) as client:
		client.subscribe("news")
		publish(redis, 1, "news")
		assert client.publication() == ("news", 1)
	redis.sentinels[0].thaw()


def test_while_all_sentinels_are_away_redis_goes_on(redis, broker):
	with Client(broker.port) as client:
		client.subscribe("news")
		master = redis.master()
		for sentinel in redis.sentinels:
			sentinel.kill()
		process.wait_until(lambda: broker.log().count("no sentinel answers") == WORKERS, "it is told")
		master.call("CLIENT", "KILL", "TYPE", "pubsub")
		master.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		broker.wait_ready()
		master.call("FCALL", "fanfare_publish", 1, "fanfare:news", 1)
		assert client.publication() == ("news", 1)
		for sentinel in redis.sentinels:
			sentinel.start()
		process.wait_until(lambda: broker.log().count("answer again") == WORKERS, "they are back")
		redis.wait_healthy()
		new = redis.wait_promoted(redis.kill_master())
		process.wait_until(lambda: all_moved(broker, new), "the workers follow them again")
		broker.wait_ready()
		new.call("FCALL", "fanfare_publish", 1, "fanfare:news", 2)
		assert client.publication() == ("news", 2)


def test_sentinels_that_were_not_configured_are_found(redis):
	one = redis.config["redis"]["sentinel_address"][:1]
	with Broker(merge(CONFIG, {"redis": {"sentinel_address": one}}), redis, dev=True) as broker:
		process.wait_until(lambda: "fanfare_redis_sentinels 3" in broker.get("/metrics")[1], "three answer")
		redis.sentinels[0].kill()
		new = redis.wait_promoted(redis.kill_master())
		process.wait_until(lambda: all_moved(broker, new), "the others have told of it")
		assert "fanfare_redis_master_changes_total 1" in broker.get("/metrics")[1]


def test_a_master_that_nobody_knows(redis):
	with Broker(merge(CONFIG, {"redis": {"sentinel_master_name": "other"}}), redis, wait=False) as broker:
		process.wait_until(
			lambda: "knows no master named other" in broker.ready()[1], f"readiness says why: {broker.ready()}")


SECRETS = "loud-and-clear", "hush-hush"


@pytest.mark.parametrize("user", [None, "watcher"])
def test_sentinels_and_servers_with_passwords_of_their_own(user):
	with RedisSentinels(password=SECRETS[0], sentinel_password=SECRETS[1], sentinel_user=user) as redis, \
			Broker(CONFIG, redis, arguments=("--log-level", "debug")) as broker, Client(broker.port) as client:
		client.subscribe("news")
		new = redis.wait_promoted(redis.kill_master())
		process.wait_until(lambda: all_moved(broker, new), "the worker is at the new master")
		broker.wait_ready()
		new.call("FCALL", "fanfare_publish", 1, "fanfare:news", 1)
		assert client.publication() == ("news", 1)
		shown = run("config", "--config", broker.config_path).stdout
		lines = [process.command_line(pid) for pid in [broker.pid, *process.descendants(broker.pid)]]
		seen = "\n".join([shown, broker.log(), broker.get("/health/ready")[1], *lines])
		assert shown.count('"***"') == 2 and not any(secret in seen for secret in SECRETS), seen
		for secret in SECRETS:
			assert secret in run("config", "--show-secrets", "--config", broker.config_path).stdout


def test_a_wrong_password_of_the_sentinels_is_told():
	with RedisSentinels(sentinel_password=SECRETS[1]) as redis, \
			Broker(merge(CONFIG, {"redis": {"sentinel_password": "wrong"}}), redis, wait=False) as broker:
		process.wait_until(lambda: "refused authentication: WRONGPASS" in broker.ready()[1], "readiness says why")


def test_all_of_it_over_tls(redis_ca):
	with RedisSentinels(authority=redis_ca) as redis, Broker(CONFIG, redis) as broker, Client(broker.port) as client:
		client.subscribe("news")
		assert run("publish", "news", "1", "--config", broker.config_path).returncode == 0
		assert client.publication() == ("news", 1)
		new = redis.wait_promoted(redis.kill_master())
		process.wait_until(lambda: all_moved(broker, new), "the worker is at the new master")
		broker.wait_ready()
		result = run("redis-cli", "--config", broker.config_path, "FCALL", "fanfare_publish", "1", "fanfare:news", "2")
		assert result.returncode == 0, result.stderr
		assert client.publication() == ("news", 2)


def test_the_example_of_readme_does_what_it_says(tmp_path):
	section = readme.section("Redis Sentinel")
	example = "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))
	rights = " ".join(re.search(r"`(&\* [^`]*)`", section)[1].split())
	password, redis_password = (re.search(rf"^ *{name}: (\w+)", example, re.MULTILINE)[1]
		for name in ("sentinel_password", "password"))
	with RedisSentinels(
			password=redis_password, sentinel_password=password, sentinel_user="reader", rights=f"resetchannels -@all {rights}") as redis:
		for address, sentinel in zip(re.findall(r"10\.0\.0\.\d:26379", example), redis.sentinels):
			example = example.replace(address, f"127.0.0.1:{sentinel.port}")
		file = tmp_path / "fanfare.yaml"
		file.write_text(example + "\n  sentinel_user: reader\n")
		with Broker(arguments=("--config", file), dev=True) as broker:
			assert len(links(redis.master())) >= 2
			process.wait_until(lambda: "fanfare_redis_sentinels 3" in broker.get("/metrics")[1], "all answer")

			def reconnect():
				for sentinel in redis.sentinels:
					sentinel.call("CLIENT", "KILL", "USER", "reader")
			words = [f">{password}", *rights.split()]
			expect_each_is_needed(redis.sentinels, "reader", words[1:], reconnect, beside=words[:1])


# --- the command line ---

def test_the_command_line_reaches_the_master_during_a_failover_and_after_it(redis, broker):
	options = "--config", broker.config_path
	assert run("check", *options).stdout == "ok\n"
	with Client(broker.port) as client:
		client.subscribe("news")
		old = redis.kill_master()
		during = run("publish", "news", "1", *options)
		assert during.returncode == 0, during.stderr
		new = redis.wait_promoted(old)
		assert client.publication() == ("news", 1)
		assert run("publish", "news", "2", *options).returncode == 0
		assert client.publication() == ("news", 2)
		assert run("redis-cli", *options, "CONFIG", "GET", "port").stdout.split() == ["port", str(new.port)]


def test_the_command_line_tells_why_it_reaches_nobody(redis, broker):
	for sentinel in redis.sentinels:
		sentinel.kill()
	for command in (("publish", "news", "1"), ("redis-cli", "PING")):
		result = run(command[0], "--config", broker.config_path, *command[1:])
		assert result.returncode == 1 and "cannot connect to the sentinel at 127.0.0.1:" in result.stderr, result.stderr


CONFIG_ERRORS = {
	"redis.sentinel_address: needs redis.sentinel_master_name": {"sentinel_address": ["h"]},
	"redis.address: must not be set with redis.sentinel_address": {
		"sentinel_address": ["h"], "sentinel_master_name": "m", "address": "redis://h"},
	"redis.sentinel_address: item 1: must be HOST or HOST:PORT": {"sentinel_address": ["unix:/s"], "sentinel_master_name": "m"},
	'redis.sentinel_address: must name "H:26379" once': {"sentinel_address": ["h", "H:26379"], "sentinel_master_name": "m"},
	"redis.sentinel_master_name: is of use only with redis.sentinel_address": {"sentinel_master_name": "m"},
	"redis.sentinel_password: is of use only with redis.sentinel_address": {
		"address": "unix:/s", "sentinel_password": "hush"},
	"redis.password: is of use only with redis.sentinel_address or redis.cluster_address: an address has its own": {
		"address": "redis://h", "password": "hush"},
	"redis.user: needs redis.password": {"sentinel_address": ["h"], "sentinel_master_name": "m", "user": "u"},
	"redis.sentinel_user: needs redis.sentinel_password": {
		"sentinel_address": ["h"], "sentinel_master_name": "m", "sentinel_user": "u"},
	"redis.tls.server_name: is for TLS, which needs redis.tls.enabled": {
		"sentinel_address": ["h"], "sentinel_master_name": "m", "tls": {"server_name": "n"}},
	"redis.sentinel_tls.server_name: is for TLS, which needs redis.sentinel_tls.enabled": {
		"sentinel_address": ["h"], "sentinel_master_name": "m", "sentinel_tls": {"server_name": "n"}},
	"redis.tls.enabled: is of use only with redis.sentinel_address": {"address": "redis://h", "tls": {"enabled": True}},
	"redis.sentinel_master_name: must be of letters": {"sentinel_address": ["h"], "sentinel_master_name": "m m"},
}


@pytest.mark.parametrize("error", CONFIG_ERRORS)
def test_a_configuration_that_cannot_be_meant_is_refused(error, tmp_path):
	code, stderr = check(tmp_path, {"redis": CONFIG_ERRORS[error]})
	assert code == 1 and f"fanfare.yaml:1: {error}" in stderr, stderr
	assert "hush" not in stderr
