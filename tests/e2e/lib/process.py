"""Starting and stopping processes so that none outlives the test, however the test ends."""

import contextlib
import ctypes
import fcntl
import itertools
import os
import random
import signal
import socket
import subprocess
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36


class Timeout(AssertionError):
	pass


# How many times slower than usual what is tested may be: under valgrind it is (tests/e2e/valgrind).
SLOWNESS = float(os.environ.get("TESTED_SLOWNESS", "1"))


def now():
	"""The time on the clock by which deadlines are set: it goes as slow as what is tested."""
	return time.monotonic() / SLOWNESS


def patience(seconds):
	"""So many seconds on that clock, for what waits by a real one."""
	return seconds * SLOWNESS


def wait_until(condition, what, timeout=30.0, every=0.02):
	"""Returns the first true value of condition(); Timeout names what did not happen."""
	deadline = now() + timeout
	while True:
		value = condition()
		if value:
			return value
		if now() > deadline:
			raise Timeout(f"not within {timeout} s: {what}")
		time.sleep(every)


def despite_noise(measure, times=5):
	"""measure() asserts something that is read off a clock. It is done again when that does not hold: noise of the machine would
	have to be there each of the times. For what nothing but a clock can tell."""
	for left in reversed(range(times)):
		try:
			return measure()
		except AssertionError as trouble:
			if left == 0:
				raise
			print(f"measured again: {trouble}")


def spawn(command, **options):
	"""Popen of a process that the kernel kills when the thread that started it ends: call it from the main thread."""
	return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)], **options)


def stop(process, sig=signal.SIGTERM, timeout=30.0):
	"""Signals, waits, and kills what does not leave in time (then Timeout). Returns the exit code."""
	if process.poll() is None:
		process.send_signal(sig)
	try:
		return process.wait(patience(timeout))
	except subprocess.TimeoutExpired:
		process.kill()
		process.wait()
		raise Timeout(f"{process.args} did not stop within {timeout} s of signal {sig}") from None


@contextlib.contextmanager
def frozen(pid):
	"""The process stands still in the body, and goes on after it, however that ends."""
	os.kill(pid, signal.SIGSTOP)
	try:
		yield
	finally:
		os.kill(pid, signal.SIGCONT)


def adopt_orphans():
	"""Descendants whose parent dies become our children, so that descendants() still finds them."""
	ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid):
	"""Pids of the living children of a process (all its threads)."""
	found = []
	try:
		for task in os.listdir(f"/proc/{pid}/task"):
			with open(f"/proc/{pid}/task/{task}/children") as f:
				found += map(int, f.read().split())
	except (FileNotFoundError, ProcessLookupError):
		pass
	return [child for child in found if alive(child)]


def descendants(pid):
	found = []
	for child in children(pid):
		found += [child, *descendants(child)]
	return found


def alive(pid):
	"""False for zombies, too: they do nothing any more."""
	try:
		with open(f"/proc/{pid}/stat") as f:
			return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
	except (FileNotFoundError, ProcessLookupError):
		return False


def executable(pid):
	try:
		return os.readlink(f"/proc/{pid}/exe")
	except PermissionError:  # of a process that is not dumpable, for who is not root: what it was started as
		return os.path.realpath(command_line(pid).split(" ")[0])
	except OSError:
		return ""


def command_line(pid):
	try:
		with open(f"/proc/{pid}/cmdline") as f:
			return f.read().replace("\0", " ").strip()
	except OSError:
		return ""


def peer_ports(pid, port):
	"""Of the connections that the process has at this port of 127.0.0.1."""
	names = set()
	for fd in os.listdir(f"/proc/{pid}/fd"):
		with contextlib.suppress(FileNotFoundError):
			names.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
	with open("/proc/net/tcp") as f:
		sockets = [line.split() for line in f][1:]
	return {
		int(socket[2].split(":")[1], 16) for socket in sockets
		if socket[1].endswith(f":{port:04X}") and f"socket:[{socket[9]}]" in names}


def private_bytes(pid):
	"""Memory that belongs to this process alone."""
	total = 0
	with open(f"/proc/{pid}/smaps_rollup") as f:
		for line in f:
			if line.startswith("Private_"):
				total += int(line.split()[1]) * 1024
	return total


_port_locks = {}


def free_port(first=20000, end=30000):
	"""A TCP port that nobody has, and that no other test process will be given while this one lives.

	A bind alone would not do: the broker's sockets are SO_REUSEPORT, so that two brokers of two tests could share a port
	without an error. The ports lie below the range from which the kernel takes those of outgoing connections.
	"""
	folder = os.path.join(tempfile.gettempdir(), f"fanfare-test-ports.{os.getuid()}")
	os.makedirs(folder, exist_ok=True)
	count = end - first
	start = random.randrange(count)
	for port in itertools.islice(itertools.cycle(range(first, end)), start, start + count):
		if port in _port_locks:
			continue
		lock = open(os.path.join(folder, str(port)), "w")
		try:
			fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
			for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
				with socket.socket(family) as s:
					s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
					s.bind((address, port))
		except OSError:
			lock.close()
			continue
		_port_locks[port] = lock
		return port
	raise AssertionError("no free port")
