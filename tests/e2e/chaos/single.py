"""The topology of one Redis, with a proxy before it for each broker.

What chaos needs of any topology: address(), config, client(), redirected(), publish_command and publish_options, wait_healthy(),
faults(), stop(); and what the faults that it offers are done with.
"""

import os
import shutil

from lib.redis_proxy import RedisProxy
from lib.redis_server import RedisClient, RedisServer

# What Redis has acknowledged survives that it is killed.
DURABLE = "--appendonly", "yes", "--appendfsync", "always"


class Single:
	name = "single"
	publish_command = "PUBLISH"
	publish_options = ()

	def __init__(self, brokers, env=None):
		self.redis = RedisServer(*DURABLE, env=env)
		self.proxies = [RedisProxy(self.redis.port) for _ in range(brokers)]
		self.config = {}

	def address(self, broker):
		"""The URL by which that broker reaches Redis."""
		return self.proxies[broker].url

	@property
	def url(self):
		"""By which a backend reaches Redis."""
		return self.redis.url

	def client(self, channel, timeout):
		"""A connection of a publisher to where the channel is."""
		return RedisClient(self.redis.port, timeout)

	def redirected(self, client, error):
		"""The connection to go on with after an error reply; None: a new one."""
		return client

	def faults(self):
		"""Which kinds of faults this topology can have."""
		return None

	def wait_healthy(self):
		self.redis.call("PING")

	# --- what faults do ---

	def kill(self):
		self.redis.kill()

	def start(self):
		self.redis.start()

	def lose_everything(self):
		"""While it is killed: what it kept on disk."""
		shutil.rmtree(os.path.join(self.redis.folder.name, "appendonlydir"))

	def freeze(self):
		self.redis.freeze()

	def thaw(self):
		self.redis.thaw()

	def command(self, *words):
		"""On every Redis."""
		connection = RedisClient(self.redis.port, timeout=60)
		try:
			return connection.call(*words)
		finally:
			connection.close()

	def stop(self):
		for proxy in self.proxies:
			proxy.close()
		self.redis.stop()
