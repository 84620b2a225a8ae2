"""What goes on while something breaks: publishers of growing numbers, each in a thread, and clients that miss none of them."""

import threading

from . import process
from .client import Client
from .redis_server import RedisError


class Load:
	"""Publishes growing numbers to a channel, from the constructor on until it is left. connect() gives a connection, also in
	place of one that has failed. Here no number is published twice, since Redis may have done what it did not answer."""

	def __init__(self, connect, channel):
		self.connect, self.channel, self.sent, self.over = connect, channel, 0, threading.Event()
		self.thread = threading.Thread(target=self._run)
		self.thread.start()

	def _run(self):
		client = None
		while not self.over.wait(0.001):
			try:
				client = client or self.connect()
				self.publish_next(client)
			except (OSError, RedisError):
				client = None
		if client:
			client.close()

	def publish_next(self, client):
		self.sent += 1
		client.call("PUBLISH", f"fanfare:{self.channel}", self.sent)

	def more(self, count, timeout=60):
		goal = self.sent + count
		process.wait_until(lambda: self.sent >= goal, f"{count} more publications on {self.channel}", timeout)

	def stop(self):
		"""Returns the last number."""
		self.over.set()
		self.thread.join()
		return self.sent

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.stop()


class HistoryLoad(Load):
	"""To a channel with history: what was not acknowledged is published again under the same key, and so is there once."""

	def publish_next(self, client):
		number = self.sent + 1
		self.publish(client, number)
		self.sent = number

	def publish(self, client, number):
		client.call("FCALL", "fanfare_publish", 1, f"fanfare:{self.channel}", number, "idempotency_key", number)


class Follower:
	"""A client in a channel with history, which must stay connected, and get every publication once and in order."""

	def __init__(self, broker, channel):
		self.channel, self.client = channel, Client(broker.port)
		answer = self.client.call("subscribe", {"channel": channel, "recoverable": True, "positioned": True}, timeout=20)
		self.epoch, self.position = answer["epoch"], answer.get("offset", 0)

	def take(self, publication):
		assert publication["offset"] == self.position + 1, f"{self.channel}: {publication} after {self.position}"
		self.position += 1
		self.check_data(publication["data"])

	def check_data(self, data):
		"""Where all that is published is numbers from 1 on, and a word at the end."""
		assert data in (self.position, "over"), f"{self.channel}: {data} at {self.position}"

	def read(self, timeout=30):
		push = self.client.push(timeout)
		assert "pub" in push, f"{self.channel}: {push}"
		self.take(push["pub"])

	def follow(self, offset):
		"""Reads up to that offset."""
		while self.position < offset:
			self.read()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.client.close()


def follow_to_the_end(followers, offset):
	for follower in followers:
		follower.follow(offset)
		follower.client.close()
