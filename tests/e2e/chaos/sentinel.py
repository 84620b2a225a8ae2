"""The topology of one master, two replicas and three sentinels."""

from lib.redis_sentinel import RedisSentinels

from .replicated import CALL_S, EVERYWHERE, Replicated
from .single import DURABLE


class Sentinels(Replicated):
	name = "sentinel"
	publish_command = "PUBLISH"
	publish_options = ()

	def __init__(self, brokers, env=None):
		self.redis = RedisSentinels(arguments=DURABLE)

	def faults(self):
		return EVERYWHERE | {"sentinel-killed"}

	def servers(self):
		return self.redis.servers

	def client(self, channel, timeout):
		"""As clients of sentinels must, it asks whether that is a master: a replica takes PUBLISH, and keeps it for itself."""
		client = self.redis.client(channel, min(timeout, CALL_S))
		if client.call("ROLE")[0] != b"master":
			client.close()
			raise ConnectionError("not a master yet")
		return client

	def a_master(self, rng):
		return self.redis.master()

	def a_replica(self, rng):
		return rng.choice(self.redis.replicas())

	def a_sentinel(self, rng):
		return rng.choice(self.redis.sentinels)

	def wait_replaced(self, old):
		self.redis.wait_promoted(old)

	def replace(self, rng):
		self.redis.failover()
