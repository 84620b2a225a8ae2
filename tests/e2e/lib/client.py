"""The client protocol, JSON, spoken step by step: for tests that look at every message themselves."""

import collections
import contextlib
import itertools
import json

from . import process
from .ws import Closed, Timeout, WebSocket


class Disconnected(AssertionError):
	pass


class ErrorReply(AssertionError):
	def __init__(self, error):
		super().__init__(f"{error['code']}: {error['message']}")
		self.code = error["code"]


class Client:
	"""Connected when the constructor returns, unless connect=False. Pings are answered while it reads."""

	def __init__(self, port, connect=True, **websocket):
		self.ws = WebSocket(port, **websocket)
		self.ids = itertools.count(1)
		self.replies = {}
		self.pushes = collections.deque()
		self.hello = None
		if connect:
			self.hello = self.call("connect", {"name": "e2e"})

	def send(self, name, request):
		"""Returns the id under which reply() finds the answer."""
		id = next(self.ids)
		self.ws.send_text(json.dumps({"id": id, name: request}))
		return id

	def call(self, name, request, timeout=30.0):
		return self.reply(self.send(name, request), name, timeout)

	def reply(self, id, name, timeout=30.0):
		deadline = process.now() + timeout
		while id not in self.replies:
			self._read(deadline)
		reply = self.replies.pop(id)
		if "error" in reply:
			raise ErrorReply(reply["error"])
		return reply[name]

	def push(self, timeout=30.0):
		"""The next push, without its envelope."""
		deadline = process.now() + timeout
		while not self.pushes:
			self._read(deadline)
		return self.pushes.popleft()

	def publication(self, timeout=30.0):
		"""(channel, data) of the next push, which must be a publication."""
		push = self.push(timeout)
		assert "pub" in push, push
		return push["channel"], push["pub"]["data"]

	def publications(self, count, timeout=30.0):
		deadline = process.now() + timeout
		return [self.publication(deadline - process.now()) for _ in range(count)]

	def take_what_came(self):
		"""For who has something else to do for so long that the broker would take it for one that does not read."""
		with contextlib.suppress(Timeout):
			while True:
				self._read(process.now())

	def quiet(self, seconds=0.1):
		"""True when nothing comes for that long: for what the protocol says must not be sent."""
		try:
			return not self.push(seconds)
		except Timeout:
			return True

	def subscribe(self, *channels, timeout=30.0):
		for id in [self.send("subscribe", {"channel": channel}) for channel in channels]:
			self.reply(id, "subscribe", timeout)
		return self

	def unsubscribe(self, channel):
		return self.call("unsubscribe", {"channel": channel})

	def publish(self, channel, data):
		return self.call("publish", {"channel": channel, "data": data})

	def _read(self, deadline):
		message = self.ws.read_message(deadline - process.now())
		if isinstance(message, Closed):
			raise Disconnected(f"{message.code} {message.reason}")
		for line in message.split("\n"):
			self._take(json.loads(line))

	def _take(self, reply):
		if not reply:
			self.ws.send_text("{}")
		elif "push" in reply:
			self.pushes.append(reply["push"])
		else:
			self.replies[reply["id"]] = reply

	def closed(self, timeout=30.0):
		return self.ws.read_closed(timeout)

	def close(self):
		self.ws.close()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()
