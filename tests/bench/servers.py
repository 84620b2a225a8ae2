"""What is measured: Fanfare with a Redis beside it, and the two floors. Each is one process on the first processor; Redis and the
clients have the second."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, "build", "release")
os.environ.setdefault("FANFARE", os.path.join(BUILD, "fanfare"))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from lib import process
from lib.broker import Broker
from lib.certificates import Authority
from lib.redis_server import RedisServer

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = CPUS[0], CPUS[-1]

# Nothing but what is measured: no pings in the middle, and no limit that a generator on one address meets.
FANFARE = {
	"client": {"ping_interval": "0s", "channel_limit": 100000},
	"limits": {"commands_per_second": 0, "bytes_per_second": 0},
}
HISTORY = {"channel": {"without_namespace": {"history_size": 1000, "history_ttl": "10m", "force_recovery": True}}}


def merge(*parts):
	merged = {}
	for part in parts:
		for key, value in part.items():
			merged[key] = merge(merged[key], value) if isinstance(value, dict) and key in merged else value
	return merged


@contextmanager
def on(cpu):
	"""What is started within runs there."""
	os.sched_setaffinity(0, {cpu})
	try:
		yield
	finally:
		os.sched_setaffinity(0, CPUS)


def issue_certificate(folder):
	"""A file with certificate and key."""
	return Authority(folder).issue("localhost") + ".both.pem"


class Fanfare:
	"""A master with one worker."""

	def __init__(self, config=None, history=False, listen=None):
		"""`listen` is what stands before a second address, where `second` listens: "tls:" or "deflate:"."""
		self.dialect = "history" if history else "fanfare"
		self.folder = tempfile.TemporaryDirectory(prefix="fanfare-bench-")
		arguments = []
		if listen:
			self.second = f"{listen}127.0.0.1:{process.free_port()}"
			arguments = ["--listen", self.second]
		if listen == "tls:":
			config = merge(config or {}, {"tls": {"cert_pem_file": issue_certificate(self.folder.name)}})
		self.redis_socket = os.path.join(self.folder.name, "redis")
		with on(LOAD_CPU):
			self.redis = RedisServer("--unixsocket", self.redis_socket)
		try:
			with on(SERVER_CPU):
				self.broker = Broker(merge(FANFARE, HISTORY if history else {}, config or {}), self.redis, arguments=arguments)
		except BaseException:
			self.redis.stop()
			raise
		self.port, self.feed = self.broker.port, self.redis.port
		self.apart = [self.redis.process.pid]

	@property
	def pids(self):
		return [self.broker.pid, *self.broker.worker_pids()]

	def __enter__(self):
		return self

	def __exit__(self, *failure):
		try:
			self.broker.__exit__(*failure)
		finally:
			self.redis.stop()
			self.folder.cleanup()


class Second:
	"""The same broker, at its second address."""

	def __init__(self, server):
		self.dialect, self.pids, self.feed, self.apart = server.dialect, server.pids, server.feed, server.apart
		kind, _, port = server.second.rpartition(":")
		self.port = ("tls:" if kind.startswith("tls:") else "") + port


class Floor:
	dialect, apart = "floor", []

	def __init__(self, *kind, tls=False):
		"""kind: "batched" or "pings"; that, it can do over TLS."""
		self.folder = tempfile.TemporaryDirectory(prefix="fanfare-bench-")
		certificate = [issue_certificate(self.folder.name)] if tls else []
		with on(SERVER_CPU):
			self.process = process.spawn(
				[os.path.join(BUILD, "tests/bench/bench_floor"), *kind, *certificate], stdout=subprocess.PIPE, text=True)
		port, self.feed = (int(self.process.stdout.readline()) for _ in range(2))
		self.port = f"tls:{port}" if tls else port
		self.pids = [self.process.pid]

	def __enter__(self):
		return self

	def __exit__(self, *_):
		process.stop(self.process)
		self.folder.cleanup()
