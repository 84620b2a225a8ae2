"""A private redis-server, and a client for it of a few lines."""

import contextlib
import os
import signal
import socket
import tempfile

from . import process


class RedisError(Exception):
	pass


class RedisClient:
	"""One connection, one command at a time: call("PUBLISH", "fanfare:news", b"1")."""

	def __init__(self, port, timeout=20.0):
		self.socket = socket.create_connection(("127.0.0.1", port), timeout)
		self.reader = self.socket.makefile("rb")

	def close(self):
		self.reader.close()
		self.socket.close()

	def call(self, *words):
		self.send(*words)
		return self.reply()

	def send(self, *words):
		parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
		head = b"*%d\r\n" % len(parts)
		self.socket.sendall(head + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))

	def reply(self):
		line = self.reader.readline()
		if not line.endswith(b"\r\n"):
			raise ConnectionError("Redis closed the connection")
		kind, rest = line[:1], line[1:-2]
		if kind == b"+":
			return rest.decode()
		if kind == b"-":
			raise RedisError(rest.decode())
		if kind == b":":
			return int(rest)
		if kind == b"$":
			return None if rest == b"-1" else self.reader.read(int(rest) + 2)[:-2]
		if kind == b"*":
			return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
		raise RedisError(f"not RESP: {line!r}")


class RedisServer:
	"""Starts on a port of its own and keeps it over kill() and start()."""

	def __init__(self, *arguments, port=None, env=None):
		self.port = port or process.free_port()
		self.env = os.environ | (env or {})
		self.folder = tempfile.TemporaryDirectory(prefix="fanfare-redis-")
		self.arguments = arguments
		self.process = None
		self._client = None
		self.start()

	@property
	def url(self):
		return f"redis://127.0.0.1:{self.port}"

	@property
	def config(self):
		"""What a broker needs to know beside the url, as a part of its configuration."""
		return {}

	def start(self):
		log = os.path.join(self.folder.name, "log")
		self.process = process.spawn(
			["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder.name, "--logfile", log,
			 "--save", "", "--appendonly", "no", *self.arguments], env=self.env)
		process.wait_until(self._answers, f"redis-server on port {self.port} answers")

	def _answers(self):
		assert self.process.poll() is None, f"redis-server ended with {self.process.returncode}"
		try:
			return self.call("PING") == "PONG"
		except (OSError, RedisError):
			self.disconnect()
			return False

	def call(self, *words):
		if not self._client:
			self._client = RedisClient(self.port)
		return self._client.call(*words)

	def clients(self):
		"""What CLIENT LIST says, a dictionary for each connection."""
		lines = self.call("CLIENT", "LIST").decode().splitlines()
		return [dict(word.split("=", 1) for word in line.split(" ")) for line in lines]

	def publish(self, channel, data, prefix="fanfare:"):
		"""Returns the number of connections that got it."""
		return self.call("PUBLISH", prefix + channel, data)

	def disconnect(self):
		if self._client:
			self._client.close()
			self._client = None

	def kill(self):
		self.disconnect()
		process.stop(self.process, signal.SIGKILL)

	def freeze(self):
		self.disconnect()
		self.process.send_signal(signal.SIGSTOP)

	def thaw(self):
		self.process.send_signal(signal.SIGCONT)

	@contextlib.contextmanager
	def frozen(self):
		self.freeze()
		try:
			yield
		finally:
			self.thaw()

	def stop(self):
		self.thaw()
		self.kill()
		self.folder.cleanup()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.stop()


def tls_arguments(authority, tls_port, certificate="redis", clients="yes"):
	"""Of a redis-server that speaks TLS there."""
	base = authority.path(certificate)
	return [
		"--tls-port", tls_port, "--tls-cert-file", base + ".pem", "--tls-key-file", base + ".key",
		"--tls-ca-cert-file", authority.file, "--tls-auth-clients", clients]


def tls_config(authority):
	"""What a broker needs to know to speak to it: `redis.tls`."""
	return {
		"server_ca_pem_file": authority.file, "cert_pem_file": authority.path("user.pem"),
		"key_pem_file": authority.path("user.key")}


class TlsRedisServer(RedisServer):
	"""Speaks TLS on tls_port, and asks for certificates of the authority; on `port` it is plain, for what the test itself does."""

	def __init__(self, authority, *arguments, certificate="redis", clients="yes", port=None, tls_port=None):
		self.authority = authority
		self.tls_port = tls_port or process.free_port()
		super().__init__(*arguments, *tls_arguments(authority, self.tls_port, certificate, clients), port=port)

	@property
	def url(self):
		return f"rediss://127.0.0.1:{self.tls_port}"

	@property
	def config(self):
		return {"redis": {"tls": tls_config(self.authority)}}
