"""The function library in a real Redis: what each function does and refuses, and that nothing is ever half done. By FCALL, and
by EVAL of the same text, as where functions are not allowed."""

import itertools
import json
import re
import threading

import pytest

from lib import process
from lib.broker import Broker, OPEN
from lib.client import Client
from lib.redis_server import RedisClient, RedisError, RedisServer

KEPT = {"history_size": 5, "history_ttl": "60s", "history_meta_ttl": "1h"}
OPEN_TO_ALL = OPEN["channel"]["without_namespace"]
CONFIG = {"channel": {"namespaces": [{"name": "kept", **KEPT, **OPEN_TO_ALL}, {"name": "plain", **OPEN_TO_ALL}]}}


def library_text(server):
	[library] = server.call("FUNCTION", "LIST", "LIBRARYNAME", "fanfare", "WITHCODE")
	return dict(zip(library[::2], library[1::2]))[b"library_code"]


@pytest.fixture(scope="module")
def server():
	with RedisServer() as server:
		yield server


@pytest.fixture(scope="module")
def broker(server):
	with Broker(CONFIG, redis=server) as broker:
		yield broker


class Caller:
	def __init__(self, server, kind, text):
		self.server, self.kind, self.text = server, kind, text

	def __call__(self, name, channel, *arguments):
		if self.kind == "FCALL":
			return self.server.call("FCALL", f"fanfare_{name}", 1, f"fanfare:{channel}", *arguments)
		return self.server.call("EVAL", self.text, 1, f"fanfare:{channel}", f"fanfare_{name}", *arguments)

	def publish(self, channel, data, **options):
		return self("publish", channel, data, *itertools.chain(*options.items()))

	def history(self, channel, **options):
		"""(epoch, top, [(offset, envelope)])"""
		epoch, top, flat = self("history", channel, *itertools.chain(*options.items()))
		return epoch, top, list(zip(flat[::2], flat[1::2]))

	def offsets(self, channel, **options):
		return [offset for offset, _ in self.history(channel, **options)[2]]


@pytest.fixture(params=["FCALL", "EVAL"])
def call(request, server, broker):
	return Caller(server, request.param, library_text(server).split(b"\n", 1)[1])


@pytest.fixture
def name(request, call):
	"""A channel of the namespace that keeps history, for this test alone."""
	return f"kept:{request.node.name}"


@pytest.fixture(autouse=True)
def nothing_is_kept(server):
	"""What earlier tests have left would vanish in the middle of this one, when its time is over."""
	server.call("FLUSHDB")


class Listener:
	"""Subscribed in Redis, to what a worker would get."""

	def __init__(self, server, channel, command="SUBSCRIBE"):
		self.redis = RedisClient(server.port)
		self.redis.call(command, f"fanfare:{channel}")

	def next(self):
		return self.redis.reply()[2]


def state(server):
	"""All keys and what they hold, but for their time to live."""
	return {key: server.call("DUMP", key) for key in server.call("KEYS", "*")}


def lives(server, key, seconds, act):
	"""That the key ends so many seconds after act(), by the clock of Redis, however long that took."""
	def now_ms():
		s, us = map(int, server.call("TIME"))
		return 1000 * s + us // 1000

	before_ms = now_ms()
	act()
	return before_ms <= server.call("PEXPIRETIME", key) - 1000 * seconds <= now_ms()


# Publishing

def test_publications_are_numbered_within_an_epoch(call, name):
	first, second = call.publish(name, "1"), call.publish(name, "2")
	assert first[0] == 1 and second[0] == 2
	assert first[1] == second[1] and re.fullmatch(rb"[0-9a-f]{8}", first[1])
	assert call.publish(name + "2", "1")[1] != first[1]


def test_what_is_kept_is_what_was_sent(call, name, server):
	listener = Listener(server, name)
	for data in ["{}", "hello"]:
		offset, epoch = call.publish(name, data, tags='{"a": "b"}', info='{"user":"u","conn_info":[1e2]}')
		envelope = listener.next()
		assert envelope == (
			b'{"fanfare":1,"offset":%d,"epoch":"%s","tags":{"a": "b"},"info":{"user":"u","conn_info":[1e2]},"data":%s}'
			% (offset, epoch, data.encode()))
		assert call.history(name, newest=1)[2] == [(offset, envelope)]


def test_as_many_are_kept_as_the_policy_says_and_as_long(call, name, server):
	for n in range(7):
		call.publish(name, str(n))
	base = "{fanfare:%s}" % name
	assert lives(server, base + ".stream", 60, lambda: call.publish(name, "7"))
	assert call.offsets(name, limit=100) == [4, 5, 6, 7, 8]
	assert 3000 <= server.call("TTL", base + ".meta") <= 3600


def test_options_of_a_call_win_over_the_policy(call, name, server):
	options = {"history_size": 2, "history_ttl": 100, "history_meta_ttl": 200}
	for n in range(2):
		call.publish(name, str(n), **options)
	base = "{fanfare:%s}" % name
	assert lives(server, base + ".stream", 100, lambda: call.publish(name, "2", **options))
	assert lives(server, base + ".meta", 200, lambda: call.publish(name, "3", **options))
	assert call.offsets(name, limit=100) == [3, 4]
	assert call.publish(f"plain:{name}", "1", history_size=2, history_ttl=100)[0] == 1
	assert call.publish(f"nosuch:{name}", "1", history_size=2, history_ttl=100)[0] == 1
	assert call.publish(name, "1", history_size=0) == [0, b""]
	assert call.publish(name, "1", history_ttl=0) == [0, b""]


def test_the_position_is_remembered_as_long_as_the_entries(call, name, server):
	options = {"history_size": 2, "history_ttl": 100, "history_meta_ttl": 1}
	assert lives(server, "{fanfare:%s}.meta" % name, 100, lambda: call.publish(name, "1", **options))


def test_without_history_data_is_published_as_it_is(call, name, server):
	channel = f"plain:{name}"
	listener = Listener(server, channel)
	assert call.publish(channel, '{"a":1}') == [0, b""]
	assert listener.next() == b'{"a":1}'
	assert call.publish(channel, "text", receivers="true") == [0, b"", b"published", 1]
	assert listener.next() == b"text"
	call.publish(channel, "1", tags='{"a":"b"}')
	assert listener.next() == b'{"fanfare":1,"tags":{"a":"b"},"data":1}'
	assert not server.call("EXISTS", "{fanfare:%s}.meta" % channel, "{fanfare:%s}.stream" % channel)


@pytest.mark.parametrize("data", ['{"fanfare":1,"offset":5,"data":1}', ' {\n"fanfare" : 2}', '{"fanfare":x'])
def test_data_that_looks_like_an_envelope_goes_into_one(call, name, server, data):
	listener = Listener(server, f"plain:{name}")
	call.publish(f"plain:{name}", data)
	assert listener.next() == b'{"fanfare":1,"data":%s}' % data.encode()


def test_history_can_be_skipped(call, name):
	call.publish(name, "1")
	assert call.publish(name, "2", skip_history="true") == [0, b""]
	assert call.publish(name, "3")[0] == 2
	assert call.publish(name, "4", skip_history="false")[0] == 3


def test_a_channel_that_does_not_exist_is_refused(call, name, server):
	before = state(server)
	for channel, why in ((f"nosuch:{name}", "nosuch"), (f"$nosuch:{name}", "nosuch"), ("", "fanfare:")):
		with pytest.raises(RedisError, match=why):
			call.publish(channel, "1")
	assert call.publish("$plain:a", "1")[0] == 0 and call.publish(":kept:a", "1")[0] == 0
	with pytest.raises(RedisError, match="begin with fanfare:"):
		server.call("FCALL", "fanfare_publish", 1, "other:news", "1")
	assert state(server) == before


# Once

@pytest.mark.parametrize("namespace", ["kept", "plain"])
def test_an_idempotency_key_publishes_once(call, name, server, namespace):
	channel = f"{namespace}:{name}"
	listener = Listener(server, channel)
	first = call.publish(channel, "1", idempotency_key="k\0\xff")
	assert call.publish(channel, "2", idempotency_key="k\0\xff") == [*first, b"cached"]
	assert len(call.publish(channel, "3", idempotency_key="other")) == 2
	assert len(call.publish(channel, "4", idempotency_key="")) == 2
	assert len(call.publish(channel, "5", idempotency_key="")) == 2
	assert len(call.publish(channel + "2", "6", idempotency_key="k\0\xff")) == 2
	assert [listener.next()[-2:].strip(b":}") for _ in range(4)] == [b"1", b"3", b"4", b"5"]


def test_an_idempotency_key_is_forgotten_in_time(call, name, server):
	call.publish(name, "1", idempotency_key="short", idempotency_ttl=70)
	call.publish(name, "1", idempotency_key="usual")
	ttls = sorted(server.call("TTL", key) for key in server.call("KEYS", "*") if name.encode() in key and b".idem." in key)
	assert 50 <= ttls[0] <= 70 and 280 <= ttls[1] <= 300


def test_a_version_that_is_not_newer_is_suppressed(call, name):
	_, epoch = call.publish(name, "1", version=5)
	assert call.publish(name, "2", version=5) == [1, epoch, b"suppressed"]
	assert call.publish(name, "2", version=4) == [1, epoch, b"suppressed"]
	assert call.publish(name, "3", version=6) == [2, epoch]
	assert call.publish(name, "4", version=1, version_epoch="b") == [3, epoch]
	assert call.publish(name, "5", version=1, version_epoch="b") == [3, epoch, b"suppressed"]
	assert call.publish(name, "6") == [4, epoch]
	assert call.publish(name, "7", version=1) == [4, epoch, b"suppressed"]
	assert call.publish(name, "8", version=0) == [5, epoch]
	assert call.publish(name, "9", version=2**53 - 1) == [6, epoch]
	assert call.publish(name, "9", version=2**53 - 2) == [6, epoch, b"suppressed"]
	assert call.offsets(name, limit=100) == [2, 3, 4, 5, 6]


def test_an_idempotency_key_is_asked_before_the_version(call, name):
	_, epoch = call.publish(name, "1", version=5, idempotency_key="k")
	call.publish(name, "2", version=6)
	assert call.publish(name, "1", version=5, idempotency_key="k") == [1, epoch, b"cached"]


def test_versions_mean_nothing_without_history(call, name):
	for _ in range(2):
		assert call.publish(f"plain:{name}", "1", version=5) == [0, b""]


# Reading

def test_history_is_read_from_any_place_in_both_directions(call, name):
	for n in range(5):
		call.publish(name, str(n))
	epoch, top, entries = call.history(name)
	assert (top, entries) == (5, []) and re.fullmatch(rb"[0-9a-f]{8}", epoch)
	assert call.offsets(name, limit=0, since=2) == []
	assert call.offsets(name, limit=2) == [1, 2]
	assert call.offsets(name, limit=2, since=2) == [3, 4]
	assert call.offsets(name, limit=9, since=0) == [1, 2, 3, 4, 5]
	assert call.offsets(name, limit=9, since=5) == []
	assert call.offsets(name, limit=9, since=99) == []
	assert call.offsets(name, limit=2, reverse="true") == [5, 4]
	assert call.offsets(name, limit=9, since=3, reverse=1) == [2, 1]
	assert call.offsets(name, limit=9, since=1, reverse=1) == []
	assert call.offsets(name, limit=9, since=0, reverse=1) == []
	assert call.offsets(name, newest=2) == [4, 5]
	assert call.offsets(name, newest=9) == [1, 2, 3, 4, 5]
	assert call.offsets(name, newest=2, since=4) == [5]
	assert [json.loads(envelope)["data"] for _, envelope in call.history(name, limit=9)[2]] == [0, 1, 2, 3, 4]


def test_a_piece_of_history_has_what_fits_and_says_whether_there_is_more(call, name):
	def piece(size, **options):
		_, _, flat, more = call("history", name, "piece", size, *itertools.chain(*options.items()))
		return flat[::2], more

	for size in (10, 10, 500, 10, 10):
		call.publish(name, '"' + "x" * size + '"')
	assert piece(10000, limit=9) == ([1, 2, 3, 4, 5], 0)
	assert piece(10000, limit=3) == ([1, 2, 3], 0)
	assert piece(10000, limit=0) == ([], 0)
	assert piece(300, limit=9) == ([1, 2], 1)
	assert piece(300, limit=2) == ([1, 2], 0)
	assert piece(300, limit=9, since=2) == ([3, 4], 1)
	assert piece(300, limit=9, since=3) == ([4, 5], 0)
	assert piece(1, limit=9, since=5) == ([], 0)
	assert piece(1, limit=9, reverse=1) == ([5, 4], 1)
	assert piece(650, limit=9, reverse=1, since=5) == ([4, 3], 1)
	assert piece(1, newest=9) == ([4, 5], 1)
	assert piece(10000, newest=2, before=5) == ([3, 4], 0)
	assert piece(1, newest=9, before=4) == ([2, 3], 1)
	assert piece(1, newest=9, before=2) == ([1], 0)
	assert piece(1, newest=9, before=1) == ([], 0)
	assert piece(1, newest=9, before=3, since=1) == ([2], 0)


def test_a_history_is_read_in_steps_that_grow_with_what_fits(call, server):
	"""Counts what Redis looks up: neither each entry by itself, nor much that is not in the answer."""
	def steps():
		stats = server.call("INFO", "commandstats").decode()
		return sum(int(n) for n in re.findall(r"cmdstat_xrange:calls=(\d+)", stats))

	for size, most in ((10, 12), (30000, 12)):
		name = f"plain:{call.kind}.{size}"
		for n in range(300):
			call.publish(name, '"' + "x" * size + '"', history_size=300, history_ttl=60)
		before = steps()
		_, _, flat, more = call("history", name, "piece", 1 << 20, "limit", 300)
		assert steps() - before <= most
		assert (len(flat) // 2, more) == ((300, 0) if size == 10 else (34, 1))


def test_the_first_reader_makes_the_epoch_that_publications_keep(call, name):
	epoch, top, entries = call.history(name, limit=5)
	assert (top, entries) == (0, [])
	assert call.publish(name, "1") == [1, epoch]


def test_reading_keeps_the_position_alive(call, name, server):
	meta = "{fanfare:%s}.meta" % name
	call.history(name)
	assert 3000 <= server.call("TTL", meta) <= 3600
	assert lives(server, meta, 50, lambda: call.history(name, meta_ttl=50))


def test_a_lost_position_begins_a_new_epoch_without_the_old_entries(call, name, server):
	for read_first in (True, False):
		epoch = call.publish(name, "1")[1]
		call.publish(name, "2")
		server.call("DEL", "{fanfare:%s}.meta" % name)
		if read_first:
			assert call.history(name, limit=9)[1:] == (0, [])
		offset, new = call.publish(name, "3")
		assert offset == 1 and new != epoch
		assert call.offsets(name, limit=9) == [1]


def test_a_stream_that_parted_goes_on_in_another_epoch(call, name):
	_, epoch = call.publish(name, "1")
	for other in ("", "other", epoch[:-1]):
		assert call.history(name, limit=9, parted=other)[0] == epoch
	new, top, entries = call.history(name, since=0, limit=9, parted=epoch)
	assert new != epoch and re.fullmatch(rb"[0-9a-f]{8}", new)
	assert (top, [offset for offset, _ in entries]) == (1, [1]), "what is kept stays"
	assert call.history(name, parted=epoch)[0] == new, "only once"
	assert call.publish(name, "2") == [2, new]


def test_removing_the_history_leaves_the_position(call, name):
	_, epoch = call.publish(name, "1")
	call.publish(name, "2")
	assert call("history_remove", name) == 1
	assert call.history(name, limit=9) == (epoch, 2, [])
	assert call("history_remove", name) == 0
	assert call.publish(name, "3") == [3, epoch]
	assert call.offsets(name, limit=9) == [3]


def test_offsets_are_exact_up_to_two_to_the_53rd(call, name, server):
	call.history(name)
	server.call("HSET", "{fanfare:%s}.meta" % name, "offset", 2**53 - 2)
	assert call.publish(name, "1")[0] == 2**53 - 1
	assert call.history(name, newest=1)[2][0][0] == 2**53 - 1
	assert json.loads(call.history(name, newest=1)[2][0][1])["offset"] == 2**53 - 1
	with pytest.raises(RedisError, match="no more offsets"):
		call.publish(name, "2")


# Refusing

WRONG = [
	({"history_size": "-1"}, "history_size must be a whole number from 0"), ({"history_size": "1e3"}, "history_size"),
	({"history_size": ""}, "history_size"), ({"history_size": " 1"}, "history_size"), ({"history_size": "0x10"}, "history_size"),
	({"history_size": "9" * 400}, "history_size"), ({"history_ttl": "1.5"}, "history_ttl"),
	({"history_ttl": "2000000000"}, "history_ttl"), ({"history_meta_ttl": "0"}, "history_meta_ttl"),
	({"skip_history": "yes"}, "skip_history must be true or false"), ({"idempotency_ttl": "0"}, "idempotency_ttl"),
	({"version": str(2**53)}, "version"), ({"version": "x"}, "version"), ({"nonsense": "1"}, "unknown option nonsense"),
	({"tags": "[]"}, "tags must be a JSON object"), ({"tags": "{"}, "tags"), ({"tags": '{"a":1}'}, "tag must be a string"),
	({"tags": '{"a":"b"}}'}, "tags"), ({"tags": '{"a":"b",}'}, "tags"), ({"tags": '{"a":"\n"}'}, "tags"),
	({"tags": '{"a":"1","\\u0061":"2"}'}, "occurs twice"), ({"tags": '{"\\ud800":"2"}'}, "malformed"),
	({"tags": b'{"a":"\xff"}'}, "tags must be a JSON object"), ({"tags": b'{"a":"\xed\xa0\x80"}'}, "tags"),
	({"tags": json.dumps({str(n): "" for n in range(65)})}, "more than 64"), ({"tags": '{"a":"b"},"offset":9'}, "tags"),
	({"info": "1"}, "info must be a JSON object"), ({"info": '{"user":1}'}, "must be strings"),
	({"info": '{"user":"a","user":"b"}'}, "occurs twice"), ({"info": '{"name":"a"}'}, "has user, client"),
	({"info": '{"conn_info":01}'}, "info"), ({"info": '{"conn_info":NaN}'}, "info"), ({"info": '{"conn_info":[1,]}'}, "info"),
	({"info": '{"conn_info":"\\x"}'}, "info"), ({"info": '{"conn_info":' + "[" * 100 + "]" * 100 + "}"}, "info"),
	({"sharded": "2"}, "sharded"),
]


@pytest.mark.parametrize("options, why", WRONG, ids=range(len(WRONG)))
def test_a_wrong_option_is_named_and_nothing_is_done(call, name, server, options, why):
	before = state(server)
	with pytest.raises(RedisError, match=f"^ERR fanfare_publish: .*{re.escape(why)}"):
		call.publish(name, "1", **options)
	assert state(server) == before


@pytest.mark.parametrize("function, arguments", [("publish", ["1"]), ("history", ["limit", "1"]), ("history_remove", [])])
def test_what_a_command_inside_refuses_is_told_with_its_code_and_by_whom(call, name, server, function, arguments):
	"""A backend that looks for WRONGTYPE, OOM or READONLY finds it where Redis puts it: first, and without ERR before it."""
	server.call("SET", f"{{fanfare:{name}}}.meta", "1")
	with pytest.raises(RedisError, match=f"^WRONGTYPE fanfare_{function}: Operation against a key [^:]*$"):
		call(function, name, *arguments)


def test_what_is_wrong_with_the_call_is_told_once(call, name):
	with pytest.raises(RedisError, match="^ERR fanfare_history: "):
		call("history", name, "limit", "-1")


def test_options_come_in_pairs_and_once(call, name, server):
	before = state(server)
	with pytest.raises(RedisError, match="option version has no value"):
		call("publish", name, "1", "version")
	with pytest.raises(RedisError, match="option version is given twice"):
		call("publish", name, "1", "version", 1, "version", 1)
	with pytest.raises(RedisError, match="no data"):
		call("publish", name)
	with pytest.raises(RedisError, match="data is empty"):
		call("publish", name, "")
	with pytest.raises(RedisError, match="newest does not go together"):
		call("history", name, "newest", 1, "limit", 1)
	with pytest.raises(RedisError, match="before goes together with newest"):
		call("history", name, "before", 1, "limit", 1)
	with pytest.raises(RedisError, match="unknown option x"):
		call("history_remove", name, "x", 1)
	assert state(server) == before


def test_it_takes_one_key(server, broker):
	for keys in ([], ["fanfare:kept:a", "fanfare:kept:a"]):
		with pytest.raises(RedisError, match="needs 1 key"):
			server.call("FCALL", "fanfare_publish", len(keys), *keys, "1")


def test_all_that_is_json_is_taken_for_tags_and_info(call, name):
	info = '{ "user" : "\\u00e9\\"\\\\/" ,\n"client":"","conn_info":[-0.5e+10,{"a":[null,true,false,{}]},"\u20ac\U0001f600"],"chan_info":{}}'
	call.publish(name, "1", info=info, tags='{"\\n":"\\ud800"}')
	envelope = json.loads(call.history(name, newest=1)[2][0][1])
	assert envelope["info"] == json.loads(info) and envelope["tags"] == {"\n": "\ud800"}


def test_no_keys_of_others_are_touched(call, name, server):
	for suffix in (".meta", ".stream"):
		key = "{fanfare:%s%s}%s" % (name, suffix, suffix)
		server.call("SET", key, "mine")
		before = state(server)
		for function in ("publish", "history", "history_remove"):
			with pytest.raises(RedisError, match="WRONGTYPE"):
				call(function, name + suffix, *(["1"] if function == "publish" else []))
		assert state(server) == before
		server.call("DEL", key)


@pytest.mark.parametrize("entry", ["5-0", "18446744073709551615-18446744073709551615"])
def test_an_entry_of_others_that_is_in_the_way_begins_a_new_epoch(call, name, server, entry):
	_, epoch = call.publish(name, "1", version=8)
	server.call("XADD", "{fanfare:%s}.stream" % name, entry, "m", "x")
	offset, other = call.publish(name, "2", idempotency_key="k", version=9)
	assert offset == 1 and other != epoch
	assert call.publish(name, "2", idempotency_key="k", version=9) == [1, other, b"cached"]
	assert call.publish(name, "3", version=9) == [1, other, b"suppressed"]
	assert call.publish(name, "4") == [2, other]
	read, top, entries = call.history(name, limit=10)
	assert (read, top) == (other, 2) and [json.loads(e)["data"] for _, e in entries] == [2, 4]


def test_a_publication_that_no_worker_would_take_is_refused(call, name):
	most = 16 << 20
	assert call.publish(name, "1" * most)[0] == 1
	for data, options in (("1" * (most + 1), {}), ("1" * most, {"tags": '{"a":"b"}'})):
		with pytest.raises(RedisError, match="a publication has at most 16777216 bytes"):
			call.publish(name, data, **options)


def test_a_position_that_is_none_is_an_error(call, name, server):
	for field, value in (("epoch", 'a"b'), ("epoch", "a" * 33), ("offset", "x"), ("offset", "-1")):
		call.history(name)
		server.call("HSET", "{fanfare:%s}.meta" % name, field, value)
		for function in ("publish", "history"):
			with pytest.raises(RedisError, match="does not hold a position"):
				call(function, name, *(["1"] if function == "publish" else []))
		server.call("DEL", "{fanfare:%s}.meta" % name)


def test_a_full_redis_refuses_as_a_whole_and_goes_on_later(call, name, server):
	call.publish(name, "1")
	for channel in (name, name + "2", f"plain:{name}"):
		before = state(server)
		server.call("CONFIG", "SET", "maxmemory", 1)
		try:
			with pytest.raises(RedisError, match="OOM|maxmemory"):
				call.publish(channel, "2", idempotency_key="k", version=3)
			assert call.offsets(name, limit=9) == [1]
		finally:
			server.call("CONFIG", "SET", "maxmemory", 0)
		assert state(server) == before
	assert call.publish(name, "2", idempotency_key="k", version=3)[0] == 2


def test_a_replica_refuses(call, name, server):
	call.publish(name, "1")
	server.call("REPLICAOF", "127.0.0.1", 1)
	try:
		for function in ("publish", "history"):
			with pytest.raises(RedisError, match="READONLY|can't write against a read only replica"):
				call(function, name, *(["2"] if function == "publish" else []))
	finally:
		server.call("REPLICAOF", "NO", "ONE")
	assert call.publish(name, "2")[0] == 2


def test_who_may_not_publish_leaves_nothing_behind(call, name, server):
	server.call("ACL", "SETUSER", "mute", "on", ">p", "~*", "+@all", "resetchannels")
	client = RedisClient(server.port)
	client.call("AUTH", "mute", "p")
	for channel in (name, f"plain:{name}"):
		before = state(server)
		with pytest.raises(RedisError, match="NOPERM"):
			Caller(client, call.kind, call.text).publish(channel, "1", idempotency_key="k")
		assert state(server) == before


# Many, and hostile

def test_offsets_are_contiguous_and_in_the_order_of_publishing(call, name, server):
	publishers, each = 8, 150
	listener = Listener(server, name)
	given = [[] for _ in range(publishers)]

	def publish(mine):
		caller = Caller(RedisClient(server.port), call.kind, call.text)
		for n in range(each):
			mine.append(caller.publish(name, str(n), history_size=10000, history_ttl=60)[0])

	threads = [threading.Thread(target=publish, args=(mine,)) for mine in given]
	for thread in threads:
		thread.start()
	total = publishers * each
	heard = [json.loads(listener.next())["offset"] for _ in range(total)]
	for thread in threads:
		thread.join()
	assert heard == list(range(1, total + 1))
	assert sorted(itertools.chain(*given)) == heard
	assert call.offsets(name, limit=total + 1) == heard


HOSTILE = [
	b'"', b"\\", b"}", b"{", b"}}}", b'"}', b"\0", b"a\0b", b"\r\n", b"%s%n", b"]]", b"{}}", b'1,"offset":99', b'1,"tags":{"a":"b"}',
	b'"},"offset":99,"x":{"data":1', b'1}{"fanfare":1,"data":2', b'{"fanfare":1,"offset":99,"epoch":"x","data":1}', b" ", b"\xe2\x82\xac",
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_data_is_delivered_as_it_is_and_forges_nothing(call, name, broker, data):
	with Client(broker.port) as client:
		client.subscribe(name)
		offset, _ = call.publish(name, data)
		publication = client.push()["pub"]
		try:
			expected = json.loads(data)
		except ValueError:
			expected = data.decode()
		assert publication["data"] == expected
		assert publication.get("offset") == offset and "tags" not in publication


def test_what_cannot_be_delivered_is_kept_all_the_same(call, name, server):
	listener = Listener(server, name)
	big = b"x" * (10 << 20)
	for n, data in enumerate((b"\xff\xfe", big), 1):
		offset, epoch = call.publish(name, data)
		assert offset == n
		assert listener.next() == b'{"fanfare":1,"offset":%d,"epoch":"%s","data":%s}' % (offset, epoch, data)
	call("history_remove", name)


# Redis Cluster

@pytest.fixture(scope="module")
def cluster(server, broker):
	# Its own choice of the port lies where those of outgoing connections are taken from.
	with RedisServer("--cluster-enabled", "yes", "--cluster-port", str(process.free_port())) as cluster:
		cluster.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
		cluster.call("FUNCTION", "LOAD", library_text(server).replace(b"local POLICY={", b"local POLICY={sharded=true,"))
		wait_for_cluster(cluster)
		yield cluster


def wait_for_cluster(cluster):
	process.wait_until(lambda: b"cluster_state:ok" in cluster.call("CLUSTER", "INFO"), "the cluster is up")


NAMES = [
	"kept:a", "kept:{x}b", "kept:a{b", "kept:a{b}c{d}", "kept:a}b", "kept:a{}b", "kept:}", "kept:{}", "kept:{}{a}", "kept:a}b{c",
	"kept:}}{", *(f"kept:{'}' * n}{n}" for n in range(1, 20))]


@pytest.mark.parametrize("channel", NAMES)
def test_in_a_cluster_all_keys_of_a_channel_share_its_slot(cluster, channel):
	call = Caller(cluster, "FCALL", None)
	listener = Listener(cluster, channel, "SSUBSCRIBE")
	before = set(cluster.call("KEYS", "*"))
	offset, epoch = call.publish(channel, "1", idempotency_key="k")
	assert offset == 1
	assert json.loads(listener.next())["offset"] == 1
	assert call.publish(channel, "1", idempotency_key="k") == [1, epoch, b"cached"]
	assert call.history(channel, limit=5)[1] == 1
	call("presence_update", channel, "a1", "", "0", "", "+", "client", "user", "{}")
	assert call("presence_stats", channel) == [1, b"a1", 1]
	slot = cluster.call("CLUSTER", "KEYSLOT", f"fanfare:{channel}")
	keys = set(cluster.call("KEYS", "*")) - before
	assert len(keys) == 6 and {cluster.call("CLUSTER", "KEYSLOT", key) for key in keys} == {slot}, keys
	assert all(key.startswith((b"fanfare:", b"{fanfare:")) for key in keys), "users of Redis may do no more than that"
	assert call("history_remove", channel) == 1
