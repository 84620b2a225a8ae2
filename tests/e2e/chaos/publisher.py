"""Those who publish: straight into Redis with the function and without it, by `fanfare publish`, through an SDK."""

import itertools
import json
import re
import threading
import time

from lib import broker as fanfare
from lib.redis_server import RedisError
from lib.sdk import Failed

PATIENCE_S = 60.0  # longer than any fault
AGAIN_S = 0.02


class Publisher:
	"""A thread that publishes numbered messages into its channels by turns, `rate` a second, until it is stopped."""

	def __init__(self, name, ledger, channels, rate):
		self.name, self.ledger, self.interval_s = name, ledger, 1 / rate
		self.channels = itertools.cycle(channels)
		self.numbers = itertools.count(1)
		self.over = threading.Event()
		self.trouble = None
		self.thread = threading.Thread(target=self._run, daemon=True)

	def start(self):
		self.thread.start()

	def _run(self):
		try:
			while not self.over.wait(self.interval_s):
				self.publish_next(next(self.channels))
		except Exception as trouble:  # told by stop()
			self.trouble = trouble

	def publish_next(self, channel):
		key = f"{self.name}:{next(self.numbers)}"
		self.ledger.begin(key, channel)
		self.publish(channel, key)

	def data(self, key):
		return json.dumps({"key": key})

	def publish(self, channel, key):
		raise NotImplementedError

	def stop(self):
		self.over.set()
		self.thread.join(PATIENCE_S)
		if self.trouble:
			raise self.trouble


class RedisPublisher(Publisher):
	"""Has a connection of its own to Redis, and makes a new one when it must."""

	def __init__(self, name, ledger, channels, rate, redis, padding=0):
		super().__init__(name, ledger, channels, rate)
		self.redis, self.connection, self.padding = redis, None, "x" * padding

	def data(self, key):
		return json.dumps({"key": key, "padding": self.padding} if self.padding else {"key": key})

	def call(self, channel, *words):
		"""None when it is not known whether Redis did it."""
		try:
			self.connection = self.connection or self.redis.client(channel, PATIENCE_S)
			self.check_current()
			return self.connection.call(*words)
		except (OSError, RedisError) as error:
			if self.connection and isinstance(error, RedisError):
				self.connection = self.redis.redirected(self.connection, error)
			else:
				self.disconnect()
			return None

	def check_current(self):
		if not self.redis.is_current(self.connection):
			raise ConnectionError("another server has taken over")

	def disconnect(self):
		if self.connection:
			self.connection.close()
		self.connection = None


class FunctionPublisher(RedisPublisher):
	"""Tries again, under the same idempotency key, until Redis has taken it."""

	def publish(self, channel, key):
		while not self.over.is_set():
			answer = self.call(
				channel, "FCALL", "fanfare_publish", 1, f"fanfare:{channel}", self.data(key), "idempotency_key", key,
				*self.redis.publish_options)
			if answer:
				return self.ledger.ack(key, answer[0], answer[1].decode())
			self.ledger.repeated.add(key)
			time.sleep(AGAIN_S)


class PlainPublisher(RedisPublisher):
	"""A number that may have been lost is not published again: it would come twice. What was taken by a server that had lost its
	place meanwhile counts as lost."""

	def publish(self, channel, key):
		answer = self.call(channel, self.redis.publish_command, f"fanfare:{channel}", self.data(key))
		if answer is not None and self.connection and self.redis.is_current(self.connection):
			self.ledger.ack(key)
		else:
			time.sleep(AGAIN_S)


class ProgramPublisher(Publisher):
	"""`fanfare publish`, a process a message."""

	def __init__(self, name, ledger, channels, rate, arguments):
		super().__init__(name, ledger, channels, rate)
		self.arguments = arguments

	def publish(self, channel, key):
		run = fanfare.run("publish", *self.arguments, channel, self.data(key))
		if run.returncode == 0:
			self.ledger.ack(key, *self.position(run.stdout))
		else:
			assert run.returncode == 1, run


	def position(self, told):
		found = re.search(r", offset (\d+), epoch (\S+)", told)
		return (int(found[1]), found[2]) if found else ()


class SdkPublisher(Publisher):
	"""Through a client that also subscribes (SdkSubscriber)."""

	def __init__(self, name, ledger, channels, rate, subscriber):
		super().__init__(name, ledger, channels, rate)
		self.subscriber = subscriber

	def publish(self, channel, key):
		try:
			self.subscriber.do("publish", channel=channel, data={"key": key})
			self.ledger.ack(key)
		except Failed:
			time.sleep(AGAIN_S)
