"""Brokers see to it that the function library is in Redis: the newest, with the newest policy, and whatever becomes of it."""

import contextlib
import os
import re
import signal
import socket
import time

import pytest

from lib import process
from lib.broker import Broker, run
from lib.client import Client, ErrorReply
from lib.clock import Clock
from lib.redis_server import RedisError, RedisServer
from test_functions import KEPT, OPEN_TO_ALL, library_text

LOOK_S = 2  # how often a worker looks at the library


def config(*names, **more):
	return {"channel": {"namespaces": [{"name": name, **KEPT, **OPEN_TO_ALL} for name in names]}, **more}


def publish(redis, channel, data="1", *options):
	return redis.call("FCALL", "fanfare_publish", 1, f"fanfare:{channel}", data, *options)


def version(redis):
	return tuple(redis.call("FCALL", "fanfare_version", 0))


@pytest.fixture
def redis():
	with RedisServer() as redis:
		yield redis


def test_it_is_loaded_with_the_policy_and_a_channel_has_history(redis):
	with Broker(config("kept"), redis=redis, workers=2) as broker, Client(broker.port) as client:
		assert version(redis)[0] > 0
		client.subscribe("kept:a")
		offset, _ = publish(redis, "kept:a", '{"n":1}')
		assert client.push()["pub"] | {"epoch": ""} == {"data": {"n": 1}, "offset": offset, "epoch": ""}
		result = run("publish", "kept:a", "2", "--redis", redis.url)
		assert re.fullmatch(r"delivered to 1 worker, offset 2, epoch [0-9a-f]{8}\n", result.stdout), result
		assert run("publish", "a", '{"fanfare":1}', "--redis", redis.url).stdout == "delivered to 0 workers\n"


def test_the_command_line_goes_by_its_own_configuration(redis, tmp_path):
	path = tmp_path / "fanfare.yaml"
	path.write_text("channel: {namespaces: [{name: mine, history_size: 2, history_ttl: 500s}, {name: plain}]}\n")
	arguments = ["--redis", redis.url, "--config", path]
	assert run("publish", "plain:a", "1", *arguments).stdout == "delivered to 0 workers\n"
	with Broker(config("kept"), redis=redis):
		assert "offset 1, epoch" in run("publish", "mine:a", "1", *arguments).stdout
		assert 300 <= redis.call("TTL", "{fanfare:mine:a}.stream") <= 500
		assert run("publish", "plain:a", "1", *arguments).stdout == "delivered to 0 workers\n"
		assert "not configured" in run("publish", "mine:a", "1", "--redis", redis.url).stderr


def test_the_command_line_loses_nothing_while_the_library_is_away(redis):
	"""It waits for brokers to put it back; not for ever, so a machine that stands still may see it refuse, but that is told."""
	kept = 0
	with Broker(config("kept"), redis=redis):
		while kept < 3:
			redis.call("FUNCTION", "FLUSH")
			result = run("publish", "kept:a", str(kept), "--redis", redis.url)
			if result.returncode == 1:
				assert "lacks the function library" in result.stderr and result.stdout == ""
				continue
			kept += 1
			assert re.fullmatch(r"delivered to 0 workers, offset %d, epoch [0-9a-f]{8}\n" % kept, result.stdout), result


def test_the_command_line_refuses_without_a_library_unless_told_to_publish_plainly(redis):
	result = run("publish", "kept:a", "-", "--lines", "--redis", redis.url, input="1\n2\n")
	assert (result.returncode, result.stdout) == (1, "")
	for line, told in enumerate(result.stderr.splitlines(), 1):
		assert told == f"fanfare publish: line {line}: Redis: lacks the function library, which brokers load when they run " \
			"(--config FILE does without, --plain reaches only who is there now)"
	result = run("publish", "--plain", "kept:a", "1", "--redis", redis.url)
	assert (result.returncode, result.stdout) == (0, "delivered to 0 workers\n")
	with Broker(config("kept"), redis=redis):
		assert run("publish", "--plain", "kept:a", "1", "--redis", redis.url).stdout == "delivered to 0 workers\n"
		assert "offset 1, epoch" in run("publish", "kept:a", "1", "--redis", redis.url).stdout


@pytest.mark.parametrize("rights", [["+evalsha", "+script|load"], ["+evalsha", "+script|load", "+fcall"]])
def test_where_brokers_run_scripts_so_does_the_command_line(redis, tmp_path, rights):
	path = tmp_path / "fanfare.yaml"
	path.write_text("channel: {namespaces: [{name: kept, history_size: 100, history_ttl: 600s}, {name: plain}]}\n")
	redis.call(
		"ACL", "SETUSER", "we", "on", ">PASSWORD", "~*", "&*", "+@all", "-@scripting", "-@dangerous", "+role", *rights)
	url = redis.url.replace("redis://", "redis://we:PASSWORD@")
	with Broker(config("kept"), redis=url) as broker, Client(broker.port) as client:
		client.subscribe("kept:a")
		result = run("publish", "kept:a", "1", "--redis", url)
		assert (result.returncode, result.stdout) == (1, "") and "(--config FILE does without" in result.stderr
		result = run("publish", "kept:a", "-", "--lines", "--redis", url, "--config", path, input="1\n2\n")
		assert re.fullmatch(r"(delivered to 1 worker, offset \d, epoch [0-9a-f]{8}\n){2}", result.stdout), result
		assert [client.push()["pub"]["offset"] for _ in range(2)] == [1, 2]
		assert run("publish", "plain:a", "1", "--redis", url, "--config", path).stdout == "delivered to 0 workers\n"
		redis.call("SCRIPT", "FLUSH")
		assert "offset 3" in run("publish", "kept:a", "3", "--redis", url, "--config", path).stdout


def test_a_library_that_is_lost_comes_back(redis):
	with Broker(config("kept"), redis=redis):
		redis.call("FUNCTION", "FLUSH")
		process.wait_until(lambda: is_loaded(redis), "the library is back", LOOK_S + 10)
		assert publish(redis, "kept:a")[0] == 1
		redis.kill()
		redis.start()
		process.wait_until(lambda: is_loaded(redis), "the library is in the new Redis")


def with_version(text, number):
	changed, count = re.subn(rb"local VERSION = \d+", b"local VERSION = %d" % number, text)
	assert count == 1
	return changed


def is_loaded(redis):
	try:
		return version(redis)
	except (RedisError, OSError):
		return False


def test_an_older_library_gives_way_and_a_newer_one_stays(redis):
	with Broker(config("kept"), redis=redis):
		text, ours = library_text(redis), version(redis)[0]
	redis.call("FUNCTION", "LOAD", "REPLACE", with_version(text, 0).replace(b"kept", b"old"))
	with Broker(config("kept"), redis=redis):
		assert version(redis)[0] == ours
		assert publish(redis, "kept:a")[0] == 1
	redis.call("FUNCTION", "LOAD", "REPLACE", with_version(text, 99).replace(b"kept", b"new"))
	newer = version(redis)
	with Broker(config("kept"), redis=redis) as broker:
		assert version(redis) == newer
		assert "version 99 of the function library, newer than ours" in broker.log()
		os.kill(broker.worker_pids()[0], signal.SIGKILL)
		process.wait_until(lambda: broker.log().count("newer than ours") == 2, "the next worker leaves it alone, too")
		assert version(redis) == newer


def test_what_is_no_library_of_ours_is_replaced(redis):
	redis.call("FUNCTION", "LOAD", "#!lua name=fanfare\nredis.register_function('fanfare_version', function() return 'x' end)")
	with Broker(config("kept"), redis=redis):
		assert publish(redis, "kept:a")[0] == 1


def test_of_two_policies_that_of_the_configuration_loaded_later_wins(redis):
	with Broker(config("first"), redis=redis) as first:
		of_first = version(redis)
		with Broker(config("second"), redis=redis):
			of_second = version(redis)
			assert of_second[1] > of_first[1] and of_second[2] != of_first[2]
			assert publish(redis, "second:a")[0] == 1
			told = f"is not ours, but that of {socket.gethostname()}, loaded "
			process.wait_until(lambda: told in first.log(), "the other one says whose policy it is", LOOK_S + 10)
			with pytest.raises(RedisError, match="namespace first is not configured"):
				publish(redis, "first:a")

			# A worker that is born later has the old configuration all the same.
			[old] = first.worker_pids()
			os.kill(old, signal.SIGKILL)
			process.wait_until(lambda: first.worker_pids() not in ([], [old]), "another worker")
			first.wait_ready()
			assert version(redis) == of_second
			assert first.log().count(told) == 2, "once for each worker"


def test_the_same_policy_is_not_loaded_again_but_counts_as_that_of_the_last_who_has_it(redis):
	with Broker(config("kept"), redis=redis, workers=2) as one, Broker(config("kept"), redis=redis) as last:
		between = with_policy_of_another(library_text(redis), version(redis)[1])
		assert "loaded the function library" in one.log() and "loaded the function library" not in last.log()
		redis.call("FUNCTION", "LOAD", "REPLACE", between)
		process.wait_until(lambda: policy_is_of(redis, "kept"), "the last one says how it is", LOOK_S + 10)


def with_policy_of_another(text, stamp):
	changed, count = re.subn(rb"stamp=\d+,digest='\w+'", b"stamp=%d,digest='another'" % stamp, text)
	assert count == 1
	return changed.replace(b"kept", b"other")


def policy_is_of(redis, name):
	try:
		return publish(redis, f"{name}:a")[0] > 0
	except RedisError:
		return False


def test_a_policy_from_the_future_is_replaced_and_told(redis):
	with Broker(config("kept"), redis=redis) as broker:
		text = library_text(redis)
		for stamp in (time.time() + 600, 1e11):
			redis.call("FUNCTION", "LOAD", "REPLACE", with_policy_of_another(text, int(1000 * stamp)))
			assert policy_is_of(redis, "other")
			process.wait_until(lambda: policy_is_of(redis, "kept"), "ours is in force again", LOOK_S + 10)
		assert broker.log().count("from now: it is replaced") == 2
	redis.call("FUNCTION", "LOAD", "REPLACE", with_policy_of_another(text, int(1000 * (time.time() + 600))))
	with Broker(config("kept"), redis=redis):
		assert policy_is_of(redis, "kept")


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_the_clock_of_a_host_need_not_be_right(redis, tmp_path, seconds):
	clock = Clock(tmp_path)
	clock.jump(seconds)
	with Broker(config("first"), redis=redis, env=clock.environment) as first:
		with Broker(config("second"), redis=redis):
			assert policy_is_of(redis, "second")
			process.wait_until(lambda: "is not ours" in first.log(), "the first one has looked again", LOOK_S + 10)
			assert policy_is_of(redis, "second")
			with Broker(config("third"), redis=redis, env=clock.environment):
				assert policy_is_of(redis, "third")


def restricted(redis, *rules):
	redis.call("ACL", "SETUSER", "worker", "reset", "on", ">p", "~*", "&*", "+@all", *rules)
	return f"redis://worker:p@127.0.0.1:{redis.port}"


def test_where_functions_are_not_allowed_a_script_takes_their_place(redis):
	for rules in (["-fcall", "-function"], ["-function"]):
		with Broker(config("kept"), redis=restricted(redis, *rules)) as broker:
			assert "scripts take their place: NOPERM" in broker.log()
			assert broker.ready()[0] == 200
			with pytest.raises(RedisError, match="Function not found"):
				publish(redis, "kept:a")


@contextlib.contextmanager
def full(redis):
	redis.call("CONFIG", "SET", "maxmemory", 1)
	yield
	redis.call("CONFIG", "SET", "maxmemory", 0)


@pytest.mark.parametrize("rules", [[], ["-fcall", "-function"]], ids=["functions", "scripts"])
def test_when_redis_is_out_of_memory_history_is_read_and_begun(redis, rules):
	with Broker(with_presence("kept", force_recovery=True), redis=restricted(redis, *rules)) as broker:
		with Client(broker.port) as client:
			epoch = client.call("subscribe", {"channel": "kept:a"})["epoch"]
			client.publish("kept:a", 1)
			assert client.publication() == ("kept:a", 1)
		leases = redis.call("HGETALL", "{fanfare:}workers")
		with full(redis), Client(broker.port) as client:
			answer = client.call("subscribe", {"channel": "kept:a", "recover": True, "epoch": epoch, "offset": 0})
			assert answer["recovered"] and [p["data"] for p in answer["publications"]] == [1]
			assert len(client.call("history", {"channel": "kept:a", "limit": 5})["publications"]) == 1
			assert client.call("subscribe", {"channel": "kept:new"})["epoch"]
			with pytest.raises(ErrorReply) as refused:
				client.publish("kept:a", 2)
			assert refused.value.code == 100
			process.wait_until(lambda: redis.call("HGETALL", "{fanfare:}workers") != leases, "the lease of the worker is renewed")


def test_a_redis_that_is_out_of_memory_and_takes_no_functions_has_scripts_until_it_does(redis):
	with full(redis), Broker(config("kept"), redis=redis) as broker:
		assert "scripts take their place: OOM" in broker.log()
		with Client(broker.port) as client:
			client.subscribe("kept:a")
			redis.call("CONFIG", "SET", "maxmemory", 0)
			process.wait_until(lambda: is_loaded(redis), "functions take the place of scripts", LOOK_S + 10)
			assert publish(redis, "kept:a")[0] == 1
			assert client.publication() == ("kept:a", 1)


def with_presence(*names, **more):
	told = {"presence": True, "allow_history_for_client": True, "allow_history_for_anonymous": True, **more}
	spaces = config(*names)["channel"]["namespaces"]
	return {"channel": {"namespaces": [{**space, **told} for space in spaces]}}


def test_another_library_that_has_our_names_is_left_alone(redis):
	redis.call("FUNCTION", "LOAD", "#!lua name=theirs\nredis.register_function('fanfare_publish', function() return 'theirs' end)")
	with Broker(config("kept"), redis=redis) as broker:
		assert re.search(r" warning .*fails; FUNCTION LIST names it, FUNCTION DELETE removes it.*already exists", broker.log())
		assert broker.ready()[0] == 200
		assert publish(redis, "kept:a") == b"theirs"


def lying(text, function, answer):
	return re.sub(rb"(%s = {run = )[a-z_]+," % function.encode(), rb"\1function() return %s end," % answer.encode(), text)


@pytest.mark.parametrize("answer", ["nil", "'x'", "{'x', 1}", "7"])
def test_what_a_lying_library_answers_is_an_error_and_told(redis, answer):
	allowed = {f"allow_{what}_for_{whom}": True for what in ("publish", "presence") for whom in ("client", "anonymous")}
	with Broker(with_presence("kept", **allowed), redis=redis, workers=1) as broker, Client(broker.port) as client:
		client.subscribe("kept:a")
		text = library_text(redis)
		for function, command, request, error, told in (
				("fanfare_publish", "publish", {"channel": "kept:a", "data": 1}, 100, "Redis refused to publish"),
				("fanfare_presence", "presence", {"channel": "kept:a"}, 100, "cannot read who is there in fanfare:kept:a"),
				("fanfare_presence_update", "subscribe", {"channel": "kept:b"}, None, "cannot tell Redis who is there in fanfare:kept:b")):
			redis.call("FUNCTION", "LOAD", "REPLACE", lying(text, function, answer))
			try:
				client.call(command, request)
				assert error is None
			except ErrorReply as failed:
				assert failed.code == error
			process.wait_until(lambda: f"{told}: an answer of another kind" in broker.log(), f"{function} answered {answer}: it is told")


def test_without_any_way_to_the_functions_a_broker_with_history_is_not_ready(redis):
	url = restricted(redis, "-fcall", "-function", "-script", "-evalsha")
	with Broker(redis=url) as broker:
		assert broker.ready()[0] == 200
	with Broker(config("kept"), redis=url, wait=False) as broker:
		process.wait_until(lambda: "function library" in broker.ready()[1], "the reason is told")
		status, why = broker.ready()
		assert status == 503 and "cannot load the function library" in why and "NOPERM" in why
		restricted(redis)
		broker.wait_ready()
		process.wait_until(lambda: redis.call("FUNCTION", "LIST"), "what was refused is tried again")
		assert publish(redis, "kept:a")[0] == 1
