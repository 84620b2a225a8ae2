"""Replays one recorded conversation against a broker. What the parts of a scenario mean: conversations/README.md."""

import base64
import http.client
import json
import random
import re
import string
import time

from . import fossil, matching, process, token
from .ws import BINARY, TEXT, Closed, Timeout, WebSocket

SETTLE_S = 0.1  # how long to listen after the last step for what must not come
ORDERS = {
	None: matching.matches_in_order, True: matching.matches_interleaved, "any": matching.matches_any_order}


def ceiling(step):
	"""How long its messages are waited for, in seconds: longer than the broker whose answers were recorded took for them, because
	the machine may be busy with other things."""
	return 5 * step.get("timeout_ms", 4000) / 1000


def to_json(value):
	return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class Mismatch(AssertionError):
	pass


class Line:
	"""One connection of the scenario: messages one by one, pings out of the way unless they are part of it."""

	def __init__(self, port, step):
		self.ws = WebSocket(
			port, step.get("path", "/connection/websocket"), query=step.get("query"),
			subprotocols=step.get("subprotocols"))
		self.manual_pings = step.get("pings") == "manual"
		self.waiting = []
		self.over = False
		self.payloads = {}  # by channel, the last one, for patches

	def next(self, deadline):
		"""The next message as text, or Closed. Timeout when neither comes."""
		while True:
			if not self.waiting:
				message = self.ws.read_message(deadline - process.now())
				if isinstance(message, Closed):
					return message
				assert isinstance(message, str), f"a binary message: {message!r}"
				self.waiting = message.split("\n")
			text = self.waiting.pop(0)
			if self.manual_pings or text.strip() != "{}":
				return text
			self.ws.send_text("{}")


class Replay:
	def __init__(self, scenario, port, redis, prefix="fanfare:", secret="secret", api_key=""):
		self.port, self.redis, self.prefix, self.secret, self.api_key = port, redis, prefix, secret, api_key
		self.run = "".join(random.choices(string.ascii_lowercase + string.digits, k=10))
		self.scenario = json.loads(self._expand(json.dumps(scenario)))
		self.lines = {}
		self.bound = {}
		self.tokens = {}

	def _expand(self, text):
		text = text.replace("<run>", self.run)
		return re.sub(r"<repeat:(\d+):(.)>", lambda m: m[2] * int(m[1]), text)

	def play(self):
		try:
			for number, step in enumerate(self.scenario["steps"], 1):
				self._do(number, step)
			for name, line in self.lines.items():
				if not line.over:
					self._quiet(line, SETTLE_S, f"after the last step, on {name}")
		finally:
			for line in self.lines.values():
				line.ws.close()

	def _do(self, number, step):
		kind = next(iter(step))
		try:
			getattr(self, f"_step_{kind}")(step)
		except (Mismatch, Timeout, OSError) as trouble:
			raise Mismatch(f"step {number} {json.dumps(step)[:600]}: {trouble}") from trouble

	# What is sent: placeholders of known values are put in.

	def _fill_in(self, text):
		text = re.sub(r"<token:(\w+)>", lambda m: self._token(m[1]), text)
		text = re.sub(r'"<unix:([+-]\d+)>"', lambda m: str(int(time.time()) + int(m[1])), text)
		text = re.sub(r'"(<id:\d+>)"', lambda m: str(self.bound[m[1]]), text)
		return matching.CHOSEN.sub(lambda m: str(self.bound[m[0]]), text)

	def _token(self, name):
		if name not in self.tokens:
			claims = dict(self.scenario["tokens"][name])
			secret = claims.pop("_secret", self.secret)
			for moment in ("exp", "expire_at", "nbf", "iat"):
				if isinstance(claims.get(moment), str):
					claims[moment] = int(time.time()) + int(claims[moment])
			self.tokens[name] = token.sign(json.loads(self._fill_in(json.dumps(claims))), secret)
		return self.tokens[name]

	# Steps

	def _step_open(self, step):
		filled = step | {"query": {k: self._fill_in(v) for k, v in step.get("query", {}).items()}}
		line = self.lines[step["open"]] = Line(self.port, filled)
		if "subprotocol" in step and line.ws.subprotocol != step["subprotocol"]:
			raise Mismatch(f"the server chose the subprotocol {line.ws.subprotocol!r}")

	def _step_send(self, step):
		ws = self.lines[step["send"]].ws
		opcode = step.get("opcode", TEXT)
		assert opcode in (TEXT, BINARY)
		if "fragments" in step:
			ws.send_fragments([self._fill_in(part).encode() for part in step["fragments"]], opcode)
		elif "hex" in step:
			ws.send_frame(opcode, bytes.fromhex(step["hex"]))
		else:
			texts = step["text"] if isinstance(step["text"], list) else [step["text"]]
			for text in texts:
				ws.send_frame(opcode, self._fill_in(text).encode())

	def _step_recv(self, step):
		parse = matching.parse_raw if "text" in step else matching.parse
		if "text" in step:
			expected = [matching.parse_raw(text) for text in step["text"]]
		else:
			expected = step["messages"]
		texts = self._collect(self.lines[step["recv"]], len(expected), ceiling(step))
		actual = [parse(text) for text in texts]
		order = ORDERS[step.get("unordered") or None]
		found = next(order(expected, actual, self.bound), None)
		if found is None:
			raise Mismatch("got " + " and ".join(texts) + (f" where {self.bound}" if self.bound else ""))
		self.bound = found
		self._apply_patches(self.lines[step["recv"]], actual)

	def _apply_patches(self, line, messages):
		for push in (message["push"] for message in messages if "push" in message and "pub" in message["push"]):
			data, channel = push["pub"]["data"], push.get("channel", push.get("id"))
			if push["pub"].get("delta"):
				try:
					data = fossil.apply(line.payloads[channel].encode(), data.encode()).decode()
					json.loads(data)
				except (fossil.BadPatch, ValueError) as trouble:
					raise Mismatch(f"the patch {data!r} does not apply: {trouble}") from trouble
			line.payloads[channel] = data

	def _collect(self, line, count, timeout):
		deadline = process.now() + timeout
		texts = []
		while len(texts) < count:
			try:
				message = line.next(deadline)
			except Timeout:
				raise Mismatch(f"{len(texts)} of {count} messages came in {timeout} s: {texts}") from None
			if isinstance(message, Closed):
				raise Mismatch(f"{message} after {len(texts)} of {count} messages: {texts}")
			texts.append(message)
		return texts

	def _step_quiet(self, step):
		self._quiet(self.lines[step["quiet"]], step["ms"] / 1000, "in silence")

	def _quiet(self, line, seconds, when):
		try:
			message = line.next(process.now() + seconds / process.SLOWNESS)
		except Timeout:
			return
		raise Mismatch(f"{when}: {message}")

	def _step_closed(self, step):
		line = self.lines[step["closed"]]
		deadline = process.now() + ceiling(step)
		message = line.next(deadline)
		while step.get("drain") and not isinstance(message, Closed):
			message = line.next(deadline)
		line.over = True
		codes = step["code"] if isinstance(step["code"], list) else [step["code"]]
		if not isinstance(message, Closed) or message.code not in codes:
			raise Mismatch(f"got {message}")
		if message.code >= 3000 and step["reason"] not in ("<any>", message.reason):
			raise Mismatch(f"got {message}")

	def _step_close(self, step):
		line = self.lines[step["close"]]
		line.ws.send_close(1000)
		line.over = True

	def _step_drop(self, step):
		line = self.lines[step["drop"]]
		line.ws.break_off()
		line.over = True

	def _step_pause(self, step):
		"""Nothing to do: a connection is read only while a step waits for something on it."""

	_step_resume = _step_pause

	def _step_wait_ms(self, step):
		time.sleep(step["wait_ms"] / 1000)

	# Server actions

	def _step_server(self, step):
		"""What is no tool of the test is a method of the server API."""
		parameters = {name: value for name, value in step.items() if name != "server"}
		tool = getattr(self, f"_server_{step['server']}", None)
		if tool:
			tool(step)
		else:
			self._call_api(step["server"], json.loads(self._fill_in(json.dumps(parameters))))

	def _call_api(self, method, parameters):
		connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=process.patience(30))
		try:
			headers = {"X-API-Key": self.api_key, "Content-Type": "application/json"}
			connection.request("POST", f"/api/{method}", json.dumps(parameters), headers)
			response = connection.getresponse()
			answer = response.read().decode()
		finally:
			connection.close()
		if response.status != 200 or "error" in json.loads(answer):
			raise Mismatch(f"the server API answered {response.status} {answer}")

	def _server_forget_stream(self, step):
		channel = self.prefix + self._fill_in(step["channel"])
		self.redis.call("DEL", f"{{{channel}}}.stream", f"{{{channel}}}.meta")

	def _server_history_remove(self, step):
		self.redis.call("FCALL", "fanfare_history_remove", 1, self.prefix + self._fill_in(step["channel"]))

	def _server_lose_publication(self, step):
		"""Into the history as the function library does it, but not onto the channel."""
		channel = self.prefix + self._fill_in(step["channel"])
		epoch = self.redis.call("HGET", f"{{{channel}}}.meta", "epoch").decode()
		offset = self.redis.call("HINCRBY", f"{{{channel}}}.meta", "offset", 1)
		envelope = b'{"fanfare":1,"offset":%d,"epoch":"%s","data":%s}' % (
			offset, epoch.encode(), self._data(step))
		self.redis.call("XADD", f"{{{channel}}}.stream", f"{offset}-0", "m", envelope)

	def _server_publish(self, step):
		words = ["FCALL", "fanfare_publish", 1, self.prefix + self._fill_in(step["channel"]), self._data(step)]
		if "tags" in step:
			words += ["tags", to_json(step["tags"])]
		if step.get("skip_history"):
			words += ["skip_history", "true"]
		for _ in range(step.get("times", 1)):
			self.redis.call(*words)

	def _data(self, step):
		if "b64data" in step:
			return base64.b64decode(step["b64data"])
		return self._fill_in(step["data_text"] if "data_text" in step else to_json(step["data"])).encode()
