"""The topology of a Redis Cluster: three masters, each with a replica."""

from lib.redis_cluster import SLOTS, RedisCluster, slot_of

from .replicated import CALL_S, EVERYWHERE, Replicated
from .single import DURABLE


class Cluster(Replicated):
	name = "cluster"
	publish_command = "SPUBLISH"
	publish_options = ("sharded", "true")

	def __init__(self, brokers, env=None):
		self.redis = RedisCluster(arguments=DURABLE)

	def faults(self):
		return EVERYWHERE | {"slots-moved"}

	def servers(self):
		return [node for node in self.redis.nodes if node.alive()]

	def client(self, channel, timeout):
		return self.redis.connect(min(timeout, CALL_S))

	def leaders(self):
		return sorted(node.port for node in self.redis.masters())

	def a_master(self, rng):
		master = rng.choice(self.redis.masters())
		self.slot = next(slot for slot in range(0, SLOTS, 16) if self.redis.owner_of_slot(slot) is master)
		return master

	def a_replica(self, rng):
		masters = self.redis.masters()
		return rng.choice([node for node in self.redis.nodes if node not in masters])

	def wait_replaced(self, old):
		self.redis.wait_moved(self.slot, old)

	def replace(self, rng):
		self.redis.failover(self.a_master(rng))

	def move_slots(self, channels, rng):
		"""Those of the channels, to other masters, while they are used."""
		moves = {}
		for channel in channels:
			slot = slot_of(f"fanfare:{channel}")
			owner = self.redis.owner_of_slot(slot)
			moves[slot] = rng.choice([node for node in self.redis.masters() if node is not owner])
			self.redis.move_slot(slot, moves[slot])
		self.redis.settle_moves(moves.items())
