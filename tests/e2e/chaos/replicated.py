"""Topologies of several Redis servers that take over from each other. Replication is asynchronous, so what Redis had acknowledged
may be lost when they do; then the judge asks for a signal."""

from lib.redis_server import RedisClient, RedisError

from .faults import REPLICATED

CALL_S = 1.0  # of a publisher: who hangs on a frozen master must look for its successor
EVERYWHERE = REPLICATED - {"sentinel-killed", "slots-moved"} | {
	"calm", "functions-flushed", "subscriber-links-killed", "command-links-killed", "all-links-killed", "subscriber-links-overrun",
	"redis-paused", "redis-flushed", "workers-killed", "workers-frozen", "master-killed", "master-frozen", "broker-restarted",
	"clock-of-brokers-set"}


class Replicated:
	program_arguments = ()
	loses_on_failover = True
	proxies = ()

	def address(self, broker):
		"""A broker finds Redis by its configuration."""
		return None

	@property
	def config(self):
		return self.redis.config

	def redirected(self, client, error):
		"""A master that became a replica says so: its successor is to be found."""
		client.close()
		return None

	def is_current(self, client):
		"""A node that does not have the slot any more says so itself."""
		return True

	def replaced_since(self, moment, leaders):
		"""Whether others than those lead now, or did in between."""
		return self.leaders() != leaders

	def command(self, *words):
		"""On every server that may write, or has clients."""
		for server in self.servers():
			try:
				connection = RedisClient(server.port, 60)
				try:
					connection.call(*words)
				finally:
					connection.close()
				server.disconnect()  # which may be among those that were killed
			except (OSError, RedisError) as error:
				if "READONLY" not in str(error):
					raise

	def start_again(self, server):
		server.start()
		self.redis.wait_healthy()

	def settle(self):
		self.redis.wait_healthy()

	def thaw(self, server):
		server.thaw()
		self.redis.wait_healthy()

	def stop(self):
		self.redis.stop()
