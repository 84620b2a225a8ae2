"""A Redis Cluster of real redis-servers, and a client for it of a few lines."""

import binascii
import time

from . import process
from .redis_server import RedisClient, RedisError, RedisServer, tls_arguments, tls_config

SLOTS = 16384

HOPS_MAX = 1000  # from one node to another, until two send each other whoever asks
# Errors of a node that has done nothing, and may do it later.
AGAIN = ("TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN")


def slot_of(key):
	key = key if isinstance(key, bytes) else str(key).encode()
	begin = key.find(b"{")
	end = key.find(b"}", begin + 1) if begin >= 0 else -1
	return binascii.crc_hqx(key[begin + 1:end] if end > begin + 1 else key, 0) % SLOTS


def key_of(words):
	"""FCALL function 1 key; all other commands that tests use have their key behind the name."""
	return words[3] if str(words[0]).upper() in ("FCALL", "EVALSHA") else words[1]


class ClusterNode(RedisServer):
	"""Keeps its port, its id and what it knows of the others over kill() and start(). authority: it speaks TLS to all but the
	test itself, with the certificate "redis"."""

	def __init__(self, *arguments, node_timeout_ms=3000, password=None, authority=None):
		self.bus_port, self.password = process.free_port(), password
		self.tls_port = process.free_port() if authority else None
		if authority:
			arguments += ("--tls-cluster", "yes", "--tls-replication", "yes", *tls_arguments(authority, self.tls_port))
		if password:
			arguments += ("--requirepass", password, "--masterauth", password)
		super().__init__(
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", self.bus_port,
			"--cluster-node-timeout", node_timeout_ms, "--cluster-replica-validity-factor", "0",
			"--cluster-allow-replica-migration", "no",
			"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--bind", "127.0.0.1 127.0.0.2", *arguments)
		self.id = self.call("CLUSTER", "MYID").decode()

	@property
	def service_port(self):
		"""Where brokers and other nodes reach it."""
		return self.tls_port or self.port

	def connect(self, timeout=15.0):
		client = RedisClient(self.port, timeout)
		if self.password:
			client.call("AUTH", self.password)
		return client

	def call(self, *words):
		self._client = self._client or self.connect()
		return super().call(*words)

	def alive(self):
		return self.process.poll() is None

	def ask(self, *words, timeout=5.0):
		"""As call(), over a connection of its own; None when it does not answer."""
		try:
			client = self.connect(timeout)
			try:
				return client.call(*words)
			finally:
				client.close()
		except (OSError, RedisError):
			return None


class ClusterClient:
	"""Connections of its own to all nodes: for one thread. Follows MOVED and ASK, and tries again where told to."""

	def __init__(self, cluster, timeout=15.0, patience=60.0):
		self.cluster, self.timeout, self.patience = cluster, timeout, patience
		self.connections, self.owners = {}, {}

	def call(self, *words):
		return self.call_with_key(key_of(words), *words)

	def call_with_key(self, key, *words):
		"""Only what was not carried out is tried again: a connection that breaks raises OSError."""
		slot, deadline = slot_of(key), process.now() + self.patience
		port, asking, hops = self.owners.get(slot) or self._ask_for(slot), False, 0
		while True:
			try:
				return self._call(port, asking, words)
			except RedisError as error:
				kind, *rest = str(error).split(" ")
				if kind not in ("MOVED", "ASK") and (kind not in AGAIN or process.now() > deadline):
					raise
			asking = kind == "ASK"
			if kind in ("MOVED", "ASK"):
				port = int(rest[1].rsplit(":", 1)[1])
			else:
				port = self.owners.get(slot, port)
				time.sleep(0.01)
			if kind == "MOVED":
				self.owners[slot] = port
				hops += 1
				assert hops < HOPS_MAX, f"nodes send each other who asks for slot {slot}"

	def _ask_for(self, slot):
		"""Not any node will do: a replica takes SPUBLISH, too, and answers how many it has told itself."""
		owner = self.cluster.find_owner(slot)
		if not owner:
			raise ConnectionError("no node answers")
		return owner.port

	def _call(self, port, asking, words):
		try:
			connection = self.connections.get(port) or self.cluster.node_at(port).connect(self.timeout)
			self.connections[port] = connection
			if asking:
				connection.call("ASKING")
			return connection.call(*words)
		except OSError:
			self.drop(port)
			self.owners.clear()
			raise

	def drop(self, port):
		connection = self.connections.pop(port, None)
		if connection:
			connection.close()

	def close(self):
		for port in list(self.connections):
			self.drop(port)


class RedisCluster:
	"""Slots spread evenly, every node knowing all others, when the constructor returns. Call from the main thread, but
	for connect()."""

	name = "cluster"
	url = None

	def __init__(self, masters=3, replicas=3, arguments=(), node_timeout_ms=3000, password=None, authority=None):
		self.arguments = arguments
		self.options = {"node_timeout_ms": node_timeout_ms, "password": password, "authority": authority}
		self.nodes = []
		self._client = None
		try:
			for _ in range(masters + replicas):
				self.nodes.append(ClusterNode(*arguments, **self.options))
			self._create(self.nodes[:masters], self.nodes[masters:])
		except BaseException:
			self.stop()
			raise

	def _create(self, masters, replicas):
		for epoch, node in enumerate(self.nodes, 1):
			node.call("CLUSTER", "SET-CONFIG-EPOCH", epoch)
		self._introduce(*self.nodes[1:])
		for i, master in enumerate(masters):
			first, end = SLOTS * i // len(masters), SLOTS * (i + 1) // len(masters)
			master.call("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
		self._agree()
		for i, replica in enumerate(replicas):
			replica.call("CLUSTER", "REPLICATE", masters[i % len(masters)].id)
		self.wait_healthy()

	def _introduce(self, *nodes):
		for node in nodes:
			self.nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.service_port, node.bus_port)
		process.wait_until(
			lambda: all(len(self._known(node)) == len(self.nodes) for node in self.nodes), "the nodes know each other", 60)

	def _known(self, node):
		lines = (node.ask("CLUSTER", "NODES") or b"").decode().splitlines()
		return [line for line in lines if "handshake" not in line and "noaddr" not in line]

	def _agree(self):
		"""Every node that lives has every slot at the same master."""
		process.wait_until(self._agreed, "all nodes have the same map of the slots", 60)

	def _agreed(self):
		maps = [self._map(node) for node in self.nodes if node.alive()]
		return all(maps) and all(m == maps[0] for m in maps) and sum(end - first + 1 for first, end, _ in maps[0]) == SLOTS

	def _map(self, node):
		"""[(first, last, port of the master)], in order, joined."""
		joined = []
		for first, end, master, *_ in sorted(node.ask("CLUSTER", "SLOTS") or []):
			if joined and joined[-1][2] == master[1] and joined[-1][1] + 1 == first:
				first = joined.pop()[0]
			joined.append((first, end, master[1]))
		return joined

	def wait_healthy(self):
		"""All agree, the state is ok, and every replica that lives follows its master."""
		self._agree()
		process.wait_until(lambda: all(map(self._well, self.nodes)), "all nodes of the cluster are well", 60)

	def _well(self, node):
		if not node.alive():
			return True
		if b"cluster_state:ok" not in (node.ask("CLUSTER", "INFO") or b""):
			return False
		role = node.ask("ROLE")
		return bool(role) and (role[0] == b"master" or role[3] == b"connected")

	# --- what brokers and tests use ---

	@property
	def config(self):
		redis = {"cluster_address": [f"127.0.0.1:{node.service_port}" for node in self.nodes[:2]]}
		if self.options["password"]:
			redis["password"] = self.options["password"]
		if self.options["authority"]:
			redis["tls"] = {"enabled": True} | tls_config(self.options["authority"])
		return {"redis": redis}

	def ports(self):
		return [node.port for node in self.nodes if node.alive()]

	def connect(self, timeout=15.0):
		return ClusterClient(self, timeout)

	def call(self, *words):
		self._client = self._client or self.connect()
		return self._client.call(*words)

	def publish(self, channel, data, prefix="fanfare:"):
		"""Returns the number of connections that got it."""
		return self.call("SPUBLISH", prefix + channel, data)

	# --- who has what ---

	def node_at(self, port):
		return next(node for node in self.nodes if node.port == port)

	def masters(self):
		"""Those that have slots, as the first node that answers sees it."""
		for node in self.nodes:
			seen = node.alive() and self._map(node)
			if seen:
				return [self.node_at(port) for port in dict.fromkeys(port for _, _, port in seen)]
		raise AssertionError("no node of the cluster answers")

	def find_owner(self, slot, not_asked=None):
		"""None when nobody knows it. For any thread."""
		for node in self.nodes:
			for first, end, port in (self._map(node) if node.alive() and node is not not_asked else []):
				if first <= slot <= end:
					return self.node_at(port)
		return None

	def owner_of_slot(self, slot, not_asked=None):
		owner = self.find_owner(slot, not_asked)
		assert owner, f"nobody has slot {slot}"
		return owner

	def owner_of(self, key):
		return self.owner_of_slot(slot_of(key))

	def replicas_of(self, master):
		lines = [line.split(" ") for line in self._known(master)]
		ids = [words[0] for words in lines if words[3] == master.id and "fail" not in words[2]]
		return [node for node in self.nodes if node.id in ids and node.alive()]

	def channel_at(self, node, start="ch"):
		"""The name of a channel whose slot the node has."""
		return next(name for name in (f"{start}{i}" for i in range(100000)) if self.owner_of("fanfare:" + name) is node)

	# --- what happens to it ---

	def kill_master(self, node):
		"""Returns when its replica has its slots."""
		slots = [first for first, _, port in self._map(node) if port == node.port]
		node.kill()
		self.forget_connections(node)
		self.wait_moved(slots[0], node)

	def forget_connections(self, node):
		if self._client:
			self._client.drop(node.port)
			self._client.owners.clear()

	def _owners(self, slot, but=None):
		"""The port of the slot's owner, as each node that lives has it; None: it knows of none."""
		maps = [self._map(node) for node in self.nodes if node.alive() and node is not but]
		return [next((port for first, end, port in m if first <= slot <= end), None) for m in maps]

	def wait_moved(self, slot, old):
		"""All nodes but the old owner have the slot elsewhere, and agree."""
		def moved():
			owners = set(self._owners(slot, but=old))
			return len(owners) == 1 and not owners & {None, old.port}
		process.wait_until(moved, "another node has the slots", 60)

	def failover(self, master):
		"""As an operator does it. Returns the new master."""
		slot = next(first for first, _, port in self._map(master) if port == master.port)
		[replica, *_] = process.wait_until(lambda: self.replicas_of(master), "the master knows a replica that is well")
		replica.call("CLUSTER", "FAILOVER")
		self.wait_moved(slot, master)
		self._agree()
		return replica

	def begin_move(self, slot, to):
		source = self.owner_of_slot(slot)
		to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
		source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id)
		return source

	def migrate_keys(self, slot, source, to, count=10):
		"""False when none is left."""
		keys = source.call("CLUSTER", "GETKEYSINSLOT", slot, count)
		if keys:
			source.call("MIGRATE", "127.0.0.1", to.service_port, "", 0, 60000, "KEYS", *keys)
		return bool(keys)

	def end_move(self, slot, to):
		for node in [to, *(node for node in self.masters() if node is not to)]:
			node.call("CLUSTER", "SETSLOT", slot, "NODE", to.id)

	def settle_moves(self, moves):
		"""What a node tells of its slots while they move can be overtaken by what it told before. Two can contradict each other for good
		then, each calling the other one the owner, until both are told once more, as redis-cli does it."""
		def settled():
			wrong = [(slot, to) for slot, to in moves if set(self._owners(slot)) != {to.port}]
			for slot, to in wrong:
				self.end_move(slot, to)
			return not wrong
		process.wait_until(settled, "all nodes know where the slots are", 60)

	def move_slot(self, slot, to):
		"""With all that is in it, while it is used."""
		source = self.begin_move(slot, to)
		while self.migrate_keys(slot, source, to):
			pass
		self.end_move(slot, to)

	def add_master(self):
		node = ClusterNode(*self.arguments, **self.options)
		self.nodes.append(node)
		self._introduce(node)
		self.wait_healthy()
		return node

	def remove_master(self, node):
		"""Without slots, and without replicas."""
		self.nodes.remove(node)
		for other in self.nodes:
			other.call("CLUSTER", "FORGET", node.id)
		node.stop()

	def stop(self):
		if self._client:
			self._client.close()
		for node in self.nodes:
			node.stop()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.stop()
