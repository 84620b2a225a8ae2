"""The command line: help, exit codes, and errors that say where and what."""

import json
import os
import re
import socket
import subprocess
import tempfile

import pytest

from lib import process
from lib.broker import BINARY, ENVIRONMENT, OPEN, Broker, run
from lib.client import Client
from lib.redis_server import RedisServer

COMMANDS = ["serve", "check", "config", "publish", "subscribe", "redis-cli", "version"]
DONE, FAILED, USAGE = 0, 1, 2


@pytest.fixture(scope="module")
def broker(redis):
	with Broker(redis=redis) as broker:
		yield broker


@pytest.fixture
def config_file(tmp_path):
	def write(text):
		path = tmp_path / "fanfare.yaml"
		path.write_text(text)
		return path
	return write


# Help and usage

@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command):
	result = run(command, "--help")
	assert result.returncode == DONE
	assert result.stdout.startswith(f"usage: fanfare {command}")
	assert result.stderr == ""
	assert max(map(len, result.stdout.splitlines())) < 80


def test_the_general_help_names_every_command():
	result = run("--help")
	assert result.returncode == DONE
	assert set(COMMANDS) <= set(re.findall(r"^  ([\w-]+)", result.stdout, re.M))


def test_version_is_one_line():
	result = run("version")
	assert result.returncode == DONE
	assert re.fullmatch(r"fanfare \d+\.\d+\.\d+.*\n", result.stdout)


@pytest.mark.parametrize("arguments", [
	[], ["nonsense"], ["serve", "--nonsense"], ["serve", "--listen"], ["serve", "operand"], ["publish"], ["publish", "news"],
	["publish", "news", "1", "2"], ["subscribe"], ["check", "--nonsense"], ["version", "operand"]])
def test_wrong_usage_is_told_in_one_line_and_exits_with_2(arguments):
	result = run(*arguments)
	assert result.returncode == USAGE
	assert result.stdout == ""
	assert "fanfare" in result.stderr
	if arguments:
		assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments, told", [
	(["serve", "--workers", "x"], "--workers: must be auto or a number"),
	(["serve", "--listen", "foo"], "--listen: must be IPV4:PORT"),
	(["serve", "--listen", ":1", "--listen", ":1"], '--listen: must name ":1" once'),
	(["check", "--log-level", "loud"], "--log-level: must be debug"),
	(["config", "--runtime-dir", ""], "--runtime-dir: must be the path"),
	(["publish", "--redis", "foo", "news", "1"], "--redis: must be redis://"),
	(["publish", "news", "{"], "the payload is not JSON"),
	(["publish", "", "1"], "the name of a channel has 1 to 255 bytes"),
	(["redis-cli", "--redis", "foo"], "--redis: must be redis://"),
	(["subscribe", "--url", "foo", "news"], "--url: must be ws://"),
	(["subscribe", "--count", "0", "news"], "--count: must be a number"),
	(["subscribe", "news", ""], "''"),
])
def test_a_wrong_argument_is_told_in_one_line_and_exits_with_2(arguments, told):
	result = run(*arguments)
	assert (result.returncode, result.stdout) == (USAGE, "")
	assert result.stderr.startswith(f"fanfare {arguments[0]}: ")
	assert told in result.stderr
	assert len(result.stderr.splitlines()) == 1


def test_the_runtime_directory_of_nobody_is_explained():
	for arguments in (["publish", "news", "1"], ["redis-cli", "ping"]):
		result = run(arguments[0], "--runtime-dir", "/nosuch", *arguments[1:])
		assert (result.returncode, result.stdout) == (FAILED, "")
		assert "cannot connect to Redis at unix:/nosuch/" in result.stderr
		assert "is `fanfare serve` running?" in result.stderr


def test_a_mistyped_command_is_recognized():
	assert "did you mean publish?" in run("publsih", "news", "1").stderr


# Configuration

WRONG = {
	"an unknown key": ("client:\n  ping_intervall: 25s\n", 2, "client.ping_intervall"),
	"an unknown section": ("redis:\n  prefix: 'a:'\nclients:\n  x: 1\n", 3, "clients"),
	"a number where a duration belongs": ("client:\n  ping_interval: soon\n", 2, "client.ping_interval"),
	"a text where a number belongs": ("workers: many\n", 1, "workers"),
	"a list where a text belongs": ("redis:\n  prefix: [a, b]\n", 2, "redis.prefix"),
	"a value out of range": ("client:\n\n  channel_limit: 0\n", 3, "client.channel_limit"),
	"an address that is none": ("listen: ['127.0.0.1:99999']\n", 1, "listen"),
	"a key twice": ("workers: 1\nworkers: 2\n", 2, "workers"),
	"a wrong option of a namespace": (
		"channel:\n  namespaces:\n    - name: news\n      allow_everything: true\n", 4, "allow_everything"),
	"a namespace twice": ("channel:\n  namespaces:\n    - name: news\n    - name: news\n", 4, "news"),
	"a namespace without a name": (
		"channel:\n  namespaces:\n    - allow_subscribe_for_client: true\n", 3, "name"),
	"no YAML at all": ("client: {ping_interval: 25s\nworkers: 1\n", None, ""),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_wrong_configuration_names_file_line_and_key(name, command, config_file):
	text, line, key = WRONG[name]
	path = config_file(text)
	result = run(command, "--config", path)
	assert result.returncode == FAILED
	assert f"{path}:{line or ''}" in result.stderr
	assert key in result.stderr


def test_all_problems_are_told_at_once(config_file):
	result = run("check", "--config", config_file("workers: many\nclient:\n  nonsense: 1\n"))
	assert "workers" in result.stderr and "client.nonsense" in result.stderr


def test_a_file_that_is_not_there_is_named():
	result = run("check", "--config", "/nowhere/fanfare.yaml")
	assert result.returncode == FAILED
	assert "/nowhere/fanfare.yaml" in result.stderr


def test_a_right_configuration_passes(config_file):
	assert run("check", "--config", config_file(json.dumps(OPEN))).returncode == DONE


def test_the_effective_configuration_is_a_configuration(config_file):
	first = run("config", "--config", config_file("client: {channel_limit: 7}\n"))
	assert first.returncode == DONE
	assert "channel_limit: 7" in first.stdout
	second = run("config", "--config", config_file(first.stdout))
	assert second.stdout == first.stdout


def test_flags_win_over_the_environment_and_that_over_the_file(config_file):
	path = config_file("workers: 3\nclient: {channel_limit: 3}\nredis: {prefix: 'three:'}\n")
	result = run("config", "--config", path, "--workers", "5",
		env={"FANFARE_WORKERS": "4", "FANFARE_CLIENT_CHANNEL_LIMIT": "4"})
	assert re.search(r"^workers: 5$", result.stdout, re.M)
	assert re.search(r"channel_limit: 4$", result.stdout, re.M)
	assert re.search(r"prefix: .?three:", result.stdout)


def test_a_wrong_value_in_the_environment_names_its_variable():
	result = run("check", env={"FANFARE_WORKERS": "many"})
	assert result.returncode == FAILED
	assert "FANFARE_WORKERS" in result.stderr


# Publishing and subscribing from a shell

def test_publish_reaches_subscribers(broker, redis):
	with Client(broker.port) as client:
		client.subscribe("news")
		result = run("publish", "news", '{"price": 42}', "--redis", redis.url)
		assert (result.returncode, result.stderr) == (DONE, "")
		assert client.publication() == ("news", {"price": 42})


def test_publish_reads_standard_input(broker, redis):
	with Client(broker.port) as client:
		client.subscribe("news")
		assert run("publish", "news", "-", "--redis", redis.url, input='{\n "a": 1\n}\n').returncode == DONE
		assert client.publication() == ("news", {"a": 1})


@pytest.mark.parametrize("text", ["{", "", "{}x", "{'a':1}"])
def test_publish_refuses_what_is_not_json(broker, redis, text):
	result = run("publish", "news", text, "--redis", redis.url)
	assert result.returncode != DONE
	assert "JSON" in result.stderr


@pytest.mark.parametrize("error, told", [
	("ERR ERR not today", "Redis: not today"), ("NOREPLICAS Not enough good replicas to write.", "Redis: NOREPLICAS Not enough good "
	"replicas to write.; its replicas are away or late, see its min-replicas-to-write")])
def test_publish_tells_what_redis_refuses(error, told):
	with RedisServer() as redis:
		redis.call("FUNCTION", "LOAD", f"""#!lua name=fanfare
			redis.register_function('fanfare_publish', function() return redis.error_reply('{error}') end)""")
		result = run("publish", "news", "1", "--redis", redis.url)
	assert result.returncode != DONE and result.stderr.rstrip().endswith(told)


def test_publish_without_redis_fails_in_one_line():
	port = process.free_port()
	result = run("publish", "news", "1", "--redis", f"redis://127.0.0.1:{port}")
	assert result.returncode == FAILED
	assert len(result.stderr.splitlines()) == 1
	assert str(port) in result.stderr


def test_subscribe_prints_a_line_for_each_publication(broker, redis):
	subscriber = process.spawn(
		[BINARY, "subscribe", "one", "two", "--url", broker.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
		text=True, env=os.environ | ENVIRONMENT)
	process.wait_until(lambda: redis.publish("one", '{"n":  1}') and redis.publish("two", '"2"'), "subscribed")
	lines = [subscriber.stdout.readline() for _ in range(2)]
	assert '{"n":  1}' in lines[0] and "one" in lines[0]
	assert '"2"' in lines[1] and "two" in lines[1]
	process.stop(subscriber)
	assert "Sanitizer" not in subscriber.stderr.read()


def test_subscribe_tells_why_it_was_refused(broker):
	result = run("subscribe", "nosuch:news", "--url", broker.url)
	assert result.returncode == FAILED
	assert "unknown channel" in result.stderr


def test_subscribe_without_a_broker_fails():
	port = process.free_port()
	result = run("subscribe", "news", "--url", f"ws://127.0.0.1:{port}/connection/websocket")
	assert result.returncode == FAILED
	assert str(port) in result.stderr


# Listening

def test_it_listens_on_every_address_that_it_is_told(redis):
	with tempfile.TemporaryDirectory() as folder:
		port, path = process.free_port(), os.path.join(folder, "http.sock")
		with Broker(redis=redis, workers=2, arguments=["--listen", f"[::1]:{port}", "--listen", f"unix:{path}"]) as broker:
			for where in ({"port": broker.port}, {"port": port, "host": "::1"}, {"path": path}):
				with Client(**({"port": None} | where)) as client:
					client.subscribe("news")
					redis.publish("news", "1")
					assert client.publication() == ("news", 1)
		assert not os.path.exists(path)


def test_an_address_that_is_taken_is_named(redis, tmp_path):
	with socket.socket() as taken:
		taken.bind(("127.0.0.1", 0))
		taken.listen()
		address = "127.0.0.1:%d" % taken.getsockname()[1]
		result = run("serve", "--listen", address, "--redis", redis.url, "--runtime-dir", tmp_path)
	assert result.returncode == FAILED
	assert address in result.stderr


def test_two_brokers_do_not_share_a_port(broker, redis, tmp_path):
	result = run("serve", "--listen", f"127.0.0.1:{broker.port}", "--redis", redis.url, "--runtime-dir", tmp_path)
	assert result.returncode == FAILED
	assert str(broker.port) in result.stderr


def test_dev_mode_says_loudly_what_it_leaves_open(redis):
	with Broker(redis=redis, dev=True, base={}) as broker:
		log = broker.log()
		assert re.search(r"\bdev\b", log, re.I) and "anybody" in log.lower() or "anonymous" in log.lower()
		with Client(broker.port) as client:
			client.subscribe("news").publish("news", 1)
			assert client.publication() == ("news", 1)


def test_an_empty_configuration_serves_nobody(redis):
	with Broker(redis=redis, base={}) as broker:
		with Client(broker.port, connect=False) as client:
			client.send("connect", {})
			assert client.closed() == (3501, "bad request")


def test_the_log_is_json_when_asked_for(redis):
	with Broker(redis=redis, arguments=["--log-format", "json"]) as broker:
		broker.stop()
		for line in broker.log().splitlines():
			assert {"time", "level"} <= json.loads(line).keys()


def test_it_runs_with_its_standard_descriptors_closed(redis):
	"""A connection must not take the place of the log."""
	port, folder = process.free_port(), tempfile.TemporaryDirectory()
	config = os.path.join(folder.name, "config.yaml")
	with open(config, "w") as f:
		json.dump(OPEN, f)
	command = [BINARY, "serve", "--config", config, "--listen", f"127.0.0.1:{port}", "--redis", redis.url,
		"--runtime-dir", folder.name, "--workers", "1"]
	broker = process.spawn(["bash", "-c", 'exec "$@" <&- >&- 2>&-', "-", *command], env=os.environ | ENVIRONMENT)
	try:
		process.wait_until(lambda: accepts(port), "the broker listens")
		with Client(port) as client:
			client.subscribe("news").publish("news", 1)
			assert client.publication() == ("news", 1)
			assert client.quiet()
	finally:
		process.stop(broker)
		folder.cleanup()


def test_it_survives_that_nobody_reads_its_log(redis, tmp_path):
	"""fanfare serve 2>&1 | head -1"""
	port = process.free_port()
	reader, writer = os.pipe()
	os.close(reader)
	command = [BINARY, "serve", "--dev", "--listen", f"127.0.0.1:{port}", "--redis", redis.url,
		"--runtime-dir", tmp_path, "--workers", "1"]
	broker = process.spawn(command, stdout=writer, stderr=writer, env=os.environ | ENVIRONMENT)
	os.close(writer)
	try:
		process.wait_until(lambda: accepts(port), "the broker listens")
		assert (tmp_path / "fanfare.pid").exists()
	finally:
		code = process.stop(broker)
	assert code == DONE
	assert not (tmp_path / "fanfare.pid").exists()


def accepts(port):
	try:
		socket.create_connection(("127.0.0.1", port)).close()
		return True
	except OSError:
		return False
