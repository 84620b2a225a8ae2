"""The topology of one master, two replicas and three sentinels."""

import os
import re
import time
from datetime import datetime

from lib import process
from lib.redis_sentinel import RedisSentinels

from .replicated import CALL_S, EVERYWHERE, Replicated
from .single import DURABLE


LOG_LINE = re.compile(r"\d+:\w (\d+ \w+ \d+ [\d:.]+) \S (.*)")


def log_since(one, moment):
	"""Of a server or a sentinel, as (time, text)."""
	with open(os.path.join(one.folder.name, "log"), errors="replace") as f:
		for line in filter(None, map(LOG_LINE.match, f)):
			when = datetime.strptime(line[1], "%d %b %Y %H:%M:%S.%f").timestamp() - time.time() + time.monotonic()
			if when > moment:
				yield when, line[2]


class Sentinels(Replicated):
	name = "sentinel"
	publish_command = "PUBLISH"
	publish_options = ()

	def __init__(self, brokers, env=None):
		self.redis = RedisSentinels(arguments=DURABLE)
		self.replaced_at = 0.0

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

	def is_current(self, client):
		"""A master that was replaced does not know it for ten seconds, and takes what nobody will ever hear."""
		current = client.socket.getpeername()[1] == self.redis.master().port
		if not current:
			self.replaced_at = time.monotonic()
		return current

	def command(self, *words):
		"""The connections of sentinels are spared: without them for a second, they have the master replaced."""
		if words[:3] != ("CLIENT", "KILL", "TYPE"):
			return super().command(*words)
		for server in self.servers():
			for line in server.call("CLIENT", "LIST", "TYPE", words[3]).decode().splitlines():
				client = dict(word.split("=", 1) for word in line.split(" "))
				if not client["name"].startswith("sentinel-"):
					server.call("CLIENT", "KILL", "ID", client["id"], "SKIPME", "yes")

	def a_master(self, rng):
		"""When no other one thinks that it is the master still."""
		process.wait_until(lambda: len(self.redis.role_masters()) == 1, "there is one master", 30)
		return self.redis.master()

	def replaced_since(self, moment, leaders):
		"""What publishers saw counts as well: one that was chosen need not have become it."""
		return self.replaced_at >= moment or self.leaders() != leaders or self._promoted_in_vain(moment)

	def _promoted_in_vain(self, moment):
		"""Whether a replica was made a master, and given up by its sentinel before that had seen it: for a moment it was what brokers
		must follow, and then it was not. One that was given up first, and is a master only then, nobody may follow."""
		promoted = [
			when for server in self.servers() for when, text in log_since(server, moment) if text.startswith("MASTER MODE enabled")]
		for sentinel in self.redis.sentinels if promoted else ():
			begun = None
			for when, text in log_since(sentinel, moment):
				if text.startswith("+failover-state-wait-promotion"):
					begun = when
				elif text.startswith("-failover-abort-slave-timeout") and begun and any(begun < at < when for at in promoted):
					return True
		return False

	def leaders(self):
		"""The epoch tells of a master that was replaced and is master again."""
		return self.redis.master().port, self.redis.epoch()

	def a_replica(self, rng):
		return rng.choice(self.redis.replicas())

	def a_sentinel(self, rng):
		return rng.choice(self.redis.sentinels)

	def wait_replaced(self, old):
		self.redis.wait_promoted(old)

	def replace(self, rng):
		self.redis.failover()
