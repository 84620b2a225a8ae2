"""What every end-to-end test has: imports of lib/, and a look at the end that nothing was left running."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from lib import process  # noqa: E402
from lib.certificates import Authority  # noqa: E402
from lib.redis_server import RedisServer  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def nothing_is_orphaned():
	"""Every process that a test started, however indirectly, must be gone when the tests are over."""
	process.adopt_orphans()
	yield
	left = {pid: process.command_line(pid) for pid in process.descendants(os.getpid())}
	for pid in left:
		os.kill(pid, signal.SIGKILL)
	assert not left, f"left running: {left}"


@pytest.fixture(scope="session")
def redis_ca(tmp_path_factory):
	"""The authority of a TlsRedisServer, "redis", and of who connects to it, "user"."""
	authority = Authority(tmp_path_factory.mktemp("redis-ca"), "Redis CA")
	authority.issue("redis", "DNS:localhost", "IP:127.0.0.1")
	authority.issue("user")
	return authority


@pytest.fixture(scope="session")
def redis():
	"""A Redis for tests that do it no harm."""
	with RedisServer() as server:
		yield server
