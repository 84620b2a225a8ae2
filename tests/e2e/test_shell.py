"""`fanfare subscribe` and `fanfare publish` in the hands of people and scripts, and the signals of the master."""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from lib import process
from lib.broker import BINARY, ENVIRONMENT, Broker, run
from lib.client import Client
from lib.redis_server import RedisServer

DONE, FAILED = 0, 1


@pytest.fixture
def broker(redis):
	with Broker({"shutdown": {"timeout": "1s"}}, redis=redis) as broker:
		yield broker


class Subscriber:
	"""`fanfare subscribe --verbose`; its lines on standard error say when a subscription stands."""

	def __init__(self, url, *arguments):
		self.process = process.spawn(
			[BINARY, "subscribe", "--verbose", "--url", url, *arguments], stdout=subprocess.PIPE,
			stderr=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT)

	def wait_told(self, text):
		"""Reads on until it has said so; returns what it said on the way."""
		told = ""
		while text not in told:
			line = self.process.stderr.readline()
			assert line, f"it ended without saying {text!r}: {told}"
			told += line
		return told

	def __enter__(self):
		return self

	def __exit__(self, *_):
		process.stop(self.process)
		assert "Sanitizer" not in self.process.stderr.read()


def test_subscribe_comes_back_after_a_restart_of_the_broker(broker, redis):
	with Subscriber(broker.url, "news") as subscriber:
		subscriber.wait_told("subscribed to news")
		redis.publish("news", "1")
		assert subscriber.process.stdout.readline() == "news\t1\n"
		broker.stop()
		assert "3001" in subscriber.wait_told("disconnected")
		broker.start()
		subscriber.wait_told("subscribed to news")
		redis.publish("news", "2")
		assert subscriber.process.stdout.readline() == "news\t2\n"


def test_subscribe_ends_well_after_as_many_as_it_was_asked_for(broker, redis):
	with Subscriber(broker.url, "--count", "2", "news") as subscriber:
		subscriber.wait_told("subscribed to news")
		for number in range(3):
			redis.publish("news", str(number))
		assert subscriber.process.stdout.read() == "news\t0\nnews\t1\n"
		assert subscriber.process.wait(30) == DONE


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_subscribe_ends_well_when_it_is_interrupted(broker, sig):
	with Subscriber(broker.url, "news") as subscriber:
		subscriber.wait_told("subscribed to news")
		assert process.stop(subscriber.process, sig) == DONE


def test_subscribe_prints_nothing_but_the_payload_for_a_single_channel(broker, redis):
	command = [BINARY, "subscribe", "--count", "1", "news", "--url", broker.url]
	with process.spawn(command, stdout=subprocess.PIPE, text=True, env=os.environ | ENVIRONMENT) as subscriber:
		process.wait_until(lambda: redis.publish("news", ' {"b": 1.0,\n "a":"\\u00e9"} '), "subscribed")
		assert subscriber.stdout.read() == '{"b": 1.0, "a":"\\u00e9"}\n'
		assert subscriber.wait(30) == DONE


@pytest.mark.parametrize("answer, told", [
	(b"HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"),
	(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: bm90aGluZw==\r\n\r\n", "does not speak WebSocket"),
	(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "does not speak WebSocket"),
	(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
	(b"x" * 20000, "does not speak WebSocket"),
	(b"HTTP/1.1 101", "closed before an answer"),
])
def test_subscribe_names_a_peer_that_is_no_broker(answer, told):
	with socket.create_server(("127.0.0.1", 0)) as listener:
		peer = threading.Thread(target=answer_once, args=(listener, answer))
		peer.start()
		result = run("subscribe", "news", "--url", "ws://127.0.0.1:%d/" % listener.getsockname()[1])
		peer.join()
	assert result.returncode == FAILED
	assert told in result.stderr


def answer_once(listener, answer):
	connection, _ = listener.accept()
	with connection:
		connection.recv(65536)
		connection.sendall(answer)
		connection.shutdown(socket.SHUT_WR)
		while connection.recv(65536):
			pass


def serve_replies(listener, conversations):
	"""A server that takes a connection for each conversation, sends its replies at once and waits for the client to go."""
	for replies in conversations:
		connection, _ = listener.accept()
		with connection:
			key = connection.recv(65536).split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
			accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
			message = "\n".join(map(json.dumps, replies)).encode()
			connection.sendall(
				b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
				b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n\x81\x7e" + len(message).to_bytes(2, "big") + message)
			while connection.recv(65536):
				pass


def subscribe_to_replies(*conversations, arguments=("news",)):
	with socket.create_server(("127.0.0.1", 0)) as listener:
		listener.settimeout(30)
		server = threading.Thread(target=serve_replies, args=(listener, conversations))
		server.start()
		result = run("subscribe", *arguments, "--url", "ws://127.0.0.1:%d/" % listener.getsockname()[1])
		server.join()
	return result


CONNECTED = {"id": 1, "connect": {"client": "c", "ping": 25}}
AWAY = {"id": 2, "error": {"code": 100, "message": "internal server error", "temporary": True}}
OTHER = {"id": 2, "error": {"code": 111, "message": "too many requests", "temporary": True}}
SUBSCRIBED = {"id": 2, "subscribe": {}}


def test_subscribe_tells_trouble_when_it_changes_and_not_at_each_try():
	result = subscribe_to_replies(
		[CONNECTED, AWAY], [CONNECTED, AWAY], [CONNECTED, OTHER],
		[CONNECTED, SUBSCRIBED, {"push": {"channel": "news", "pub": {"data": 1}}}], arguments=["--count", "1", "news"])
	assert (result.returncode, result.stdout) == (DONE, "1\n")
	assert result.stderr == (
		"fanfare subscribe: cannot subscribe to news: internal server error (100)\n"
		"fanfare subscribe: cannot subscribe to news: too many requests (111)\n"
		"fanfare subscribe: subscribed to news\n")


def test_subscribe_waits_for_a_redis_that_is_away():
	with RedisServer() as redis, Broker(redis=redis) as broker:
		redis.kill()
		process.wait_until(lambda: broker.ready()[0] == 503, "the broker knows")
		with Subscriber(broker.url, "news") as subscriber:
			assert subscriber.wait_told("cannot subscribe") == (
				"fanfare subscribe: cannot subscribe to news: internal server error (100)\n")
			redis.start()
			assert subscriber.wait_told("subscribed to news") == "fanfare subscribe: subscribed to news\n"
			redis.publish("news", "1")
			assert subscriber.process.stdout.readline() == "news\t1\n"


def test_subscribe_shows_control_characters_escaped():
	name = "a\x1b[2Jb\n\u009bc\u00e9"
	result = subscribe_to_replies(
		[CONNECTED, SUBSCRIBED, {"push": {"channel": name, "pub": {"data": 1}}},
			{"push": {"channel": name, "unsubscribe": {"code": 2000, "reason": "\x1b[31mfire\r\x7f"}}}],
		arguments=["--verbose", name])
	shown = "a\\x1b[2Jb\\x0a\\xc2\\x9bc\u00e9"
	assert (result.returncode, result.stdout) == (FAILED, f"{shown}\t1\n")
	assert result.stderr.splitlines()[-1] == (
		f"fanfare subscribe: the broker ended the subscription to {shown}: \\x1b[31mfire\\x0d\\x7f (2000)")


def test_publish_takes_lines_and_tells_of_each(broker, redis):
	with Client(broker.port) as client:
		client.subscribe("news")
		result = run("publish", "--lines", "news", "-", "--redis", redis.url, input='1\n\n{"a":\n"two"\n')
		assert result.stdout == "delivered to 1 worker\n" * 2
		assert result.returncode == FAILED
		assert result.stderr == "fanfare publish: line 3: the payload is not JSON (--text for plain text)\n"
		assert [client.publication()[1] for _ in range(2)] == [1, "two"]


def test_publish_ends_when_redis_is_lost_between_lines():
	with RedisServer() as redis:
		command = [BINARY, "publish", "--plain", "--lines", "news", "-", "--redis", redis.url]
		with process.spawn(
				command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
				env=os.environ | ENVIRONMENT) as publisher:
			publisher.stdin.write("1\n")
			publisher.stdin.flush()
			assert publisher.stdout.readline() == "delivered to 0 workers\n"
			redis.kill()
			publisher.stdin.write("2\n3\n")
			publisher.stdin.flush()
			told = publisher.stderr.read()
			assert told.startswith(f"fanfare publish: line 2: lost the connection to Redis at 127.0.0.1:{redis.port}: ")
			assert len(told.splitlines()) == 1
			assert publisher.wait(30) == FAILED


def test_publish_gives_up_a_redis_that_does_not_answer():
	with RedisServer() as redis:
		redis.freeze()
		result = run("publish", "news", "1", "--redis", redis.url)
		assert (result.returncode, result.stdout) == (FAILED, "")
		assert result.stderr == f"fanfare publish: Redis at 127.0.0.1:{redis.port} does not answer\n"


@pytest.mark.parametrize("text", ["Hello", "42", '{"a": 1}', 'quote " and \\ é', ""])
def test_published_text_arrives_as_a_string(broker, redis, text):
	with Client(broker.port) as client:
		client.subscribe("news")
		assert run("publish", "--text", "news", text, "--redis", redis.url).returncode == DONE
		assert client.publication() == ("news", text)


def test_published_data_that_looks_like_an_envelope_arrives_as_it_is(broker, redis):
	with Client(broker.port) as client:
		client.subscribe("news")
		run("publish", "news", '{"fanfare": 1, "offset": 3, "data": 2}', "--redis", redis.url)
		assert client.publication() == ("news", {"fanfare": 1, "offset": 3, "data": 2})


def test_publish_takes_the_longest_channel_and_the_longest_payload(redis):
	name, payload = "c" * 4096, '"' + "p" * ((16 << 20) - 2) + '"'
	longest = {"FANFARE_CHANNEL_MAX_LENGTH": "4096", "FANFARE_REDIS_PREFIX": "p" * 63 + ":"}
	result = run("publish", "--plain", name, "-", "--redis", redis.url, input=payload, env=longest)
	assert (result.returncode, result.stdout) == (DONE, "delivered to 0 workers\n"), result.stderr
	result = run("publish", name, "-", "--redis", redis.url, input=payload + " ", env=longest)
	assert result.returncode == FAILED and "longer than 16777216 bytes" in result.stderr


def test_a_password_is_never_shown(redis):
	result = run("publish", "news", "1", "--redis", f"redis://:s3cret@127.0.0.1:{process.free_port()}")
	assert result.returncode == FAILED
	assert "s3cret" not in result.stderr


@pytest.mark.parametrize("sig", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_that_mean_nothing_yet_are_told_and_change_nothing(broker, sig):
	with Client(broker.port) as client:
		workers = broker.worker_pids()
		broker.process.send_signal(sig)
		process.wait_until(lambda: sig.name in broker.log(), "the log names the signal")
		client.subscribe("news").publish("news", 1)
		assert client.publication() == ("news", 1)
		assert broker.worker_pids() == workers


def test_workers_leave_signals_to_the_master(broker):
	"""A Ctrl-C, or a service manager that stops the group, reaches all processes at once."""
	with Client(broker.port) as client:
		for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
			os.kill(broker.worker_pids()[0], sig)
		client.subscribe("news").publish("news", 1)
		assert client.publication() == ("news", 1)


def test_a_second_signal_ends_the_drain(redis):
	with Broker({"shutdown": {"timeout": "60s"}}, redis=redis) as broker:
		clients = [Client(broker.port) for _ in range(8)]
		broker.process.send_signal(signal.SIGTERM)
		process.wait_until(lambda: "draining" in broker.log(), "the log tells of the drain")
		assert broker.process.poll() is None
		assert process.stop(broker.process, signal.SIGTERM, 10) == DONE
		for client in clients:
			client.close()
