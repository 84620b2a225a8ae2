"""Presence, join and leave: who is there, everywhere the same, also after workers, brokers and Redis have failed."""

import contextlib
import json
import os
import re
import signal
import time

import pytest

from lib import process
from lib.broker import OPEN, Broker, merge
from lib.client import Client, ErrorReply
from lib.redis_server import RedisServer
from lib.sdk import SDKS
from lib.ws import WebSocket

EVERYBODY = OPEN["channel"]["without_namespace"]
ASKED = {**EVERYBODY, "presence": True, "allow_presence_for_client": True, "allow_presence_for_anonymous": True}
TOLD = {**ASKED, "join_leave": True, "force_push_join_leave": True}
LEASE_S = 2
CONFIG = {
	"redis": {"presence_ttl": f"{LEASE_S}s"},
	# A test with thousands of clients may take long to read what comes to one of them, and answers no ping meanwhile.
	"client": {"presence_update_interval": "1s", "ping_interval": "0s"},
	"uni_websocket": {"enabled": True},
	"channel": {"namespaces": [
		{"name": "told", **TOLD},
		{"name": "ask", **ASKED, "join_leave": True},
		{"name": "mute", **ASKED},
		{"name": "events", **EVERYBODY, "join_leave": True, "force_push_join_leave": True},
		{"name": "kept", **TOLD, "history_size": 100, "history_ttl": "60s", "force_recovery": True},
		{"name": "grace", **TOLD, "join_leave_grace": "2s"},
		{"name": "comp", **TOLD, "allow_channel_compaction": True},
		{"name": "users", **EVERYBODY, "presence": True, "allow_presence_for_client": True},
		{"name": "subs", **EVERYBODY, "presence": True, "allow_presence_for_subscriber": True, "allow_presence_for_anonymous": True},
		{"name": "nobody", **EVERYBODY, "presence": True},
	]},
}


@pytest.fixture(scope="module")
def shared_redis():
	with RedisServer() as server:
		yield server


@pytest.fixture(scope="module")
def shared(shared_redis):
	"""For tests that break nothing."""
	with Broker(CONFIG, shared_redis, workers=2) as broker:
		yield broker


@pytest.fixture
def redis():
	with RedisServer() as server:
		yield server


@pytest.fixture
def broker(redis):
	with Broker(CONFIG, redis, workers=2) as broker:
		yield broker


@pytest.fixture
def channel(request):
	return "told:" + request.node.name.replace("[", "-").replace("]", "")


@pytest.fixture
def connect(request):
	"""Connects clients that are closed at the end."""
	with contextlib.ExitStack() as clients:
		yield lambda broker, **options: clients.enter_context(contextlib.closing(Client(broker.port, **options)))


def me(client):
	return client.hello["client"]


def members(client, channel):
	"""The ids of the clients that are there."""
	presence = client.call("presence", {"channel": channel})["presence"]
	assert all(id == info["client"] for id, info in presence.items())
	return set(presence)


def stats(client, channel):
	return client.call("presence_stats", {"channel": channel})["num_clients"]


def wait_for_members(asker, channel, wanted, what, timeout=30.0):
	seen = []

	def is_so():
		seen[:] = [members(asker, channel), stats(asker, channel)]
		return seen == [wanted, len(wanted)]

	try:
		process.wait_until(is_so, what, timeout, every=0.05)
	except process.Timeout as trouble:
		raise process.Timeout(f"{trouble}: wanted {wanted}, there are {seen}") from None


def event(push, channel):
	assert push.get("channel") == channel, push
	[what] = set(push) - {"channel"}
	return what, push[what]["info"]["client"]


def heard(client, channel, count, timeout=30.0):
	return [event(client.push(timeout), channel) for _ in range(count)]


def all_heard(client, channel, end):
	"""All up to a join of the client `end`."""
	events = []
	while not events or events[-1] != ("join", end):
		events.append(event(client.push(), channel))
	return events


def on_each_worker(broker, connect, channel, count=2):
	"""Clients of which each worker has at least `count`, by worker."""
	clients = [connect(broker) for _ in range(12 * count)]
	workers = broker.worker_pids()
	found = {worker: clients_of(worker, broker.port, clients) for worker in workers}
	assert all(len(some) >= count for some in found.values()), "the kernel gave all clients to one worker"
	return found


def clients_of(worker, port, clients):
	peers = process.peer_ports(worker, port)
	return [client for client in clients if client.ws.socket.getsockname()[1] in peers]


def subscribe_all(clients, channel):
	"""Each hears the joins of those behind it, too."""
	for i, client in enumerate(clients):
		client.subscribe(channel)
		for earlier in clients[:i + 1]:
			assert heard(earlier, channel, 1) == [("join", me(client))]


# What is asked

def test_who_subscribed_is_there_and_who_left_is_not(shared, connect, channel):
	a, b, asker = connect(shared), connect(shared), connect(shared)
	assert members(asker, channel) == set() and stats(asker, channel) == 0
	subscribe_all([a, b], channel)
	assert members(asker, channel) == {me(a), me(b)}
	assert asker.call("presence_stats", {"channel": channel}) == {"num_clients": 2, "num_users": 1}
	a.unsubscribe(channel)
	wait_for_members(asker, channel, {me(b)}, "who unsubscribed is gone")
	b.close()
	wait_for_members(asker, channel, set(), "who closed the connection is gone")


def test_who_has_the_answer_to_his_subscribe_is_there(shared, connect, channel):
	"""In one frame: the presence is asked for as soon as the subscribe is answered."""
	for round in range(20):
		client = connect(shared)
		client.ws.send_text("\n".join(json.dumps(command) for command in [
			{"id": 101, "subscribe": {"channel": channel}}, {"id": 102, "presence": {"channel": channel}},
			{"id": 103, "presence_stats": {"channel": channel}}]))
		client.reply(101, "subscribe")
		assert me(client) in client.reply(102, "presence")["presence"]
		assert client.reply(103, "presence_stats")["num_clients"] >= 1
		client.close()


@pytest.mark.parametrize("command", ["presence", "presence_stats"])
@pytest.mark.parametrize("name, subscribed, code", [
	("plain", True, 108), ("events:x", True, 108), ("users:x", True, 103), ("nobody:x", True, 103),
	("subs:x", False, 103), ("subs:x", True, None), ("mute:x", False, None), ("nosuch:x", False, 102),
], ids=lambda v: str(v))
def test_who_may_ask(shared, connect, command, name, subscribed, code):
	client = connect(shared)
	if subscribed:
		client.subscribe(name)
	if code is None:
		client.call(command, {"channel": name})
		return
	with pytest.raises(ErrorReply) as refused:
		client.call(command, {"channel": name})
	assert refused.value.code == code


def test_a_subscription_that_ended_does_not_let_anybody_ask(shared, connect):
	client = connect(shared).subscribe("subs:ended")
	client.unsubscribe("subs:ended")
	with pytest.raises(ErrorReply) as refused:
		client.call("presence", {"channel": "subs:ended"})
	assert refused.value.code == 103


def test_two_brokers_of_one_redis_have_one_presence(shared, shared_redis, connect, channel):
	with Broker(CONFIG, shared_redis) as other:
		a, b = connect(shared), connect(other)
		subscribe_all([a, b], channel)
		for asker in a, b:
			assert members(asker, channel) == {me(a), me(b)}
		b.close()
		assert heard(a, channel, 1) == [("leave", me(b))]


# Who is told

def test_only_who_asks_is_told_where_it_is_not_forced(shared, connect):
	channel = "ask:asked"
	asked, not_asked, other = connect(shared), connect(shared), connect(shared)
	not_asked.subscribe(channel)
	asked.call("subscribe", {"channel": channel, "join_leave": True})
	assert heard(asked, channel, 1)[0] in [("join", me(asked)), ("join", me(not_asked))]
	while asked.pushes:
		asked.push()
	other.subscribe(channel)
	while heard(asked, channel, 1) != [("join", me(other))]:
		pass
	other.unsubscribe(channel)
	assert heard(asked, channel, 1) == [("leave", me(other))]
	assert not_asked.quiet() and other.quiet()


@pytest.mark.parametrize("channel", ["mute:told", "plain"])
def test_nobody_is_told_where_there_are_no_joins(shared, connect, channel):
	a, b = connect(shared), connect(shared)
	for client in a, b:
		client.call("subscribe", {"channel": channel, "join_leave": True})
	b.unsubscribe(channel)
	assert a.quiet(0.3) and b.quiet()


def test_joins_are_told_where_presence_cannot_be_asked_for(shared, connect):
	subscribe_all([connect(shared), connect(shared)], "events:x")


def test_nobody_hears_his_own_leave(shared, connect, channel):
	a, b = connect(shared), connect(shared)
	subscribe_all([a, b], channel)
	b.unsubscribe(channel)
	assert heard(a, channel, 1) == [("leave", me(b))]
	assert b.quiet(0.2)


def test_the_own_join_comes_behind_the_answer_and_once(shared, connect, channel):
	client = connect(shared)
	client.ws.send_text(json.dumps({"id": 9, "subscribe": {"channel": channel}}))
	lines = client.ws.read_message(5).split("\n")
	assert json.loads(lines[0])["id"] == 9
	for line in lines[1:]:
		client._take(json.loads(line))
	assert heard(client, channel, 1) == [("join", me(client))]
	assert client.quiet(0.2)


def test_leaving_and_coming_back_at_once_is_told_in_order(shared, shared_redis, connect, channel):
	a, b = connect(shared), connect(shared)
	subscribe_all([a, b], channel)
	rounds = 10
	b.ws.send_text("\n".join(json.dumps({"id": 100 + i, what: {"channel": channel}})
		for i, what in enumerate(["unsubscribe", "subscribe"] * rounds)))
	assert heard(a, channel, 2 * rounds) == [("leave", me(b)), ("join", me(b))] * rounds
	assert members(a, channel) == {me(a), me(b)}
	shared_redis.publish(channel, "1")
	while "pub" not in (push := b.push()):
		assert event(push, channel) == ("join", me(b)), "nobody hears his own leave, not even that of before"


def test_many_who_come_and_go_at_once_are_told_once_each(shared, connect, channel):
	watcher = connect(shared).subscribe(channel)
	heard(watcher, channel, 1)
	crowd = [connect(shared) for _ in range(100)]
	for client in crowd:
		client.send("subscribe", {"channel": channel})
	everybody = {me(client) for client in crowd}
	assert set(heard(watcher, channel, len(crowd))) == {("join", id) for id in everybody}
	assert members(watcher, channel) == everybody | {me(watcher)}
	for client in crowd:
		client.close()
	assert sorted(heard(watcher, channel, len(crowd))) == sorted(("leave", id) for id in everybody)
	assert watcher.quiet(0.2) and stats(watcher, channel) == 1


def test_a_connection_that_is_gone_in_the_middle_of_subscribing_leaves_nobody_behind(shared, connect, channel):
	watcher = connect(shared).subscribe(channel)
	for _ in range(40):
		client = connect(shared)
		client.send("subscribe", {"channel": channel})
		client.close()
	wait_for_members(watcher, channel, {me(watcher)}, "nobody but the watcher is there")
	last = connect(shared).subscribe(channel)
	there = set()
	for what, who in all_heard(watcher, channel, me(last)):
		assert (what == "leave") == (who in there), "a join, and then a leave, of each"
		there ^= {who}
	assert there == {me(watcher), me(last)}


def test_with_history_it_is_just_the_same(shared, connect):
	channel = "kept:x"
	a, b = connect(shared), connect(shared)
	subscribe_all([a, b], channel)
	b.publish(channel, 1)
	assert "pub" in a.push()
	b.close()
	assert heard(a, channel, 1) == [("leave", me(b))]


def test_with_numbers_for_names_it_is_just_the_same(shared, connect):
	a, b = connect(shared), connect(shared)
	id = a.call("subscribe", {"channel": "comp:x", "flag": 1})["id"]
	push = a.push()
	assert push["id"] == id and "channel" not in push and push["join"]["info"]["client"] == me(a)
	b.subscribe("comp:x")
	assert a.push() == {"id": id, "join": {"info": {"user": "", "client": me(b)}}}


def test_unidirectional_clients_are_members_and_are_told(shared, connect, channel):
	ws = WebSocket(shared.port, "/connection/uni_websocket")
	ws.send_text(json.dumps({"subs": {channel: {}}}))
	id = json.loads(ws.read_message(5))["connect"]["client"]
	assert event(json.loads(ws.read_message(5)), channel) == ("join", id)
	other = connect(shared).subscribe(channel)
	assert event(json.loads(ws.read_message(5)), channel) == ("join", me(other))
	assert members(other, channel) == {id, me(other)}
	ws.close()
	while heard(other, channel, 1) != [("leave", id)]:
		pass


def test_what_is_said_in_redis_about_joins_is_not_believed_blindly(shared, shared_redis, connect, channel):
	client = connect(shared).subscribe(channel)
	heard(client, channel, 1)
	for bad in ('{"fanfare":1,"join":7}', '{"fanfare":1,"join":{"user":7}}', '{"fanfare":1,"leave":null}', '{"fanfare":1,"join":[]}',
			'{"fanfare":2,"join":{"user":"u","client":"c"}}', '{"fanfare":1,"join":{"user":"u","client":"c"},"join":{}}'):
		shared_redis.publish(channel, bad)
	shared_redis.publish(channel, '"behind"')
	assert client.publication() == (channel, "behind")


# Workers and brokers that die

def test_the_members_of_a_killed_worker_vanish_in_seconds_and_are_told_once(redis, connect, channel):
	"""The lease would take a minute: it is the successor who says so."""
	with Broker(merge(CONFIG, {"redis": {"presence_ttl": "60s"}}), redis, workers=2) as broker:
		by_worker = on_each_worker(broker, connect, channel)
		victim, other = list(by_worker)
		dying, staying = by_worker[victim][:2], by_worker[other][:2]
		subscribe_all(staying + dying, channel)
		os.kill(victim, signal.SIGKILL)
		wait_for_members(staying[0], channel, {me(client) for client in staying}, "the dead vanish")
		for client in staying:
			assert sorted(heard(client, channel, 2)) == sorted(("leave", me(dead)) for dead in dying)
			assert client.quiet(1.5)


def test_nobody_need_be_subscribed_for_the_dead_to_vanish(redis, connect, channel):
	with Broker(merge(CONFIG, {"redis": {"presence_ttl": "60s"}}), redis, workers=2) as broker:
		by_worker = on_each_worker(broker, connect, channel)
		victim, other = list(by_worker)
		by_worker[victim][0].subscribe(channel)
		os.kill(victim, signal.SIGKILL)
		wait_for_members(by_worker[other][0], channel, set(), "the dead vanish")


def test_the_members_of_a_dead_host_vanish_within_the_lease(redis, connect, channel):
	with Broker(CONFIG, redis) as survivor:
		with Broker(CONFIG, redis) as dying:
			a, b = connect(survivor), connect(dying)
			subscribe_all([a, b], channel)
			for pid in [dying.pid, *dying.worker_pids()]:
				os.kill(pid, signal.SIGKILL)
			wait_for_members(a, channel, {me(a)}, "they vanish", timeout=LEASE_S + 20)
			assert heard(a, channel, 1) == [("leave", me(b))]
			assert a.quiet(1.5)
			dying.process.wait()


def successor_of(victim, broker, survivor):
	return next((pid for pid in broker.worker_pids() if pid not in (victim, survivor)), None)


def kill_with_a_member(broker, connect, channel, victim, survivor):
	"""Returns for how many ms the worker stays away."""
	member = process.wait_until(lambda: clients_of(victim, broker.port, [connect(broker)]), "somebody meets the worker")[0]
	member.subscribe(channel)
	before = len(broker.log())
	os.kill(victim, signal.SIGKILL)
	said = process.wait_until(
		lambda: re.search(r"is started again in (\d+) ms", broker.log()[before:]) or successor_of(victim, broker, survivor),
		"the master knows")
	return int(said[1]) if isinstance(said, re.Match) else 0


def test_while_a_worker_that_keeps_dying_waits_the_others_do_all_the_work(redis, connect, channel):
	"""The lease would take a minute. Each time it stays away for longer, until it is long enough for this machine."""
	with Broker(merge(CONFIG, {"redis": {"presence_ttl": "60s"}}), redis, workers=2) as broker:
		by_worker = on_each_worker(broker, connect, channel, 1)
		victim, survivor = list(by_worker)
		asker = by_worker[survivor][0].subscribe(channel)
		proven = away_ms = 0
		while not proven:
			assert away_ms < 12000, "others wait for its successor"
			away_ms = kill_with_a_member(broker, connect, channel, victim, survivor)
			if away_ms >= 3000:
				for _ in range(60):
					assert broker.get("/health/live", timeout=60)[0] == 200
				wait_for_members(asker, channel, {me(asker)}, "the dead vanish", timeout=60)
				proven = successor_of(victim, broker, survivor) is None
			victim = process.wait_until(lambda: successor_of(victim, broker, survivor), "it is started again", timeout=60)
		broker.wait_ready()
		back = process.wait_until(lambda: clients_of(victim, broker.port, [connect(broker)]), "it serves again")[0]
		back.subscribe(channel)
		wait_for_members(asker, channel, {me(asker), me(back)}, "its members are there")


def stand_still_too_long(worker, client, other, channel):
	"""Until its client is believed dead, as the other one hears; then the worker goes on."""
	with process.frozen(worker):
		wait_for_members(other, channel, {me(other)}, "who does not move is dead", timeout=LEASE_S + 20)
		assert heard(other, channel, 1) == [("leave", me(client))]


def test_a_worker_that_stood_still_for_too_long_comes_back_with_its_members(broker, connect, channel):
	by_worker = on_each_worker(broker, connect, channel)
	frozen, other = list(by_worker)
	f, o = by_worker[frozen][0], by_worker[other][0]
	subscribe_all([o, f], channel)
	stand_still_too_long(frozen, f, o, channel)
	wait_for_members(o, channel, {me(o), me(f)}, "it was not dead")
	assert heard(o, channel, 1) == [("join", me(f))]
	assert o.quiet(1.5), "once is enough"


def test_who_stood_still_comes_back_also_where_much_is_going_on(redis, connect, channel):
	"""Others, who go on telling Redis of their own clients, may believe for a moment still that it is dead; nobody compares later."""
	config = merge(CONFIG, {"client": {"presence_update_interval": "1h"}})
	with Broker(config, redis, workers=2) as broker:
		by_worker = on_each_worker(broker, connect, channel)
		frozen, other = list(by_worker)
		f, o, busy = by_worker[frozen][0], by_worker[other][0], by_worker[other][1]
		subscribe_all([o, f], channel)
		stand_still_too_long(frozen, f, o, channel)
		until = process.now() + 2 * LEASE_S
		while process.now() < until:
			busy.subscribe(channel)
			busy.unsubscribe(channel)
			time.sleep(0.005)
		wait_for_members(o, channel, {me(o), me(f)}, "it was not dead", timeout=3)
		news = []
		while o.pushes:
			news.append(event(o.pushes.popleft(), channel))
		assert [what for what, who in news if who == me(f)] == ["join"]


def test_who_leaves_because_the_broker_stops_is_told(redis, connect, channel):
	with Broker(CONFIG, redis) as staying, Broker(CONFIG, redis, workers=2) as stopping:
		a = connect(staying)
		others = [connect(stopping) for _ in range(10)]
		subscribe_all([a, *others], channel)
		stopping.process.send_signal(signal.SIGTERM)
		assert sorted(heard(a, channel, len(others))) == sorted(("leave", me(b)) for b in others)
		assert stopping.process.wait(process.patience(30)) == 0
		assert members(a, channel) == {me(a)} and a.quiet(LEASE_S)


LONG_LEASE = merge(CONFIG, {"redis": {"presence_ttl": "10m"}})


def leases(redis):
	return {name for name in redis.call("HKEYS", "{fanfare:}workers") if name != b".seen"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT])
def test_a_broker_that_stops_gives_its_leases_back_and_its_members_vanish(redis, connect, channel, how):
	with Broker(LONG_LEASE, redis) as staying:
		a = connect(staying).subscribe(channel)
		assert heard(a, channel, 1) == [("join", me(a))]
		before = leases(redis)
		with Broker(LONG_LEASE, redis, workers=2) as stopping:
			others = {me(connect(stopping).subscribe(channel)) for _ in range(10)}
			assert set(heard(a, channel, 10)) == {("join", b) for b in others}
			process.wait_until(lambda: len(leases(redis) - before) == 2, "both workers have leases")
			stopping.process.send_signal(how)
			assert stopping.process.wait(process.patience(30)) == 0
			assert leases(redis) == before
			wait_for_members(a, channel, {me(a)}, "they have vanished")
			assert sorted(heard(a, channel, 10)) == sorted(("leave", b) for b in others)
			assert a.quiet(1.5)
			a.close()


def test_a_stop_does_not_wait_for_a_redis_that_is_gone(redis, connect, channel):
	with Broker(CONFIG, redis) as broker:
		connect(broker).subscribe(channel)
		with redis.frozen():
			assert broker.stop() == 0


# A Redis that fails

def test_members_come_back_by_themselves_when_redis_has_lost_all(broker, redis, connect, channel):
	clients = [connect(broker) for _ in range(8)]
	subscribe_all(clients, channel)
	redis.call("FLUSHALL")
	wait_for_members(clients[0], channel, {me(client) for client in clients}, "all are back")
	assert all(client.quiet(0.1) for client in clients), "nobody has left, and nobody came"
	clients[-1].close()
	assert heard(clients[0], channel, 1) == [("leave", me(clients[-1]))]


def test_members_come_back_when_redis_is_started_anew(broker, redis, connect, channel):
	clients = [connect(broker) for _ in range(8)]
	subscribe_all(clients, channel)
	redis.kill()
	redis.start()
	broker.wait_ready()
	wait_for_members(clients[0], channel, {me(client) for client in clients}, "all are back")
	assert all(client.quiet(0.1) for client in clients)


def test_what_a_failover_has_lost_is_back_at_once(redis, connect, channel):
	"""A join and a leave, so that the number is right."""
	with Broker(merge(CONFIG, {"client": {"presence_update_interval": "1h"}}), redis) as broker:
		clients = [connect(broker) for _ in range(3)]
		subscribe_all(clients, channel)
		everybody = {me(client) for client in clients}
		wait_for_members(clients[0], channel, everybody, "all are there")
		[of] = [key for key in redis.call("KEYS", "*") if channel.encode() in key and b".presence.of." in key]
		lost, gone = me(clients[1]), me(clients[1])[::-1]
		redis.call("HSET", of, gone, redis.call("HGET", of, lost).replace(lost.encode(), gone.encode()))
		redis.call("HDEL", of, lost)
		assert members(clients[0], channel) == everybody - {lost} | {gone}
		redis.call("CLIENT", "KILL", "TYPE", "pubsub")
		wait_for_members(clients[0], channel, everybody, "all are there again, and nobody else")
		assert all(client.quiet(0.1) for client in clients)


def test_lost_functions_cost_nobody(broker, redis, connect, channel):
	a, b, c = connect(broker), connect(broker), connect(broker)
	subscribe_all([a, b], channel)
	redis.call("FUNCTION", "FLUSH")
	c.subscribe(channel)
	assert heard(a, channel, 1) == [("join", me(c))]
	redis.call("FUNCTION", "FLUSH")
	assert members(a, channel) == {me(a), me(b), me(c)}


def test_who_left_while_redis_was_away_is_told_when_it_is_back(broker, redis, connect, channel):
	a, b = connect(broker), connect(broker)
	subscribe_all([a, b], channel)
	with redis.frozen():
		b.close()
		time.sleep(0.3)  # no more than a head start for the worker: it may just as well notice later
	assert heard(a, channel, 1) == [("leave", me(b))]
	wait_for_members(a, channel, {me(a)}, "it is gone")
	assert a.quiet(1.5)


def test_a_frozen_redis_makes_nobody_dead(broker, redis, connect, channel):
	clients = [connect(broker) for _ in range(8)]
	subscribe_all(clients, channel)
	with redis.frozen():
		time.sleep(LEASE_S + 1)  # what is tested is a time: that the lease has ended, by the clock of Redis
	broker.wait_ready()
	wait_for_members(clients[0], channel, {me(client) for client in clients}, "all are there")
	assert all(client.quiet(0.3) for client in clients)


def test_while_redis_is_away_an_error_is_answered(broker, redis, connect, channel):
	client = connect(broker).subscribe(channel)
	redis.kill()
	for command in "presence", "presence_stats":
		with pytest.raises(ErrorReply) as failed:
			client.call(command, {"channel": channel})
		assert failed.value.code == 100


def metric(broker, name):
	return int(re.search(rf"^fanfare_{name}_total (\d+)$", broker.get("/metrics")[1], re.MULTILINE)[1])


@contextlib.contextmanager
def out_of_memory(redis, channel):
	redis.call("CONFIG", "SET", "maxmemory", 1)
	yield "OOM"
	redis.call("CONFIG", "SET", "maxmemory", 0)


@contextlib.contextmanager
def not_permitted(redis, channel):
	redis.call("ACL", "SETUSER", "default", "-hset")
	yield "can't run this command or subcommand; its ACL must allow our user what a broker needs"
	redis.call("ACL", "SETUSER", "default", "+hset")


@contextlib.contextmanager
def of_another_kind(redis, channel):
	key = "{fanfare:%s}.presence.users" % channel
	redis.call("SET", key, "x")
	yield "WRONGTYPE"
	redis.call("DEL", key)


@pytest.mark.parametrize("trouble", [out_of_memory, not_permitted, of_another_kind])
def test_whom_redis_refuses_stays_subscribed_and_comes_in_later_and_it_is_told(redis, connect, channel, trouble):
	with Broker(CONFIG, redis, workers=1, dev=True) as broker:
		asker, client = connect(broker), connect(broker)
		assert members(asker, channel) == set()  # the worker has a lease
		with trouble(redis, channel) as reason:
			client.subscribe(channel)
			for command in "presence", "presence_stats":
				with pytest.raises(ErrorReply) as failed:
					asker.call(command, {"channel": channel})
				assert failed.value.code == 100
			[line, *_] = [line for line in broker.log().splitlines() if "cannot tell Redis who is there" in line]
			assert f"fanfare:{channel}:" in line and reason in line, line
			assert metric(broker, "presence_updates_refused") > 0
			redis.publish(channel, "1")
			assert client.publication() == (channel, 1)
		assert heard(client, channel, 1) == [("join", me(client))]
		wait_for_members(asker, channel, {me(client)}, "it has come in")
		asker.close()
		client.close()


def test_a_worker_that_redis_gives_no_lease_does_not_say_that_nobody_is_there(redis, connect, channel):
	with not_permitted(redis, channel) as reason, Broker(CONFIG, redis, workers=1, dev=True) as broker:
		client = connect(broker).subscribe(channel)
		with pytest.raises(ErrorReply) as failed:
			client.call("presence", {"channel": channel})
		assert failed.value.code == 100
		told = f"cannot renew the lease of this worker, so presence stands still: fanfare_workers: The user executing the script {reason}"
		process.wait_until(lambda: told in broker.log(), "it is told")
		assert metric(broker, "presence_updates_refused") > 0
		client.close()


def test_a_question_that_redis_refuses_is_told(redis, connect, channel):
	with Broker(CONFIG, redis, workers=1, dev=True) as broker:
		client = connect(broker)
		redis.call("SET", "{fanfare:%s}.presence" % channel, "of another kind")
		for command in "presence", "presence_stats":
			with pytest.raises(ErrorReply) as failed:
				client.call(command, {"channel": channel})
			assert failed.value.code == 100
		assert re.search(f"cannot read who is there in fanfare:{channel}: .*WRONGTYPE", broker.log())
		assert metric(broker, "presence_reads_refused") == 2
		client.close()


def test_what_others_put_into_redis_is_left_out(broker, redis, connect, channel):
	client = connect(broker).subscribe(channel)
	heard(client, channel, 1)
	key = "{fanfare:%s}.presence" % channel
	[of] = [key for key in redis.call("KEYS", "*") if b".presence.of." in key]
	for bad in "0:7", "0:{}garbage", "nothing", '1:u{"user":"u"', "99:x", '0:{"user":5}':
		redis.call("HSET", of, "x", bad)
		try:
			assert members(client, channel) <= {me(client), "x"}
		except ErrorReply as error:
			assert error.code == 100
	redis.call("HDEL", of, "x")
	assert members(client, channel) == {me(client)}
	redis.call("DEL", of)
	redis.call("SET", of, "of another kind")
	with pytest.raises(ErrorReply) as failed:
		members(client, channel)
	assert failed.value.code == 100
	redis.call("DEL", of)
	wait_for_members(client, channel, {me(client)}, "put back")
	assert redis.call("EXISTS", key) == 1


# Size

@pytest.mark.parametrize("count", [2000])
def test_thousands_are_there_and_gone(redis, connect, channel, count):
	"""Not told to each other: that would be count x count pushes."""
	with Broker(CONFIG, redis, workers=2) as broker:
		channel = "mute:" + channel.split(":")[1]
		asker = connect(broker)
		crowd = [connect(broker) for _ in range(count)]
		for client in crowd:
			client.send("subscribe", {"channel": channel})
		wait_for_members(asker, channel, {me(client) for client in crowd}, "all are there", timeout=60)
		for client in crowd:
			client.ws.socket.close()
		wait_for_members(asker, channel, set(), "all are gone", timeout=60)


# SDKs

@pytest.fixture(params=SDKS)
def sdk(request, shared):
	with SDKS[request.param](shared.url) as sdk:
		sdk.do("connect")
		sdk.expect("connected")
		yield sdk


def test_sdks_are_told_of_others_and_find_them(sdk, shared, connect, channel):
	sdk.do("subscribe", channel=channel)
	own = sdk.expect("join", channel=channel)["client"]
	other = connect(shared).subscribe(channel)
	assert sdk.expect("join", channel=channel)["client"] == me(other)
	found = sdk.do("presence", channel=channel)["result"]
	assert set(found) == {own, me(other)}
	assert sdk.do("presence_stats", channel=channel)["result"] == [2, 1]
	other.close()
	assert sdk.expect("leave", channel=channel)["client"] == me(other)
