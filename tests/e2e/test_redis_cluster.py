"""Redis Cluster: channels live on all its masters, and follow their slots through whatever happens to those."""

import contextlib
import itertools
import os
import re
import shlex
import subprocess

import pytest

from lib import broker as command
from lib import process, readme, rights
from lib.broker import HISTORY, OPEN, Broker, merge
from lib.client import Client, ErrorReply
from lib.load import Follower, HistoryLoad
from lib.redis_cluster import RedisCluster, slot_of
from lib.redis_server import RedisClient, RedisError

CONFIG = merge(merge(OPEN, HISTORY), {
	"channel": {"namespaces": [
		{"name": "plain", "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
		"allow_publish_for_client": True, "allow_publish_for_anonymous": True},
		{"name": "room", "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
		"presence": True, "join_leave": True, "force_push_join_leave": True,
		"allow_presence_for_client": True, "allow_presence_for_anonymous": True}]},
	"redis": {"canary_interval": "500ms", "canary_timeout": "1s", "call_timeout": "2s"},
})


# Nothing can end a pause of all commands before its time. What is to be seen meanwhile takes three seconds.
PAUSED_MS = 15000


@pytest.fixture(scope="module")
def shared():
	with RedisCluster() as cluster:
		yield cluster


@pytest.fixture
def cluster(shared):
	"""As it was when it was new: three masters that live, and agree."""
	yield shared
	for node in shared.nodes:
		if not node.alive():
			node.start()
	shared.wait_healthy()


@pytest.fixture
def broker(cluster):
	with Broker(CONFIG, cluster, workers=2) as broker:
		yield broker


def fcall(cluster, function, channel, *arguments):
	return cluster.call("FCALL", function, 1, f"fanfare:{channel}", *arguments)


def channels_everywhere(cluster, start="ch"):
	"""A channel for each master."""
	return [cluster.channel_at(node, start) for node in cluster.masters()]


def load_on(cluster, channel):
	client = cluster.connect()
	return HistoryLoad(lambda: client, channel)


class Listener(Follower):
	"""Where the channel has been used before: its numbers do not stand at their offsets."""

	def __init__(self, broker, channel):
		super().__init__(broker, channel)
		self.last = None

	def check_data(self, data):
		assert self.last is None or data >= self.last
		self.last = data

	def read_until(self, data, timeout=60):
		deadline = process.now() + timeout
		while self.last is None or self.last < data:
			self.read(deadline - process.now())


@contextlib.contextmanager
def followed(broker, cluster, channels):
	"""Channels under load, with two subscribers each, to whom nothing may happen in the body."""
	with contextlib.ExitStack() as stack:
		followers = [stack.enter_context(Listener(broker, channel)) for channel in channels for _ in range(2)]
		loads = {channel: stack.enter_context(load_on(cluster, channel)) for channel in channels}
		for load in loads.values():
			load.more(50)
		yield loads
		for load in loads.values():
			load.more(50)
		for follower in followers:
			follower.read_until(loads[follower.channel].sent)


def expect_behind_the_load(client, *numbers):
	"""The last ones of a load that is over may still be on their way to another worker; they are larger."""
	data = max(numbers) + 1
	while data > max(numbers):
		_, data = client.publication()
	assert [data, *(data for _, data in client.publications(len(numbers) - 1))] == list(numbers)


def wait_ready(broker):
	broker.wait_ready(timeout=60)


def wait_not_ready(broker, *words):
	def told():
		status, body = broker.ready()
		return status == 503 and all(word in body for word in words) and body
	return process.wait_until(told, f"not ready, and the reason names {words}")


# --- nothing moves ---

def test_channels_of_all_masters_work_with_and_without_history(broker, cluster):
	with Client(broker.port) as client:
		for channel in channels_everywhere(cluster) + channels_everywhere(cluster, "plain:"):
			client.subscribe(channel)
			assert cluster.publish(channel, '"plain"') == 1
			assert client.publication() == (channel, "plain")
			fcall(cluster, "fanfare_publish", channel, '"called"')
			assert client.publication() == (channel, "called")
			client.publish(channel, "mine")
			assert client.publication() == (channel, "mine")


def test_history_and_recovery_on_all_masters(broker, cluster):
	for channel in channels_everywhere(cluster, "past"):
		for n in range(5):
			offset, epoch = fcall(cluster, "fanfare_publish", channel, n)
		with Client(broker.port) as client:
			answer = client.call("subscribe", {
				"channel": channel, "recover": True, "offset": offset - 3, "epoch": epoch.decode()})
			assert answer["recovered"]
			assert [pub["data"] for pub in answer["publications"]] == [2, 3, 4]
			history = client.call("history", {"channel": channel, "limit": 10})
			assert [pub["data"] for pub in history["publications"]] == list(range(5))


def test_all_keys_of_a_channel_are_in_its_slot(broker, cluster):
	for channel in ("keys", "keys{1}", "a:b{c}d", "keys}", "{}keys"):
		fcall(cluster, "fanfare_publish", channel, "1", "idempotency_key", "k", "history_size", 5, "history_ttl", 60)
		slot = slot_of(f"fanfare:{channel}")
		keys = cluster.owner_of_slot(slot).call("CLUSTER", "GETKEYSINSLOT", slot, 10)
		assert len([key for key in keys if channel.encode() in key]) == 3, keys


def test_channels_whose_names_no_hash_tag_can_hold_have_history_and_presence(broker, cluster):
	for end in "}", "{}", "}{", "a}b{}c{d}":
		with Client(broker.port) as client:
			epoch = client.call("subscribe", {"channel": f"odd{end}"})["epoch"]
			client.publish(f"odd{end}", 1)
			assert client.push()["pub"]["offset"] == 1
			client.subscribe(f"room:{end}")
			assert client.push()["join"]["info"]["client"] == client.hello["client"]
			assert client.call("presence", {"channel": f"room:{end}"})["presence"].keys() == {client.hello["client"]}
		with Client(broker.port) as client:
			answer = client.call("subscribe", {"channel": f"odd{end}", "recover": True, "epoch": epoch, "offset": 0})
			assert answer["recovered"] and [p["data"] for p in answer["publications"]] == [1]


def test_who_is_there_is_known_and_told_on_all_masters(broker, cluster):
	for channel in channels_everywhere(cluster, "room:ch"):
		first, second = Client(broker.port), Client(broker.port)
		first.subscribe(channel)
		assert first.push()["join"]["info"]["client"] == first.hello["client"]
		second.subscribe(channel)
		assert first.push()["join"]["info"]["client"] == second.hello["client"]
		assert set(first.call("presence", {"channel": channel})["presence"]) == {first.hello["client"], second.hello["client"]}
		second.close()
		assert first.push()["leave"]["info"]["client"] == second.hello["client"]
		first.close()


def test_the_command_line_publishes_into_a_cluster(broker, cluster):
	with Client(broker.port) as client:
		for channel in channels_everywhere(cluster, "cli"):
			client.subscribe(channel)
			for _ in range(2):
				done = command.run("publish", "--config", broker.config_path, channel, '{"n": 1}')
				assert done.returncode == 0, done
				assert "delivered to 1 worker, offset" in done.stdout, done
				assert client.publication() == (channel, {"n": 1})


def test_redis_cli_of_the_command_line_follows_the_slots(broker, cluster):
	for channel in channels_everywhere(cluster, "rc"):
		done = command.run(
			"redis-cli", "--config", broker.config_path, "FCALL", "fanfare_publish", 1, f"fanfare:{channel}", "1")
		assert done.returncode == 0 and done.stdout.split("\n")[0].endswith("1"), done


def test_an_address_of_one_node_is_told_apart_from_a_redis(cluster):
	with Broker(OPEN, f"redis://127.0.0.1:{cluster.masters()[0].port}", wait=False) as broker:
		wait_not_ready(broker, "redis.cluster_address")


def test_the_example_of_readme_does_what_it_says(tmp_path):
	blocks = re.findall(r"(?:^    .*\n)+", readme.section("Redis Cluster"), re.MULTILINE)
	example, commands = ["\n".join(line[4:] for line in block.splitlines()) for block in blocks]
	password = re.search(r"^ *password: (\w+)", example, re.MULTILINE)[1]
	with RedisCluster(replicas=0, password=password) as cluster:
		for address, node in zip(re.findall(r"10\.0\.0\.\d:6379", example), cluster.nodes):
			example = example.replace(address, f"127.0.0.1:{node.port}")
		file = tmp_path / "fanfare.yaml"
		file.write_text(example)
		with Broker(arguments=("--config", file), dev=True) as broker, Client(broker.port).subscribe("news") as client:
			for line in commands.splitlines():
				words = shlex.split(line.replace("10.0.0.5", f"127.0.0.1 -p {cluster.nodes[0].port}"))
				subprocess.run(words, check=True, env=os.environ | {"REDISCLI_AUTH": password}, capture_output=True)
				assert client.publication() == ("news", {"price": 42})
			shown = command.run("config", "--config", file).stdout
			seen = [broker.log(), shown, *map(process.command_line, [broker.pid, *broker.worker_pids()])]
			assert "cluster_address" in shown and not any(password in text for text in seen)


# --- TLS, users, and other names ---

RIGHTS = merge(OPEN, {
	"channel": {"without_namespace": HISTORY["channel"]["without_namespace"]}, "client": {"ping_interval": "0s"},
	"redis": {"user": "fanfare", "password": "PASSWORD", "unsubscribe_linger": "10ms"}})


def give_rights(cluster, user, *words):
	for node in cluster.nodes:
		node.call("ACL", "SETUSER", user, *words)
		node.call("ACL", "LOG", "RESET")


def expect_nothing_refused(cluster, broker):
	assert "NOPERM" not in broker.log()
	for node in cluster.nodes:
		assert node.call("ACL", "LOG") == []


def publish_as_backend(cluster, *words):
	client = RedisClient(cluster.owner_of(words[3] if words[0] == "FCALL" else words[1]).port)
	try:
		client.call("AUTH", "backend", "PASSWORD")
		return client.call(*words)
	finally:
		client.close()


def test_users_need_each_right_that_readme_names_for_a_cluster(cluster):
	more, number = readme.more_rights(), itertools.count()
	basic = {user: words[5:] for user, words in readme.users().items()}

	def stir(broker):
		turn = next(number)
		channel = f"rights{turn}"
		with contextlib.suppress(AssertionError, OSError), Client(broker.port) as client:
			client.send("subscribe", {"channel": channel})
			client.send("publish", {"channel": channel, "data": 1})
			client.call("unsubscribe", {"channel": channel}, timeout=1)
		if turn % 5 > 0:
			return
		for node in cluster.nodes:
			node.call("CLIENT", "KILL", "USER", "fanfare")
		with contextlib.suppress(process.Timeout):
			process.wait_until(lambda: broker.ready()[0] == 200, "the broker is back", 1)

	def publish():
		for words in ("FCALL", "fanfare_publish", 1, f"fanfare:{next(number)}", "1"), ("SPUBLISH", "fanfare:a", "1"):
			with contextlib.suppress(RedisError):
				publish_as_backend(cluster, *words)

	try:
		rights.give(cluster.nodes, "fanfare", [*basic["fanfare"], *more["cluster"]])
		with Broker(RIGHTS, cluster) as broker:
			rights.expect_each_is_needed(cluster.nodes, "backend", more["backend"], publish, beside=basic["backend"])
			rights.expect_each_is_needed(cluster.nodes, "fanfare", more["cluster"], lambda: stir(broker), beside=basic["fanfare"])
	finally:
		for node in cluster.nodes:
			node.call("ACL", "DELUSER", *basic)


def test_tls_nodes_and_users_who_may_do_what_readme_names_and_no_more(redis_ca):
	more = readme.more_rights()
	with RedisCluster(authority=redis_ca) as cluster:
		for user, (_, _, _, *words) in readme.users().items():
			give_rights(cluster, user, *words, *more["cluster" if user == "fanfare" else user])
		with Broker(RIGHTS, cluster, workers=2) as broker, Client(broker.port) as client:
			source, to, _ = cluster.masters()
			channels = channels_everywhere(cluster, "tls")
			with followed(broker, cluster, channels):
				cluster.move_slot(slot_of(f"fanfare:{channels[0]}"), to)
				for node in cluster.nodes:
					node.call("CLIENT", "KILL", "USER", "fanfare")
				source.call("FUNCTION", "FLUSH")
				cluster.failover(source)
			for channel in channels:
				client.subscribe(channel)
				client.publish(channel, 1)
				publish_as_backend(cluster, "FCALL", "fanfare_publish", 1, f"fanfare:{channel}", 2, "idempotency_key", "k")
				publish_as_backend(cluster, "SPUBLISH", f"fanfare:{channel}", 3)
				expect_behind_the_load(client, 1, 2, 3)
				client.unsubscribe(channel)
				process.wait_until(lambda: publish_as_backend(cluster, "SPUBLISH", f"fanfare:{channel}", 4) == 0, "it is unsubscribed")
			client.subscribe(channels[0])
			done = command.run("publish", "--config", broker.config_path, channels[0], "4")
			assert done.returncode == 0 and client.publication() == (channels[0], 4), done
			expect_nothing_refused(cluster, broker)
		give_rights(cluster, "fanfare", *more["presence"])
		config = {"channel": {"namespaces": CONFIG["channel"]["namespaces"]}}
		with Broker(merge(RIGHTS, config), cluster) as broker, Client(broker.port) as client:
			for channel in channels_everywhere(cluster, "room:tls"):
				client.subscribe(channel)
				assert client.push()["join"]["info"]["client"] == client.hello["client"]
				assert client.call("presence", {"channel": channel})["presence"].keys() == {client.hello["client"]}
				client.unsubscribe(channel)
			expect_nothing_refused(cluster, broker)


@pytest.mark.parametrize("announced, settings", [
	("127.0.0.2", {"cluster-announce-ip": "127.0.0.2"}),
	("localhost", {"cluster-announce-hostname": "localhost", "cluster-preferred-endpoint-type": "hostname"})])
def test_nodes_are_reached_by_the_name_that_they_announce(cluster, announced, settings):
	usual = {name: cluster.nodes[0].call("CONFIG", "GET", name)[1] for name in settings}
	with Broker(CONFIG, cluster) as broker:
		channels = channels_everywhere(cluster, "named")
		with followed(broker, cluster, channels) as loads:
			for node in cluster.nodes:
				node.call("CONFIG", "SET", *[word for setting in settings.items() for word in setting])
			process.wait_until(
				lambda: all(f"{announced}:{node.port} is ready" in broker.log() for node in cluster.masters()), "all are named so")
			for load in loads.values():
				load.more(20)
			for node in cluster.nodes:
				node.call("CONFIG", "SET", *[word for setting in usual.items() for word in setting])
			process.wait_until(
				lambda: all(f"{announced}:{node.port} is no master" in broker.log() for node in cluster.masters()), "none is any more")


# --- slots move ---

def test_a_slot_moves_under_load(broker, cluster):
	source, to, _ = cluster.masters()
	channel = cluster.channel_at(source, "moves")
	slot = slot_of(f"fanfare:{channel}")
	with followed(broker, cluster, [channel]) as loads:
		for target in (to, source, to, source):
			cluster.move_slot(slot, target)
			loads[channel].more(30)
	wait_ready(broker)


def test_while_a_slot_is_on_its_way_nothing_is_split_between_two_nodes(broker, cluster):
	source, to, _ = cluster.masters()
	channel = cluster.channel_at(source, "split")
	slot = slot_of(f"fanfare:{channel}")
	with Listener(broker, channel) as follower:
		_, epoch = fcall(cluster, "fanfare_publish", channel, 1, "idempotency_key", "one")
		cluster.begin_move(slot, to)
		client = cluster.connect()
		client.patience = 0.2
		for moved in range(4):
			with pytest.raises(RedisError, match="TRYAGAIN"):
				client.call("FCALL", "fanfare_publish", 1, f"fanfare:{channel}", 2)
			cluster.migrate_keys(slot, source, to, 1)
		client.close()
		cluster.end_move(slot, to)
		assert fcall(cluster, "fanfare_publish", channel, 1, "idempotency_key", "one") == [1, epoch, b"cached"]
		assert fcall(cluster, "fanfare_publish", channel, 2) == [2, epoch]
		follower.read_until(2)
	cluster.move_slot(slot, source)


def test_many_slots_move_under_load(broker, cluster):
	source, to, _ = cluster.masters()
	channels = [cluster.channel_at(source, f"many{i}.") for i in range(8)]
	with followed(broker, cluster, channels):
		for target in (to, source):
			for channel in channels:
				cluster.move_slot(slot_of(f"fanfare:{channel}"), target)


def test_a_master_comes_and_goes(broker, cluster):
	source = cluster.masters()[0]
	channels = [cluster.channel_at(source, f"new{i}.") for i in range(3)]
	slots = [slot_of(f"fanfare:{channel}") for channel in channels]
	with followed(broker, cluster, channels) as loads:
		new = cluster.add_master()
		for slot in slots:
			cluster.move_slot(slot, new)
		for load in loads.values():
			load.more(30)
		for slot in slots:
			cluster.move_slot(slot, source)
		cluster.remove_master(new)
	wait_ready(broker)


# --- masters fail ---

def test_a_master_is_killed_and_its_replica_takes_over(broker, cluster):
	victim = cluster.masters()[1]
	channels = channels_everywhere(cluster, "killed")
	with contextlib.ExitStack() as stack:
		clients = [stack.enter_context(Client(broker.port).subscribe(channel)) for channel in channels]
		for channel, client in zip(channels, clients):
			fcall(cluster, "fanfare_publish", channel, '"before"')
			assert client.publication() == (channel, "before")
		victim.call("WAIT", 1, 2000)
		cluster.kill_master(victim)
		for channel in channels:
			fcall(cluster, "fanfare_publish", channel, '"after"')
		for channel, client in zip(channels, clients):
			assert client.publication() == (channel, "after")
	wait_ready(broker)


def test_an_operator_fails_a_master_over_under_load(broker, cluster):
	channels = channels_everywhere(cluster, "over")
	with followed(broker, cluster, channels) as loads:
		for master in cluster.masters():
			cluster.failover(master)
			for load in loads.values():
				load.more(20)
	wait_ready(broker)


def test_a_master_is_frozen_and_its_replica_takes_over(broker, cluster):
	victim = cluster.masters()[0]
	channel = cluster.channel_at(victim, "frozen")
	slot = slot_of(f"fanfare:{channel}")
	with Client(broker.port).subscribe(channel) as client:
		fcall(cluster, "fanfare_publish", channel, '"before"')
		assert client.publication() == (channel, "before")
		victim.call("WAIT", 1, 2000)
		victim.freeze()
		cluster.forget_connections(victim)
		try:
			cluster.wait_moved(slot, victim)
			new = cluster.owner_of_slot(slot, not_asked=victim)
			new.call("FCALL", "fanfare_publish", 1, f"fanfare:{channel}", '"meanwhile"')
			assert client.publication() == (channel, "meanwhile")
			wait_ready(broker)
		finally:
			victim.thaw()


# --- links break ---

def subscriber_links(node):
	return [link for link in node.clients() if ".subs" in link["name"]]


def command_links(node):
	return {link["id"]: link for link in node.clients() if ".calls" in link["name"]}


def test_while_one_master_holds_back_writes_a_publish_is_late_and_no_connection_is_lost(cluster):
	process.despite_noise(lambda: hold_back_writes(cluster))


def hold_back_writes(cluster):
	patient = {"redis": {"call_timeout": "20s", "canary_timeout": "30s"}}
	with Broker(merge(merge(OPEN, HISTORY), patient), cluster) as broker:
		victim = cluster.masters()[1]
		channel = cluster.channel_at(victim, "paused")
		with Client(broker.port).subscribe(channel) as client:
			before = command_links(victim)
			victim.call("CLIENT", "PAUSE", 60000, "WRITE")
			publish = client.send("publish", {"channel": channel, "data": 1})
			process.wait_until(lambda: [
				link for link in command_links(victim).values()
				if link["id"] not in before and link["cmd"] == "spublish" and int(link["idle"]) >= 1], "another one waits, too")
			victim.call("CLIENT", "UNPAUSE")
			client.reply(publish, "publish")
			assert client.publication() == (channel, 1)
			process.wait_until(lambda: command_links(victim).keys() == before.keys(), "the first one alone is there")


def test_a_deaf_link_to_one_master_is_noticed_and_replaced(cluster):
	"""Its subscriptions end without a word: only the canary of this master can tell."""
	with Broker(CONFIG, cluster) as broker:
		victim = cluster.masters()[2]
		channel = cluster.channel_at(victim, "deaf")
		with Client(broker.port).subscribe(channel) as client:
			fcall(cluster, "fanfare_publish", channel, 1)
			assert client.publication() == (channel, 1)
			for link in subscriber_links(victim):
				victim.call("CLIENT", "KILL", "ID", link["id"])
			fcall(cluster, "fanfare_publish", channel, 2)
			assert client.publication() == (channel, 2)
			wait_ready(broker)


def test_a_master_that_does_not_answer_is_named_by_readiness(cluster):
	with Broker(CONFIG, cluster) as broker:
		victim = cluster.masters()[2]
		victim.call("CLIENT", "PAUSE", PAUSED_MS, "ALL")
		wait_not_ready(broker, f"127.0.0.1:{victim.port}")
		wait_ready(broker)


def test_while_one_master_does_not_answer_channels_of_the_others_are_served_to_new_clients(cluster):
	with Broker(CONFIG, cluster) as broker, Client(broker.port) as client:
		victim, *others = cluster.masters()
		lost, *channels = [cluster.channel_at(node, "alone") for node in (victim, *others)]
		epochs = [fcall(cluster, "fanfare_publish", channel, 1)[1].decode() for channel in channels]
		victim.call("CLIENT", "PAUSE", PAUSED_MS, "ALL")
		wait_not_ready(broker, f"127.0.0.1:{victim.port}")
		for channel, epoch in zip(channels, epochs):
			answer = client.call("subscribe", {"channel": channel, "recover": True, "offset": 0, "epoch": epoch})
			assert [pub["data"] for pub in answer["publications"]] == [1], answer
			client.publish(channel, 2)
			assert client.publication() == (channel, 2)
		refused = client.send("subscribe", {"channel": lost})
		with pytest.raises(ErrorReply, match="100"):
			client.reply(refused, "subscribe")
		assert broker.ready()[0] == 503
		wait_ready(broker)
		client.subscribe(lost)


def test_a_master_that_forgets_everything_is_told_to_subscribers(broker, cluster):
	ours, others = [cluster.channel_at(node, "flush") for node in cluster.masters()[:2]]
	with Client(broker.port) as client:
		client.subscribe(ours, others)
		for channel in (ours, others):
			fcall(cluster, "fanfare_publish", channel, 1)
			assert client.publication() == (channel, 1)
		cluster.owner_of(f"fanfare:{ours}").call("FLUSHALL")
		fcall(cluster, "fanfare_publish", ours, 2)
		fcall(cluster, "fanfare_publish", others, 2)
		pushes = [client.push(), client.push()]
		assert {"unsubscribe": {"code": 2500, "reason": "insufficient state"}, "channel": ours} in pushes, pushes
		assert any(push.get("pub", {}).get("data") == 2 and push["channel"] == others for push in pushes), pushes
