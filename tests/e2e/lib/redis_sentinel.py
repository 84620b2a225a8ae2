"""One master, its replicas, and the Redis Sentinels that watch over them."""

import os
import signal
import tempfile

from . import process
from .redis_server import RedisClient, RedisError, RedisServer, TlsRedisServer, tls_config

MASTER_NAME = "main"

# What a client of sentinels must be allowed.
MINIMAL_RIGHTS = (
	"resetchannels &* -@all +client|setname +ping +role +subscribe +sentinel|myid +sentinel|master "
	"+sentinel|get-master-addr-by-name +sentinel|sentinels")


class Sentinel:
	"""One redis-server --sentinel; keeps its port and what it knows over kill() and start()."""

	def __init__(self, lines, password=None, port=None):
		self.port = port or process.free_port()
		self.password = password
		self.folder = tempfile.TemporaryDirectory(prefix="fanfare-sentinel-")
		self.file = os.path.join(self.folder.name, "sentinel.conf")
		with open(self.file, "w") as f:
			f.write("\n".join([f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder.name}", *lines]) + "\n")
		self.process = None
		self.start()

	def start(self):
		log = os.path.join(self.folder.name, "log")
		self.process = process.spawn(["redis-server", self.file, "--sentinel", "--logfile", log])
		process.wait_until(self._answers, f"the sentinel on port {self.port} answers")

	def _answers(self):
		assert self.process.poll() is None, f"the sentinel ended with {self.process.returncode}"
		try:
			return self.call("PING") == "PONG"
		except (OSError, RedisError):
			return False

	def call(self, *words, timeout=2.0):
		client = RedisClient(self.port, timeout)
		try:
			if self.password:
				client.call("AUTH", self.password)
			return client.call(*words)
		finally:
			client.close()

	def fields(self):
		"""What it knows of the master."""
		words = self.call("SENTINEL", "MASTER", MASTER_NAME)
		return dict(zip(map(bytes.decode, words[::2]), map(bytes.decode, words[1::2])))

	def master_port(self):
		"""None when it does not answer."""
		try:
			return int(self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME, timeout=0.5)[1])
		except (OSError, RedisError, TypeError):
			return None

	def kill(self):
		process.stop(self.process, signal.SIGKILL)

	def freeze(self):
		self.process.send_signal(signal.SIGSTOP)

	def thaw(self):
		self.process.send_signal(signal.SIGCONT)

	def stop(self):
		if self.process.poll() is None:
			self.thaw()
		self.kill()
		self.folder.cleanup()


class RedisSentinels:
	"""Ready, with every sentinel knowing all replicas and the other sentinels, when the constructor returns.

	password: of the Redis servers. sentinel_password: of the sentinels; with sentinel_user it is that of a user who may do
	no more than a client of sentinels must. authority: then everything speaks TLS, with certificates of "redis".
	"""

	name = "sentinel"

	def __init__(
			self, replicas=2, sentinels=3, arguments=(), password=None, sentinel_password=None, sentinel_user=None,
			rights=MINIMAL_RIGHTS, authority=None, down_after_ms=1000, failover_timeout_ms=2000):
		self.password, self.sentinel_password, self.sentinel_user = password, sentinel_password, sentinel_user
		self.rights, self.authority = rights, authority
		self.servers, self.sentinels = [], []
		self.arguments = [*arguments, "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
		if password:
			self.arguments += ["--masterauth", password, "--requirepass", password]
		try:
			for _ in range(1 + replicas):
				self.servers.append(self._server())
			for _ in range(sentinels):
				self.sentinels.append(self._sentinel(down_after_ms, failover_timeout_ms))
			self.wait_healthy()
		except BaseException:
			self.stop()
			raise

	# --- starting ---

	def _server(self):
		arguments = list(self.arguments)
		if self.servers:
			arguments += ["--replicaof", "127.0.0.1", self._service_port(self.servers[0])]
		if not self.authority:
			return Server(self.password, *arguments)
		tls_port = process.free_port()
		return TlsServer(
			self.password, self.authority, *arguments, "--tls-replication", "yes", "--replica-announce-port", tls_port,
			tls_port=tls_port)

	def _service_port(self, server):
		"""The one that sentinels name."""
		return server.tls_port if self.authority else server.port

	def _sentinel(self, down_after_ms, failover_timeout_ms):
		lines = [
			f"sentinel monitor {MASTER_NAME} 127.0.0.1 {self._service_port(self.servers[0])} 2",
			f"sentinel down-after-milliseconds {MASTER_NAME} {down_after_ms}",
			f"sentinel failover-timeout {MASTER_NAME} {failover_timeout_ms}",
			f"sentinel parallel-syncs {MASTER_NAME} 2"]
		if self.password:
			lines.append(f"sentinel auth-pass {MASTER_NAME} {self.password}")
		if self.sentinel_password:
			lines.append(f"requirepass {self.sentinel_password}")
		if self.sentinel_user:
			lines.append(f"user {self.sentinel_user} on >{self.sentinel_password} {self.rights}")
		if self.authority:
			base = self.authority.path("redis")
			lines += [
				f"tls-port {process.free_port()}", f"tls-cert-file {base}.pem", f"tls-key-file {base}.key",
				f"tls-ca-cert-file {self.authority.file}", "tls-replication yes"]
		return Sentinel(lines, self.sentinel_password)

	def wait_healthy(self, timeout=30.0):
		"""One master that all sentinels know, with all its replicas in step."""
		process.wait_until(self._is_healthy, "the sentinels see a master with its replicas", timeout)

	def _is_healthy(self):
		try:
			ports = {sentinel.master_port() for sentinel in self.sentinels}
			return len(ports) == 1 and None not in ports and all(map(self._sees_all, self.sentinels)) and \
				self._replicas_in_step() == len(self.servers) - 1
		except (OSError, RedisError):
			return False

	def _sees_all(self, sentinel):
		fields = sentinel.fields()
		return fields["flags"] == "master" and int(fields["num-slaves"]) >= len(self.servers) - 1 and \
			int(fields["num-other-sentinels"]) >= len(self.sentinels) - 1

	def _replicas_in_step(self):
		info = self.master().call("INFO", "replication").decode()
		return info.count("state=online")

	# --- what a broker needs to know ---

	url = None  # the sentinels know it

	def address(self, broker=0):
		"""There is none."""
		return None

	@property
	def config(self):
		redis = {
			"sentinel_address": [f"127.0.0.1:{self._sentinel_port(sentinel)}" for sentinel in self.sentinels],
			"sentinel_master_name": MASTER_NAME}
		if self.password:
			redis["password"] = self.password
		if self.sentinel_password:
			redis["sentinel_password"] = self.sentinel_password
		if self.sentinel_user:
			redis["sentinel_user"] = self.sentinel_user
		if self.authority:
			tls = {"enabled": True} | tls_config(self.authority)
			redis |= {"tls": tls, "sentinel_tls": tls}
		return {"redis": redis}

	def _sentinel_port(self, sentinel):
		if not self.authority:
			return sentinel.port
		with open(sentinel.file) as f:
			return next(int(line.split()[1]) for line in f if line.startswith("tls-port "))

	# --- what there is ---

	def master(self):
		"""The server that the sentinels name."""
		ports = [port for port in (sentinel.master_port() for sentinel in self.sentinels) if port]
		named = max(set(ports), key=ports.count) if ports else None
		return next(
			(server for server in self.servers if self._service_port(server) == named), self.servers[0])

	def epoch(self):
		"""Of the last failover that a sentinel has heard of."""
		return max(int(sentinel.fields()["config-epoch"]) for sentinel in self.sentinels if sentinel.master_port())

	def replicas(self):
		master = self.master()
		return [server for server in self.servers if server is not master]

	def client(self, channel=None, timeout=5.0):
		"""A connection to the master."""
		return self.master().connect(timeout)

	def call(self, *words):
		return self.master().call(*words)

	def role_masters(self):
		"""Those servers that think they are the master, of those that answer."""
		return [server for server in self.servers if server.role() == "master"]

	# --- faults ---

	def kill_master(self):
		"""Returns the server, which has no successor yet."""
		master = self.master()
		master.kill()
		return master

	def freeze_master(self):
		master = self.master()
		master.freeze()
		return master

	def failover(self):
		"""By command; returns the old master when the new one has taken over."""
		old = self.master()
		process.wait_until(self._begins_failover, "a sentinel begins a failover", timeout=30)
		self.wait_promoted(old)
		return old

	def _begins_failover(self):
		"""Not while one is under way, or no replica looks good."""
		try:
			return self.sentinels[0].call("SENTINEL", "FAILOVER", MASTER_NAME) == "OK"
		except RedisError:
			return False

	def failover_when_healthy(self):
		"""The same, after the last old master has become a replica."""
		self.wait_healthy(60)
		return self.failover()

	def wait_promoted(self, old, timeout=30.0):
		"""A server other than the old master accepts writes. Looks often, as figures are counted from then on."""
		others = [server for server in self.servers if server is not old]
		return process.wait_until(
			lambda: next((server for server in others if server.role() == "master"), None), "a new master", timeout, 0.005)

	def stop(self):
		for one in self.sentinels + self.servers:
			one.stop()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.stop()


class WithPassword:
	"""What a server of a group does beside what a single one does."""

	def call(self, *words):
		"""Over a connection that is kept, but that sentinels cut when they change its role."""
		for _ in range(2):
			self._client = self._client or self.connect()
			try:
				return self._client.call(*words)
			except ConnectionError:
				self.disconnect()
		raise ConnectionError("Redis closes each connection")

	def connect(self, timeout=5.0):
		client = RedisClient(self.port, timeout)
		if self.password:
			client.call("AUTH", self.password)
		return client

	def role(self):
		"""What it says it is; None when it does not answer."""
		try:
			client = self.connect(0.2)
			try:
				return client.call("ROLE")[0].decode()
			finally:
				client.close()
		except (OSError, RedisError):
			return None

	def stop(self):
		if self.process.poll() is None:
			self.thaw()
		self.kill()
		self.folder.cleanup()


class Server(WithPassword, RedisServer):
	def __init__(self, password, *arguments, **options):
		self.password = password
		super().__init__(*arguments, **options)


class TlsServer(WithPassword, TlsRedisServer):
	def __init__(self, password, *arguments, **options):
		self.password = password
		super().__init__(*arguments, **options)
