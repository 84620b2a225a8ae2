"""The native checker: a light client of the protocol that keeps its positions and recovers, in one thread for all of them."""

import asyncio
import itertools
import json
import struct
import threading
import time

from lib.ws import CLOSE, TEXT, encode_frame, parse_frame

from .probe import end_tasks

HANDSHAKE = (
	b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
REPLY_S = 10.0  # who gets no reply to connect or subscribe within this goes and comes again
RECONNECT_S = 0.05, 0.25
NO_REPLY = 4000  # why it left by itself
RESTLESS = 4001


class Watcher(asyncio.Protocol):
	"""Connects to the brokers by turns, for ever; what comes is written into the record."""

	def __init__(self, record, ports, refused, rng, room):
		self.record, self.refused, self.rng = record, refused, rng
		self.room = room  # a channel that has presence, and in which nothing is published
		self.client, self.stays = None, []  # [client, since when it is in the room, until when; None: it is there]
		self.ports = itertools.cycle(ports)
		self.positions = {}  # channel: [epoch, offset]
		self.transport = None
		self.restless = not record.steady
		self.over = False

	async def run(self):
		while not self.over:
			try:
				await self._connect()
				await self.closed
			except (OSError, asyncio.TimeoutError):
				pass
			await asyncio.sleep(self.rng.uniform(*RECONNECT_S))

	async def _connect(self):
		loop = asyncio.get_running_loop()
		self.closed = loop.create_future()
		self.buffer, self.upgraded, self.code, self.own = bytearray(), False, 1006, False
		self.ids, self.asked = itertools.count(1), {}
		port = next(self.ports)
		try:
			await asyncio.wait_for(loop.create_connection(lambda: self, "127.0.0.1", port), REPLY_S)
		except ConnectionRefusedError:
			self.refused.append((time.monotonic(), port))
			raise
		if self.restless:
			loop.call_later(self.rng.uniform(1, 8), self.leave, RESTLESS, self.transport)

	def leave(self, code, transport):
		if code == RESTLESS and not self.restless:
			return
		if transport is self.transport and not transport.is_closing():
			self.code, self.own = code, True
			transport.abort()

	# --- what the event loop calls ---

	def connection_made(self, transport):
		self.transport = transport
		transport.write(HANDSHAKE)
		self._ask("connect", {"name": self.record.name})
		for channel in [*self.record.events, self.room]:
			self._subscribe(channel)

	def data_received(self, data):
		self.buffer += data
		if not self.upgraded:
			head, end, rest = bytes(self.buffer).partition(b"\r\n\r\n")
			if not end:
				return
			self.upgraded, self.buffer = True, bytearray(rest)
		while frame := parse_frame(self.buffer):
			if frame.opcode == CLOSE:
				self._take_close(frame.payload)
			elif frame.opcode == TEXT:
				for line in frame.payload.split(b"\n"):
					self._take(json.loads(line))

	def _take_close(self, payload):
		if not self.transport.is_closing():
			self.code = struct.unpack(">H", payload[:2])[0] if payload else 1005
			self.transport.write(encode_frame(CLOSE, payload[:2]))
			self.transport.close()

	def connection_lost(self, _):
		for timer, *_ in self.asked.values():
			timer.cancel()
		self.record.down(self.code, self.own)
		self._leave_room()
		if not self.closed.done():
			self.closed.set_result(None)

	# --- the protocol ---

	def _send(self, message):
		if not self.transport.is_closing():
			self.transport.write(encode_frame(TEXT, json.dumps(message).encode()))

	def _ask(self, name, request):
		id = next(self.ids)
		timer = asyncio.get_running_loop().call_later(REPLY_S, self.leave, NO_REPLY, self.transport)
		self.asked[id] = timer, name, request
		self._send({"id": id, name: request})

	def _subscribe(self, channel):
		request = {"channel": channel, "recoverable": True, "positioned": True}
		if channel in self.positions:
			epoch, offset = self.positions[channel]
			request |= {"recover": True, "epoch": epoch, "offset": offset}
		self._ask("subscribe", request)

	def _subscribe_later(self, channel):
		transport = self.transport
		asyncio.get_running_loop().call_later(
			self.rng.uniform(*RECONNECT_S),
			lambda: transport is self.transport and not transport.is_closing() and self._subscribe(channel))

	def _take(self, reply):
		if not reply:
			self._send({})
		elif "push" in reply:
			self._take_push(reply["push"])
		else:
			timer, name, request = self.asked.pop(reply["id"])
			timer.cancel()
			if "error" in reply and name == "subscribe":
				self._subscribe_later(request["channel"])
			elif "error" in reply:
				self.leave(reply["error"]["code"], self.transport)
			elif name == "connect":
				self.client = reply["connect"]["client"]
			elif request["channel"] == self.room:
				self.stays.append([self.client, time.monotonic(), None])
			else:
				self._take_subscribed(request["channel"], reply["subscribe"])

	def _leave_room(self):
		if self.stays and self.stays[-1][2] is None:
			self.stays[-1][2] = time.monotonic()

	def _take_push(self, push):
		channel = push["channel"]
		if "pub" in push:
			self._take_publication(channel, push["pub"])
		elif "unsubscribe" in push and channel == self.room:
			self._leave_room()
			self._subscribe(channel)
		elif "unsubscribe" in push:
			self.record.lost(channel, push["unsubscribe"]["code"])
			self._subscribe(channel)

	def _take_subscribed(self, channel, answer):
		was_recovering, recovered = answer.get("was_recovering", False), answer.get("recovered", False)
		self.record.subscribed(channel, answer.get("epoch"), answer.get("offset", 0), was_recovering, recovered)
		if answer.get("epoch") and not (was_recovering and recovered):
			self.positions[channel] = [answer["epoch"], answer.get("offset", 0)]
		for publication in answer.get("publications", ()):
			self._take_publication(channel, publication)

	def _take_publication(self, channel, publication):
		offset = publication.get("offset")
		if offset is not None:
			self.positions[channel][1] = offset
		self.record.publication(channel, offset, publication["data"]["key"])


class Watchers:
	"""The thread in which they live. It also notices when this machine let it wait: then it is not the broker that was late."""

	STALL_S = 0.25

	def __init__(self):
		self.stalls = []  # (begin, end)
		self.refused = []  # (time, port)
		self.loop = asyncio.new_event_loop()
		self.watchers, self.tasks = [], []
		self.thread = threading.Thread(target=self._run, daemon=True)
		self.thread.start()

	def _run(self):
		self.tasks.append(self.loop.create_task(self._notice_stalls()))
		self.loop.run_forever()

	async def _notice_stalls(self):
		while True:
			before = time.monotonic()
			await asyncio.sleep(0.05)
			if time.monotonic() - before > self.STALL_S:
				self.stalls.append((before, time.monotonic()))

	def add(self, record, ports, rng, room):
		watcher = Watcher(record, ports, self.refused, rng, room)
		self.watchers.append(watcher)
		self.start(watcher.run())

	def settle(self):
		"""From now on nobody leaves without a reason."""
		for watcher in self.watchers:
			watcher.restless = False

	def start(self, coroutine):
		"""Another inhabitant of the thread."""
		self.loop.call_soon_threadsafe(lambda: self.tasks.append(self.loop.create_task(coroutine)))

	def close(self):
		async def end():
			for watcher in self.watchers:
				watcher.over = True
			await end_tasks(self.tasks)
			for watcher in self.watchers:
				if watcher.transport:
					watcher.transport.abort()
			left = asyncio.all_tasks() - {asyncio.current_task()}
			assert not left, f"somebody has stayed: {left}"
		failed = [task.exception() for task in self.tasks if task.done() and not task.cancelled() and task.exception()]
		asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
		self.loop.call_soon_threadsafe(self.loop.stop)
		self.thread.join()
		self.loop.close()
		if failed:
			raise failed[0]
