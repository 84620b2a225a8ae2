"""The SDKs as their users have them, each driven by the same few commands: in Node.js, in Chromium, in Python."""

import itertools
import json
import os
import queue
import subprocess
import sys
import threading

from . import process
from .browser import Browser

FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "sdk")


class Failed(AssertionError):
	def __init__(self, event):
		super().__init__(f"{event.get('code')}: {event.get('message')}")
		self.code = event.get("code")


class Driver:
	"""Events come in order; expect() looks for the next that fits and drops what stands before it."""

	def __init__(self):
		self.events = queue.Queue()
		self.seen = []
		self.ids = itertools.count(1)

	def post(self, command):
		raise NotImplementedError

	def start(self, name, **members):
		id = next(self.ids)
		self.post({"id": id, "do": name} | members)
		return id

	def do(self, name, timeout=30.0, **members):
		"""Runs the command to its end and returns the event of it; raises Failed with the SDK's error. Keeps the events that come
		meanwhile."""
		id, put_back = self.start(name, **members), []
		deadline = process.now() + timeout
		while True:
			event = self._next(deadline, f"the end of {name}")
			if event.get("id") == id:
				break
			put_back.append(event)
		for event in reversed(put_back):
			self.events.queue.appendleft(event)
		if event["event"] == "failed":
			raise Failed(event)
		return event

	def expect(self, name, timeout=30.0, **members):
		wanted = {"event": name} | members
		deadline = process.now() + timeout
		while True:
			event = self._next(deadline, str(wanted))
			if wanted.items() <= event.items():
				return event

	def publications(self, count, timeout=30.0):
		deadline = process.now() + timeout
		return [self.expect("publication", deadline - process.now())["data"] for _ in range(count)]

	def pending(self):
		"""Events that came and were not looked at."""
		return list(self.events.queue)

	def _next(self, deadline, what):
		try:
			event = self.events.get(timeout=process.patience(max(deadline - process.now(), 0.001)))
		except queue.Empty:
			raise process.Timeout(f"{what} did not come; before that: {self.seen[-20:]}") from None
		self.seen.append(event)
		return event

	def close(self):
		raise NotImplementedError

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()


class _Program(Driver):
	def __init__(self, command):
		super().__init__()
		self.process = process.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
		threading.Thread(target=self._read, daemon=True).start()

	def _read(self):
		for line in self.process.stdout:
			self.events.put(json.loads(line))

	def post(self, command):
		self.process.stdin.write(json.dumps(command) + "\n")
		self.process.stdin.flush()

	def close(self):
		self.process.stdin.close()
		try:
			self.process.wait(5)
		except subprocess.TimeoutExpired:
			self.process.kill()
			self.process.wait()


class NodeSdk(_Program):
	def __init__(self, url):
		super().__init__(["node", os.path.join(FOLDER, "node.js"), url])


class PythonSdk(_Program):
	def __init__(self, url):
		super().__init__([sys.executable, os.path.join(FOLDER, "python.py"), url])


class BrowserSdk(Driver):
	"""centrifuge-js from its ready-made file for browsers, in an empty page."""

	def __init__(self, url, flags=()):
		super().__init__()
		self.browser = Browser(flags)
		self.page = self.browser.open()
		self.page.on_binding("emit", lambda text: self.events.put(json.loads(text)))
		for path in (os.path.join(os.environ["NODE_PATH"], "centrifuge/dist/centrifuge.js"),
				os.path.join(FOLDER, "driver.js")):
			with open(path) as f:
				self.page.evaluate(f.read() + "\n;0")
		options = {"minReconnectDelay": 50, "maxReconnectDelay": 500}
		self.page.evaluate(
			f"window.run = sdk_driver(Centrifuge, {json.dumps({'url': url, 'options': options})},"
			" (event) => emit(JSON.stringify(event))); 0")

	def post(self, command):
		self.page.evaluate(f"run({json.dumps(command)}); 0")

	def close(self):
		self.browser.close()


SDKS = {"node": NodeSdk, "browser": BrowserSdk, "python": PythonSdk}
