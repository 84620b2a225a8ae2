"""Presence in the function library, in a real Redis: who is there, who is told, and what is put right that was lost. By FCALL,
and by EVAL of the same text, as where functions are not allowed."""

import itertools
import json

import pytest

from lib import process
from lib.broker import OPEN, Broker
from lib.redis_server import RedisClient, RedisError, RedisServer
from test_functions import library_text

ALPHA, BETA = "a1a1-1", "b2b2-1"
MEMBERS = {**OPEN["channel"]["without_namespace"], "presence": True, "join_leave": True}


@pytest.fixture(scope="module")
def server():
	with RedisServer() as server:
		yield server


@pytest.fixture(scope="module")
def text(server):
	"""The library as a broker loads it, which then leaves: it has no worker of its own here."""
	with Broker({"channel": {"without_namespace": MEMBERS}}, redis=server) as broker:
		process.wait_until(lambda: server.call("FUNCTION", "LIST"), "the library is loaded")
		text = library_text(server)
		broker.check_running()
	return text


def info(user, client):
	return json.dumps({"user": user, "client": client}, separators=(",", ":"))


def came(client, user="", sign="+"):
	return sign, client, user, info(user, client)


def is_there(client, user=""):
	return came(client, user, "=")


def left(client):
	return "-", client


class Presence:
	"""That of one channel, and a worker's ear on it."""

	def __init__(self, server, kind, text, channel):
		self.server, self.kind, self.text, self.channel = server, kind, text.split(b"\n", 1)[1], channel
		self.key = "{fanfare:%s}.presence" % channel
		self.ear = RedisClient(server.port, timeout=process.patience(5))
		self.ear.call("SUBSCRIBE", f"fanfare:{channel}")

	def call(self, function, *arguments, key=None):
		key = key or f"fanfare:{self.channel}"
		if self.kind == "FCALL":
			return self.server.call("FCALL", f"fanfare_{function}", 1, key, *arguments)
		return self.server.call("EVAL", self.text, 1, key, f"fanfare_{function}", *arguments)

	def update(self, worker, *steps, flags="j", grace=0, dead=(), since=None):
		"""How many members the worker has now; with w, who has some; and when to call again. The dead died now, or at a time."""
		dead = " ".join(f"{name}@{self.now_ms() if since is None else since}" for name in dead)
		return self.call("presence_update", worker, flags, grace, dead, *itertools.chain(*steps))

	def now_ms(self):
		seconds, microseconds = map(int, self.server.call("TIME"))
		return seconds * 1000 + microseconds // 1000 + 1

	def members(self):
		"""{worker: {client: info}}"""
		flat = self.call("presence")
		return {worker.decode(): {client.decode(): json.loads(kept) for client, kept in zip(kept[::2], kept[1::2])}
			for worker, kept in zip(flat[::2], flat[1::2])}

	def stats(self):
		"""(clients, users)"""
		flat = self.call("presence_stats")
		return sum(flat[2::2]), flat[0]

	def told(self):
		"""All that was told up to now, as [("join", client)]."""
		self.server.call("PUBLISH", f"fanfare:{self.channel}", "so far")
		found = []
		while (message := self.ear.reply()[2]) != b"so far":
			news = json.loads(message)
			assert news.pop("fanfare") == 1
			found += [(what, who["client"]) for what, who in news.items()]
		return found

	def close(self):
		self.ear.close()


@pytest.fixture(params=["FCALL", "EVAL"])
def presence(request, server, text):
	if not server.call("FUNCTION", "LIST"):
		server.call("FUNCTION", "LOAD", text)
	presence = Presence(server, request.param, text, request.node.name)
	yield presence
	presence.close()


# Joining and leaving

def test_who_comes_is_there_and_told_and_who_leaves_is_not(presence):
	assert presence.update(ALPHA, came("c1", "ann"), came("c2", "bob"))[0] == 2
	assert presence.members() == {ALPHA: {"c1": {"user": "ann", "client": "c1"}, "c2": {"user": "bob", "client": "c2"}}}
	assert presence.update(ALPHA, left("c1"))[0] == 1
	assert list(presence.members()[ALPHA]) == ["c2"]
	assert presence.told() == [("join", "c1"), ("join", "c2"), ("leave", "c1")]


def test_nothing_is_told_where_joins_and_leaves_are_not(presence):
	presence.update(ALPHA, came("c1"), left("c1"), came("c2"), flags="")
	assert presence.told() == []
	assert presence.stats() == (1, 1)


def test_a_call_that_is_made_again_changes_and_tells_nothing(presence):
	for _ in range(3):
		presence.update(ALPHA, came("c1", "ann"))
	assert presence.stats() == (1, 1)
	for _ in range(3):
		presence.update(ALPHA, left("c1"))
	assert presence.stats() == (0, 0)
	assert presence.told() == [("join", "c1"), ("leave", "c1")]


def test_coming_and_leaving_in_one_call_keeps_the_order(presence):
	presence.update(ALPHA, came("c1"), left("c1"), came("c1"))
	assert presence.told() == [("join", "c1"), ("leave", "c1"), ("join", "c1")]
	assert presence.stats() == (1, 1)


def test_a_user_counts_once_whatever_the_number_of_his_clients_and_workers(presence):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "ann"), came("c3", "bob"))
	presence.update(BETA, came("c4", "ann"))
	assert presence.stats() == (4, 2)
	presence.update(ALPHA, left("c1"), left("c2"))
	assert presence.stats() == (2, 2)
	presence.update(BETA, left("c4"))
	assert presence.stats() == (1, 1)


def test_users_have_any_name(presence):
	names = ["", "0", "1:x", "12:", "{}", "a b\nc", "\u00fc", "-", "x" * 1000]
	presence.update(ALPHA, *(came(f"c{i}", name) for i, name in enumerate(names)))
	assert presence.stats() == (len(names), len(names))
	assert {who["user"] for who in presence.members()[ALPHA].values()} == set(names)
	presence.update(ALPHA, *(left(f"c{i}") for i in range(len(names))))
	assert presence.stats() == (0, 0)


def test_a_channel_without_anybody_has_nobody(presence):
	assert presence.members() == {}
	assert presence.stats() == (0, 0)


def test_what_is_kept_of_members_does_not_stay_for_ever(presence, server):
	presence.update(ALPHA, came("c1", "ann"))
	presence.update(BETA, came("c2", "bob"), left("c2"), grace=60000)
	keys = server.call("KEYS", "{fanfare:%s}*" % presence.channel.replace("[", "\\["))
	assert keys
	assert all(server.call("TTL", key) > 0 for key in keys)


def test_all_keys_of_a_channel_have_its_slot(presence, server):
	presence.update(ALPHA, came("c1", "ann"))
	presence.update(BETA, came("c2", "bob"), left("c2"), grace=60000)
	for key in server.call("KEYS", "{fanfare:%s}*" % presence.channel.replace("[", "\\[")):
		assert key.startswith(b"{fanfare:%s}." % presence.channel.encode())


# Saying all anew

def test_who_is_there_and_was_lost_is_put_back_without_a_word(presence, server):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "bob"))
	presence.told()
	server.call("DEL", *server.call("KEYS", presence.key.replace("[", "\\[") + "*"))
	presence.update(ALPHA, is_there("c1", "ann"), is_there("c2", "bob"), flags="jd")
	assert presence.stats() == (2, 2)
	assert presence.told() == []


def test_saying_that_all_is_as_it_was_changes_nothing(presence):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "bob"))
	presence.told()
	before = presence.members()
	assert presence.update(ALPHA, is_there("c1", "ann"), is_there("c2", "bob"), flags="jd")[0] == 2
	assert presence.members() == before and presence.stats() == (2, 2) and presence.told() == []


def test_members_that_should_not_be_there_are_forgotten_with_the_rest(presence):
	presence.update(ALPHA, came("c1", "ann"), came("ghost", "eve"))
	presence.update(ALPHA, is_there("c1", "ann"), flags="cjd")
	assert list(presence.members()[ALPHA]) == ["c1"]
	assert presence.stats() == (1, 1)


@pytest.mark.parametrize("part", ["", ".users", f".of.{ALPHA}"])
def test_what_redis_has_lost_of_one_key_is_made_good(presence, server, part):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "bob"))
	presence.update(BETA, came("c3", "ann"))
	server.call("DEL", presence.key + part)
	presence.update(ALPHA, is_there("c1", "ann"), is_there("c2", "bob"), flags="jd")
	presence.update(BETA, is_there("c3", "ann"), flags="jd")
	assert presence.stats() == (3, 2)
	presence.update(BETA, left("c3"))
	assert presence.stats() == (2, 2)


def test_users_that_were_lost_are_counted_again_by_whoever_says_anything(presence, server):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "bob"))
	presence.update(BETA, came("c3", "ann"))
	server.call("DEL", presence.key + ".users")
	presence.update(BETA)
	assert presence.stats() == (3, 2)


# The dead

def test_the_members_of_a_dead_worker_vanish_and_are_told_once(presence):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "bob"))
	presence.update(BETA, came("c3", "ann"))
	presence.told()
	for _ in range(3):
		presence.update(BETA, dead=[ALPHA, "c3c3-1"])
	assert list(presence.members()) == [BETA]
	assert presence.stats() == (1, 1)
	assert sorted(presence.told()) == [("leave", "c1"), ("leave", "c2")]


def test_nobody_can_call_himself_dead(presence):
	presence.update(ALPHA, came("c1"), dead=[ALPHA])
	presence.update(ALPHA, dead=[ALPHA])
	assert presence.stats() == (1, 1)


def test_who_was_taken_for_dead_is_back_with_joins(presence):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "bob"))
	presence.update(BETA, came("c3"), dead=[ALPHA])
	presence.told()
	presence.update(ALPHA, is_there("c1", "ann"))
	presence.update(ALPHA, is_there("c2", "bob"), flags="jd")
	assert presence.told() == [("join", "c1"), ("join", "c2")]
	presence.update(ALPHA, is_there("c1", "ann"), is_there("c2", "bob"), flags="jd")
	assert presence.told() == []
	assert presence.stats() == (3, 3)


def test_who_said_something_after_he_was_found_dead_is_alive(presence):
	"""Others believe for a while still that it is dead."""
	presence.update(ALPHA, came("c1", "ann"))
	death = presence.now_ms()
	presence.update(BETA, dead=[ALPHA], since=death)
	process.wait_until(lambda: presence.now_ms() > death + 1, "a moment later")
	presence.update(ALPHA, is_there("c1", "ann"))
	presence.update(BETA, dead=[ALPHA], since=death)
	presence.update(ALPHA, flags="jd")
	presence.update(BETA, dead=[ALPHA], since=death)
	assert presence.stats() == (1, 1)
	assert presence.told() == [("join", "c1"), ("leave", "c1"), ("join", "c1")]
	process.wait_until(lambda: presence.update(BETA, dead=[ALPHA])[0] == 0 and presence.stats() == (0, 0), "its death of later")


def test_what_a_dead_worker_said_before_the_clock_was_set_back_does_not_keep_it_alive(presence, server):
	presence.update(ALPHA, came("c1", "ann"))
	server.call("HSET", presence.key, ALPHA, presence.now_ms() + 60000)
	presence.update(BETA, dead=[ALPHA])
	assert presence.stats() == (0, 0)


def test_a_crowd_of_a_dead_worker_is_taken_away_piece_by_piece(presence):
	crowd = [f"c{n}" for n in range(9000)]
	for start in range(0, len(crowd), 100):
		presence.update(ALPHA, *(came(client, client) for client in crowd[start:start + 100]), flags="")
	death, left_over = presence.now_ms(), [len(crowd)]
	while left_over[-1]:
		workers = presence.update(BETA, flags="jw", dead=[ALPHA], since=death)[1]
		left_over.append(presence.stats()[0])
		assert workers == ([ALPHA.encode()] if left_over[-1] else [])
		assert 0 < left_over[-2] - left_over[-1] < 4500, left_over
	assert presence.stats() == (0, 0)
	assert sorted(presence.told()) == sorted(("leave", client) for client in crowd)


def test_the_workers_with_members_are_told_to_who_asks(presence):
	presence.update(ALPHA, came("c1"))
	presence.update(BETA, came("c2"))
	assert sorted(presence.update(BETA, flags="w")[1]) == [ALPHA.encode(), BETA.encode()]
	assert presence.update(BETA, flags="")[1] == []
	presence.update(ALPHA, left("c1"))
	assert presence.update(BETA, flags="w")[1] == [BETA.encode()]


# A time to come back

def test_a_user_who_is_back_in_time_has_neither_left_nor_come(presence):
	presence.update(ALPHA, came("c1", "ann"), grace=60000)
	presence.told()
	presence.update(ALPHA, left("c1"), grace=60000)
	assert presence.stats() == (0, 0), "who is away is away, whatever is told"
	presence.update(BETA, came("c2", "ann"), grace=60000)
	assert presence.told() == []
	assert presence.stats() == (1, 1)


def test_two_clients_of_a_user_come_back_one_by_one(presence):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "ann"), grace=60000)
	presence.update(ALPHA, left("c1"), left("c2"), grace=60000)
	presence.told()
	presence.update(BETA, came("c3", "ann"), came("c4", "ann"), came("c5", "ann"), grace=60000)
	assert presence.told() == [("join", "c5")]


def test_nobody_comes_back_for_another(presence):
	presence.update(ALPHA, came("c1", "ann"), left("c1"), grace=60000)
	presence.told()
	presence.update(ALPHA, came("c2", "bob"), grace=60000)
	assert presence.told() == [("join", "c2")]


def test_who_has_no_name_cannot_be_known_again(presence):
	presence.update(ALPHA, came("c1"), left("c1"), came("c2"), grace=60000)
	assert presence.told() == [("join", "c1"), ("leave", "c1"), ("join", "c2")]


def test_a_leave_is_told_when_its_time_is_over(presence):
	presence.update(ALPHA, came("c1", "ann"), left("c1"), came("c2", "ann"), left("c2"), came("c3", "bob"), grace=1)
	presence.told()

	def all_told():
		presence.update(BETA, grace=1)
		return presence.told()

	assert process.wait_until(all_told, "the leave that was due") in ([("leave", "c2")], [("leave", "c1")])
	presence.update(ALPHA, came("c4", "ann"), grace=1)
	assert presence.told() == [("join", "c4")]


def test_it_is_answered_when_to_call_again_for_the_next_leave(presence):
	assert presence.update(ALPHA, came("c1", "ann"), grace=60000)[2] == -1
	assert 0 < presence.update(ALPHA, left("c1"), grace=60000)[2] <= 60000
	assert 0 < presence.update(BETA)[2] <= 60000
	assert presence.update(BETA, came("c2", "ann"), grace=60000)[2] == -1


def test_the_members_of_a_dead_worker_have_time_to_come_back_elsewhere(presence):
	presence.update(ALPHA, came("c1", "ann"), came("c2", "bob"), grace=60000)
	presence.told()
	presence.update(BETA, dead=[ALPHA], grace=60000)
	presence.update(BETA, came("c3", "ann"), grace=60000)
	assert presence.told() == []
	assert presence.stats() == (1, 1)


# What is refused

@pytest.mark.parametrize("arguments", [
	[], ["a1"], ["a1", "j", "0"], ["", "j", "0", ""], ["x y", "j", "0", ""], ["a1", "j", "x", ""],
	["a1", "j", "0", "", "+"], ["a1", "j", "0", "", "+", "c", "u"], ["a1", "j", "0", "", "?", "c"],
], ids=str)
def test_what_is_no_update_is_refused(presence, arguments):
	with pytest.raises(RedisError, match="fanfare_presence_update"):
		presence.call("presence_update", *arguments)


def test_a_call_that_is_refused_has_done_nothing(presence, server):
	with pytest.raises(RedisError):
		presence.call("presence_update", ALPHA, "j", 0, 0, "", *came("c1"), "?", "c2")
	assert presence.told() == []
	assert presence.stats() == (0, 0)


@pytest.mark.parametrize("end", ["", f".of.{ALPHA}", ".users", ".left", ".due"])
def test_keys_of_another_kind_refuse_all_of_a_call(presence, server, end):
	server.call("SET", presence.key + end, "x")
	before = server.call("KEYS", presence.key + "*")
	with pytest.raises(RedisError, match="WRONGTYPE"):
		presence.update(ALPHA, came("c1", "ann"))
	assert server.call("KEYS", presence.key + "*") == before
	server.call("DEL", presence.key + end)
	presence.update(ALPHA, came("c1", "ann"))
	assert presence.told() == [("join", "c1")] and presence.stats() == (1, 1)


def test_a_member_that_somebody_else_put_there_does_not_make_the_channel_useless(presence, server):
	presence.update(ALPHA, came("c1", "ann"))
	server.call("HSET", f"{presence.key}.of.{ALPHA}", "c9", "garbage")
	presence.update(ALPHA, came("c2", "bob"))
	presence.update(ALPHA, is_there("c1", "ann"), is_there("c2", "bob"), flags="cjd")
	assert presence.stats() == (2, 2)
	assert sorted(presence.members()[ALPHA]) == ["c1", "c2"]


def test_the_garbage_of_a_dead_worker_goes_with_it(presence, server):
	presence.update(ALPHA, came("c1", "ann"))
	server.call("HSET", f"{presence.key}.of.{ALPHA}", "c9", "garbage")
	presence.update(BETA, came("c2", "bob"), dead=[ALPHA])
	assert presence.stats() == (1, 1)


def test_an_answer_has_its_ceiling_and_stats_go_on(presence):
	big = json.dumps({"user": "", "client": "c", "conn_info": "x" * 60000})
	for n in range(300):
		presence.update(ALPHA, ("+", f"c{n}", "", big), flags="")
	with pytest.raises(RedisError, match="too many members"):
		presence.members()
	assert presence.stats() == (300, 1)


# Leases

class Leases:
	def __init__(self, presence):
		self.call, self.server, self.key = presence.call, presence.server, "{fanfare:}workers." + presence.channel

	def seconds_go_by(self, seconds):
		"""The clock of Redis is turned by turning back what it has noted."""
		for name, value in zip(*[iter(self.server.call("HGETALL", self.key))] * 2):
			self.server.call("HSET", self.key, name, int(value) - int(1000 * seconds))

	def renew(self, worker, lease_ms=60000, known="", dead=()):
		"""(whether it had one, the digest, the names that are new to it)"""
		had, digest, names, _ = self.call("workers", worker, lease_ms, known, *dead, key=self.key)
		return bool(had), digest, {name.decode() for name in names}


@pytest.fixture
def leases(presence):
	return Leases(presence)


def names_after_six_quarters(leases, lease_s):
	"""Whom BETA knows then, who alone has renewed meanwhile."""
	for _ in range(6):
		leases.seconds_go_by(lease_s / 4)
		names = leases.renew(BETA, lease_ms=1000 * lease_s)[2]
	return names


def test_who_renews_is_alive_and_known_to_the_others(leases):
	assert leases.renew(ALPHA)[::2] == (False, {ALPHA})
	assert leases.renew(BETA)[::2] == (False, {ALPHA, BETA})
	had, digest, names = leases.renew(ALPHA)
	assert had and names == {ALPHA, BETA}
	assert leases.renew(ALPHA, known=digest) == (True, digest, set()), "nothing new"


def test_who_is_called_dead_by_his_successor_is_dead_at_once(leases):
	leases.renew(ALPHA)
	_, digest, _ = leases.renew(BETA)
	assert leases.renew("a1a1-2", known=digest, dead=[ALPHA])[2] == {"a1a1-2", BETA}
	assert leases.renew(ALPHA)[0] is False, "and if it lives all the same, it is told so"


def test_a_lease_that_is_given_back_is_over_at_once(leases):
	leases.renew(ALPHA)
	assert leases.renew(BETA)[2] == {ALPHA, BETA}
	leases.call("workers", ALPHA, 0, "", key=leases.key)
	assert leases.renew(BETA)[2] == {BETA}
	leases.call("workers", ALPHA, 0, "", key=leases.key)
	assert leases.renew(ALPHA)[0] is False


def test_who_gives_its_lease_back_can_call_another_dead(leases):
	for worker in ALPHA, BETA, "c3c3-1":
		leases.renew(worker)
	leases.call("workers", ALPHA, 0, "", BETA, key=leases.key)
	assert leases.renew("c3c3-1")[2] == {"c3c3-1"}


def test_whose_lease_ends_is_dead(leases, server):
	leases.renew(ALPHA, lease_ms=1)
	process.wait_until(lambda: leases.renew(BETA)[2] == {BETA}, "the end of the lease")
	assert leases.renew(ALPHA)[0] is False


@pytest.mark.parametrize("lease_s", [1, 20, 30, 60, 600])
def test_a_lease_ends_however_long_it_is_when_another_worker_renews_in_its_turn(leases, lease_s):
	"""Renewals of one worker are a fifth of a lease apart."""
	leases.renew(ALPHA, lease_ms=1000 * lease_s)
	leases.renew(BETA, lease_ms=1000 * lease_s)
	assert names_after_six_quarters(leases, lease_s) == {BETA}, "that worker died more than a lease ago"


@pytest.mark.parametrize("lease_s", [4, 20, 600])
def test_a_lease_ends_in_its_time_though_the_clock_was_set_back(leases, lease_s):
	leases.renew(ALPHA, lease_ms=1000 * lease_s)
	leases.renew(BETA, lease_ms=1000 * lease_s)
	leases.seconds_go_by(-100 * lease_s)
	assert leases.renew(BETA, lease_ms=1000 * lease_s)[::2] == (True, {ALPHA, BETA}), "nobody is dead for it"
	assert names_after_six_quarters(leases, lease_s) == {BETA}


def test_who_has_a_short_lease_does_not_cut_those_of_others_short_when_the_clock_was_set(leases):
	leases.renew(ALPHA, lease_ms=60000)
	leases.renew(BETA, lease_ms=1000)
	leases.seconds_go_by(-2)
	leases.renew(BETA, lease_ms=1000)
	for _ in range(3):
		leases.seconds_go_by(0.4)
		assert leases.renew(BETA, lease_ms=1000)[2] == {ALPHA, BETA}


@pytest.mark.parametrize("lease_s", [1, 2, 20, 600])
def test_nobody_is_dead_because_redis_was_away(leases, lease_s):
	for worker in ALPHA, BETA:
		leases.renew(worker, 1000 * lease_s)
	leases.seconds_go_by(lease_s + 1)
	assert leases.renew(BETA, 1000 * lease_s)[::2] == (True, {ALPHA, BETA})


@pytest.mark.parametrize("arguments", [[], ["a1"], ["a1", "-1", ""], ["a1", "x", ""], ["x y", "1", ""]], ids=str)
def test_what_is_no_renewal_is_refused(leases, arguments):
	with pytest.raises(RedisError, match="fanfare_workers"):
		leases.call("workers", *arguments, key=leases.key)
