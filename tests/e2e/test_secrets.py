"""The password of Redis is known to the broker and to nobody else: not to ps, not to the log, not to who asks for the
configuration."""

import os
import shutil
import signal

import pytest

from lib import process
from lib.broker import BINARY, ENVIRONMENT, Broker, run
from lib.client import Client
from lib.redis_server import RedisServer

PASSWORD, ENCODED, USER_PASSWORD = "hush/hush", "hush%2Fhush", "sotto-voce"


class LockedRedis(RedisServer):
	"""Wants a password from everybody, and has a user with one of their own."""

	def __init__(self):
		super().__init__("--requirepass", PASSWORD, "--user", "bob", "on", f">{USER_PASSWORD}", "~*", "&*", "+@all")

	def _answers(self):
		try:
			self.call("AUTH", PASSWORD)
		except OSError:
			self.disconnect()
			return False
		return super()._answers()

	def with_login(self, login):
		return f"redis://{login}@127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def redis():
	with LockedRedis() as server:
		yield server


def tells(text):
	return any(secret in text for secret in (PASSWORD, ENCODED, USER_PASSWORD, "hush"))


def command_lines(pid):
	return {pid: process.command_line(pid) for pid in [pid, *process.descendants(pid)]}


LOGINS = {"a password": f":{ENCODED}", "user and password": f"bob:{USER_PASSWORD}"}


@pytest.mark.parametrize("name", LOGINS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_neither_ps_nor_the_most_talkative_log_shows_it(redis, name, form):
	url = redis.with_login(LOGINS[name])
	with Broker(redis=url, workers=2, dev=True, arguments=("--log-level", "debug", "--log-format", form)) as broker:
		lines = command_lines(broker.pid)
		assert len(lines) == 3 and not any(map(tells, lines.values())), lines
		assert all(f"***@127.0.0.1:{redis.port}" in line for line in lines.values()), lines
		with Client(broker.port) as client:
			client.subscribe("news").publish("news", 1)
			assert client.publication() == ("news", 1)
			redis.call("CLIENT", "KILL", "TYPE", "pubsub")
			process.wait_until(lambda: "is back" in broker.log(), "the link is back")
			broker.process.send_signal(signal.SIGHUP)
			process.wait_until(lambda: "SIGHUP" in broker.log(), "the signal was seen")
		assert not tells(broker.get("/metrics")[1] + broker.get("/health/ready")[1])
		broker.stop()
		assert not tells(broker.log())
		assert "***@" in broker.log() or form == "json", "told how to publish, without it"


@pytest.mark.parametrize("login", [f":{ENCODED}x", f"bob:{USER_PASSWORD}x", f"eve:{ENCODED}"])
def test_nor_does_a_login_that_fails(redis, login):
	with Broker(redis=redis.with_login(login), wait=False, arguments=("--log-level", "debug")) as broker:
		reason = process.wait_until(lambda: refused(broker), "readiness names the reason")
		process.wait_until(lambda: "refused authentication" in broker.log(), "so does the log")
		assert not tells(reason)
		broker.stop()
		assert not tells(broker.log())


def refused(broker):
	status, body = broker.ready()
	return status == 503 and "refused authentication" in body and body


def test_short_passwords_are_not_shown_either(redis):
	"""In capitals, which names of temporary folders do not have."""
	with Broker(redis=redis.with_login(":ZQ"), wait=False) as broker:
		process.wait_until(lambda: refused(broker), "readiness names the reason")
		assert not any("ZQ" in line for line in command_lines(broker.pid).values())
		broker.stop()
		assert "ZQ" not in broker.log()


def test_the_other_commands_do_not_show_it(redis, tmp_path):
	url = redis.with_login(LOGINS["a password"])
	config = tmp_path / "fanfare.yaml"
	config.write_text(f'redis: {{address: "{url}"}}\n')
	for way in (["--redis", url], [f"--redis={url}"], ["--config", config]):
		shown = run("config", *way)
		assert shown.returncode == 0 and "***@" in shown.stdout and not tells(shown.stdout + shown.stderr)
		assert run("check", *way).returncode == 0
		for command in (["publish", "news", "1"], ["redis-cli"]):
			done = run(command[0], *way, *command[1:], input="PING\n")
			assert done.returncode == 0 and not tells(done.stdout + done.stderr), done
	shown = run("config", env={"FANFARE_REDIS_ADDRESS": url})
	assert "***@" in shown.stdout and not tells(shown.stdout)
	assert tells(run("config", "--redis", url, "--show-secrets").stdout), "who asks for it is shown it"


def test_redis_cli_is_not_given_it_as_an_argument(redis):
	child = process.spawn(
		[BINARY, "redis-cli", "--redis", redis.with_login(LOGINS["user and password"]), "SUBSCRIBE", "fanfare:news"],
		stdout=-1, env=os.environ | ENVIRONMENT)
	try:
		while b"subscribe" not in child.stdout.readline():
			pass
		assert "redis-cli" in process.executable(child.pid)
		assert not tells(process.command_line(child.pid))
	finally:
		process.stop(child, signal.SIGKILL)


def test_the_embedded_redis_is_not_told_the_settings_of_the_broker(tmp_path):
	wrapper, told = tmp_path / "redis-server", tmp_path / "told"
	wrapper.write_text(f'#!/bin/sh\nenv >{told}\nexec {shutil.which("redis-server")} "$@"\n')
	wrapper.chmod(0o755)
	with Broker(env={"FANFARE_CLIENT_PING_INTERVAL": "20s", "PATH": f"{tmp_path}:{os.environ['PATH']}"}):
		environment = told.read_text()
	assert "PATH=" in environment and "FANFARE_" not in environment
