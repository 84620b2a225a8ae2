"""Headless Chromium over its debugging pipe: open a page, run JavaScript in it, see its errors."""

import itertools
import json
import os
import queue
import subprocess
import tempfile
import threading

from . import process

FLAGS = [
	"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
	"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe"]


class BrowserError(AssertionError):
	pass


class Browser:
	def __init__(self, flags=()):
		self.profile = tempfile.TemporaryDirectory(prefix="fanfare-chromium-", ignore_cleanup_errors=True)
		commands, self._to = os.pipe()
		self._from, answers = os.pipe()
		# Chromium reads commands on descriptor 3 and writes answers on 4.
		self.process = process.spawn(
			["bash", "-c", f'exec chromium "$@" 3<&{commands} 4>&{answers}', "-", *FLAGS, *flags,
			 f"--user-data-dir={self.profile.name}", "about:blank"],
			pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
		os.close(commands)
		os.close(answers)
		self._ids = itertools.count(1)
		self._answers = {}
		self._pages = {}
		self._lock = threading.Lock()
		threading.Thread(target=self._read, daemon=True).start()

	def _read(self):
		with os.fdopen(self._from, "rb") as pipe:
			rest = b""
			while data := pipe.read1(1 << 20):
				*messages, rest = (rest + data).split(b"\0")
				for message in messages:
					self._take(json.loads(message))

	def _take(self, message):
		if "id" in message:
			self._answers.pop(message["id"]).put(message)
		elif message.get("sessionId") in self._pages:
			self._pages[message["sessionId"]]._on_event(message["method"], message["params"])

	def call(self, method, session=None, timeout=60.0, **parameters):
		id, answer = next(self._ids), queue.Queue()
		self._answers[id] = answer
		message = {"id": id, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
		with self._lock:
			os.write(self._to, json.dumps(message).encode() + b"\0")
		try:
			reply = answer.get(timeout=timeout)
		except queue.Empty:
			raise BrowserError(f"no answer from Chromium to {method}") from None
		if "error" in reply:
			raise BrowserError(f"{method}: {reply['error']}")
		return reply["result"]

	def open(self, url="about:blank"):
		target = self.call("Target.createTarget", url="about:blank")["targetId"]
		session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
		page = self._pages[session] = Page(self, session)
		page.prepare()
		if url != "about:blank":
			page.go(url)
		return page

	def close(self):
		family = process.descendants(self.process.pid)
		process.stop(self.process)
		for pid in filter(process.alive, family):
			try:
				os.kill(pid, 9)
			except ProcessLookupError:
				pass
		os.close(self._to)
		self.profile.cleanup()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()


class Page:
	def __init__(self, browser, session):
		self._browser, self._session = browser, session
		self._bindings = {}
		self._loaded = threading.Event()
		self.problems = []  # errors on the console, exceptions that nobody caught, failed requests
		self.upgrades = []  # headers of the answers to WebSocket handshakes, names in lower case

	def _call(self, method, **parameters):
		return self._browser.call(method, self._session, **parameters)

	def prepare(self):
		for domain in ("Page", "Runtime", "Log", "Network"):
			self._call(f"{domain}.enable")

	def go(self, url):
		self._loaded.clear()
		error = self._call("Page.navigate", url=url).get("errorText")
		if error:
			raise BrowserError(f"{url}: {error}")
		if not self._loaded.wait(60):
			raise BrowserError(f"{url} did not load")

	def on_binding(self, name, callback):
		"""Gives the page a function of one string, which calls back here (on another thread)."""
		self._bindings[name] = callback
		self._call("Runtime.addBinding", name=name)

	def evaluate(self, expression):
		"""The value of the expression; of a promise, what it resolves to."""
		result = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
		if "exceptionDetails" in result:
			details = result["exceptionDetails"]
			raise BrowserError(details.get("exception", {}).get("description") or details["text"])
		return result["result"].get("value")

	def wait_for(self, expression, timeout=30.0):
		"""Until the expression is true as JavaScript sees it."""
		process.wait_until(lambda: self.evaluate(f"!!({expression})"), f"in the page: {expression}", timeout, every=0.05)

	def text(self):
		return self.evaluate("document.body.innerText")

	def _on_event(self, method, parameters):
		if method == "Page.loadEventFired":
			self._loaded.set()
		elif method == "Runtime.bindingCalled" and parameters["name"] in self._bindings:
			self._bindings[parameters["name"]](parameters["payload"])
		elif method == "Runtime.exceptionThrown":
			details = parameters["exceptionDetails"]
			self.problems.append(details.get("exception", {}).get("description") or details["text"])
		elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
			self.problems.append(" ".join(str(a.get("value", a.get("description"))) for a in parameters["args"]))
		elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
			self.problems.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
		elif method == "Network.webSocketHandshakeResponseReceived":
			headers = parameters["response"]["headers"]
			self.upgrades.append({name.lower(): value for name, value in headers.items()})
