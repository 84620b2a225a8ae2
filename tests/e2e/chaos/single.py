"""The topology of one Redis, with a proxy before it for each broker.

What chaos needs of any topology: address(), config, program_arguments, client(), redirected(), is_current(), leaders(),
replaced_since(), publish_command, publish_options, loses_on_failover, faults(), stop(); and what the faults that it offers are done
with.
"""

import os
import shutil

from lib.redis_proxy import RedisProxy
from lib.redis_server import RedisClient, RedisServer

from .faults import FAULTS, REPLICATED

# What Redis has acknowledged survives that it is killed.
DURABLE = "--appendonly", "yes", "--appendfsync", "always"


class Single:
	name = "single"
	publish_command = "PUBLISH"
	publish_options = ()
	loses_on_failover = False

	def __init__(self, brokers, env=None):
		self.redis = RedisServer(*DURABLE, env=env)
		self.proxies = [RedisProxy(self.redis.port) for _ in range(brokers)]
		self.config = {}

	def address(self, broker):
		"""The URL by which that broker reaches Redis."""
		return self.proxies[broker].url

	@property
	def program_arguments(self):
		"""By which `fanfare publish` reaches Redis, beside the configuration of a broker."""
		return "--redis", self.redis.url

	def client(self, channel, timeout):
		"""A connection of a publisher to where the channel is."""
		return RedisClient(self.redis.port, timeout)

	def redirected(self, client, error):
		"""The connection to go on with after an error reply; None: a new one."""
		return client

	def is_current(self, client):
		"""Whether what is published there is what brokers are to hear."""
		return True

	def leaders(self):
		"""Who takes what is published; another one after a failover, whether that was wanted or not."""
		return None

	def replaced_since(self, moment, leaders):
		return False

	def faults(self):
		"""Which kinds of faults it can have."""
		return FAULTS.keys() - REPLICATED

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

	def settle(self):
		"""There are no others to agree with."""

	def stop(self):
		for proxy in self.proxies:
			proxy.close()
		self.redis.stop()
