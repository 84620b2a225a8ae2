"""The real binary, in a private folder, on a port of its own."""

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile

from . import process

BINARY = os.environ.get("FANFARE", "build/debug/fanfare")
# What its processes execute, if that is something else, because BINARY runs it under valgrind.
EXECUTABLE = os.environ.get("TESTED_EXECUTABLE", BINARY)
SANITIZER_REPORT = re.compile(r"ERROR: \w+Sanitizer|runtime error:|Assertion `")

# Nothing is kept for a debugger: an abort in a test is read in the log.
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def run(*arguments, input=None, timeout=60.0, env=None):
	"""Runs `fanfare ARGUMENTS` to its end; returns the CompletedProcess with text output."""
	return subprocess.run(
		[BINARY, *map(str, arguments)], input=input, capture_output=True, text=True, timeout=process.patience(timeout),
		env=os.environ | ENVIRONMENT | (env or {}))


def check(folder, config):
	"""The exit code of `fanfare check` and its complaints; the configuration becomes a file in the folder."""
	path = os.path.join(folder, "fanfare.yaml")
	with open(path, "w") as f:
		json.dump(config, f)
	done = run("check", "--config", path)
	return done.returncode, done.stderr


def merge(base, changes):
	"""A copy of the nested dictionary with the changes put in; lists are replaced."""
	merged = dict(base)
	for key, value in changes.items():
		if isinstance(value, dict) and isinstance(merged.get(key), dict):
			value = merge(merged[key], value)
		merged[key] = value
	return merged


# Clients that a test leaves behind shall not hold up the end of it.
QUICK_END = {"shutdown": {"timeout": "1s"}}

# Everybody may do what this broker can do: most tests are about something else than permissions. The empty page of the
# browser has the origin null.
OPEN = {
	"client": {"allow_anonymous_connect_without_token": True, "allowed_origins": ["*", "null"]},
	"channel": {
		"without_namespace": {
			"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
			"allow_publish_for_client": True, "allow_publish_for_anonymous": True,
		},
	},
}

# To be put over OPEN: channels with history, whose subscribers miss nothing.
HISTORY = {
	"channel": {"without_namespace": {
		"history_size": 10000, "history_ttl": "10m", "force_positioning": True, "force_recovery": True,
		"allow_history_for_client": True, "allow_history_for_anonymous": True,
	}},
	# Who follows it under load reads when that is over, however long it took, and answers no ping meanwhile.
	"client": {"recovery_max_publication_limit": 10000, "queue_max_size": "128MiB", "ping_interval": "0s"},
}


# To be put over OPEN where much is asked of Redis at once: a machine that is busy with other things, too, may need long for
# that, and this is no failure.
PATIENT = {"redis": {"call_timeout": "60s", "canary_timeout": "60s"}}


class Broker:
	"""serve with a configuration (a nested dictionary, put over OPEN). Ready when the constructor returns.

	stop() must be called, as a rule by `with`: it fails when a process had a sanitizer report, did not leave in time or left
	one behind. Call from the main thread.
	"""

	def __init__(self, config=None, redis=None, workers=1, arguments=(), wait=True, base=OPEN, dev=False, env=None):
		self.port = process.free_port()
		self.workers_wanted = workers
		self.folder = tempfile.TemporaryDirectory(prefix="fanfare-test-")
		os.chmod(self.folder.name, 0o711)  # the broker may become another user
		self.log_path = os.path.join(self.folder.name, "log")
		self.config_path = os.path.join(self.folder.name, "config.yaml")
		self.runtime_path = os.path.join(self.folder.name, "run")
		known = getattr(redis, "config", {})
		with open(self.config_path, "w") as f:
			json.dump(merge(merge(merge(QUICK_END, base), known), config or {}), f, indent=1)  # JSON is YAML, too
		self.arguments = [
			"serve", "--config", self.config_path, "--listen", f"127.0.0.1:{self.port}", "--workers", workers,
			"--runtime-dir", self.runtime_path, *arguments]
		url = redis if isinstance(redis, str) else getattr(redis, "url", None)
		if url:
			self.arguments += ["--redis", url]
		if dev:
			self.arguments.append("--dev")
		self.env = os.environ | ENVIRONMENT | (env or {})
		self.process = None
		self.start(wait)

	def start(self, wait=True):
		with open(self.log_path, "a") as log:
			self.process = process.spawn(
				[BINARY, *self.arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
		if wait:
			self.wait_ready()

	def wait_ready(self, timeout=30.0):
		process.wait_until(self._all_ready, f"broker ready; its log: {self.log()[-3000:]}", timeout)

	def _all_ready(self):
		"""The kernel spreads connections over the workers by port number: ask often enough to meet each of them."""
		self.check_running()
		return all(self.ready()[0] == 200 for _ in range(1 if self.workers_wanted == 1 else 6 * self.workers_wanted))

	def wait_not_ready(self, timeout=30.0):
		"""All workers know that they cannot do their work."""
		process.wait_until(lambda: all(self.ready()[0] == 503 for _ in range(10)), "all workers know", timeout)

	def check_running(self):
		assert self.process.poll() is None, f"broker ended with {self.process.returncode}: {self.log()[-3000:]}"

	def ready(self):
		"""(status, body) of /health/ready; (None, why) when there is no answer."""
		try:
			return self.get("/health/ready")
		except (OSError, http.client.HTTPException) as error:
			return None, str(error)

	def get(self, path, timeout=15.0):
		connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=process.patience(timeout))
		try:
			connection.request("GET", path)
			response = connection.getresponse()
			return response.status, response.read().decode()
		finally:
			connection.close()

	@property
	def url(self):
		return f"ws://127.0.0.1:{self.port}/connection/websocket"

	@property
	def pid(self):
		return self.process.pid

	def worker_pids(self):
		binary = os.path.realpath(EXECUTABLE)
		return [pid for pid in process.children(self.pid) if process.executable(pid) == binary]

	def redis_pids(self):
		workers = self.worker_pids()
		return [
			pid for pid in process.children(self.pid) if pid not in workers and "redis-server" in process.command_line(pid)]

	def log(self):
		with open(self.log_path, errors="replace") as f:
			return f.read()

	def stop(self, sig=signal.SIGTERM, timeout=30.0):
		"""Returns the exit code."""
		family = process.descendants(self.pid)
		try:
			code = process.stop(self.process, sig, timeout)
			process.wait_until(
				lambda: not any(map(process.alive, family)), "all processes of the broker leave", timeout)
		except process.Timeout as trouble:
			raise process.Timeout(f"{trouble}\nlog: {self.log()[-3000:]}") from None
		finally:
			for pid in filter(process.alive, family):
				os.kill(pid, signal.SIGKILL)
		self.check_log()
		return code

	def check_log(self):
		report = SANITIZER_REPORT.search(self.log())
		assert not report, "broker log:\n" + self.log()[max(0, report.start() - 500):report.start() + 6000]

	def __enter__(self):
		return self

	def __exit__(self, kind, *_):
		try:
			self.stop()
		except AssertionError:
			if kind is None:
				raise
		if kind is not None:
			print(f"--- log of broker on port {self.port} ---\n{self.log()[-6000:]}")
		self.folder.cleanup()
