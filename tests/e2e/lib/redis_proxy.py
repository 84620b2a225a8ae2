"""A proxy between a broker and Redis that stalls, cuts and forgets connections, all of them or those of one kind.

It knows which connection is which by the name that a worker gives it: "subs" listens, "calls" commands.
"""

import asyncio
import socket
import struct
import threading

from . import process

LAG_GROWS = 0.5  # seconds a second
LINE_MAX = 10000  # pieces that lag
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset


class _Link:
	"""One proxied connection: worker <-> Redis."""

	def __init__(self, proxy, worker, redis):
		self.proxy, self.worker, self.redis = proxy, worker, redis
		self.kind = None
		self.open = True
		self.forgotten = False
		self.cut_after = None  # bytes that are still passed to the worker
		self.lags_since = None  # it lags: LAG_GROWS times as much as it has done so for
		self.lag_s = 0.0  # otherwise
		self.line = asyncio.Queue(LINE_MAX)  # (when it came, data for the worker)

	def recognize(self, data):
		for kind in ("subs", "calls"):
			if self.kind is None and b"." + kind.encode() in data:
				self.kind = kind

	async def to_redis(self):
		loop = asyncio.get_running_loop()
		try:
			while data := await loop.sock_recv(self.worker, 65536):
				self.recognize(data)
				await self.proxy.flowing.wait()
				if not self.forgotten:
					await loop.sock_sendall(self.redis, data)
		except OSError:
			pass
		self.close()

	async def from_redis(self):
		loop = asyncio.get_running_loop()
		data = None
		while data != b"":
			try:
				data = await loop.sock_recv(self.redis, 65536)
			except OSError:
				data = b""
			if b"marker " in data and self.proxy.at_marker is not None:
				self.lag_s, self.lags_since = 0.0 if self.lags_since else self.proxy.at_marker, None
			await self.line.put((loop.time(), data))

	def lag(self, now):
		return (now - self.lags_since) * LAG_GROWS if self.lags_since else self.lag_s

	async def to_worker(self):
		loop = asyncio.get_running_loop()
		try:
			while True:
				came, data = await self.line.get()
				while loop.time() < came + self.lag(loop.time()):
					await asyncio.sleep(0.01)
				await self.proxy.flowing.wait()
				if not data:
					break
				if self.forgotten:
					continue
				if self.cut_after is not None:
					data = data[:self.cut_after]
					self.cut_after -= len(data)
				await loop.sock_sendall(self.worker, data)
				if self.cut_after == 0:
					break
		except OSError:
			pass
		if not self.forgotten:
			self.close()

	def close(self, reset=False):
		if not self.open:
			return
		self.open = False
		self.proxy.links.discard(self)
		for s in (self.worker, self.redis):
			if reset:
				s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
			# Closing alone would leave the other pump waiting for a descriptor that may soon be somebody else's.
			self.proxy.loop.remove_reader(s)
			self.proxy.loop.remove_writer(s)
			s.close()
		for task in self.tasks:
			task.cancel()

	def forget(self):
		"""Redis sees the end of it, the worker sees nothing, ever."""
		self.forgotten = True
		self.redis.shutdown(socket.SHUT_RDWR)


class RedisProxy:
	"""Listens on a port of its own, in a thread. All methods may be called from any thread, and act at once."""

	def __init__(self, redis_port):
		self.port, self.redis_port = process.free_port(), redis_port
		self.links = set()
		self.at_marker, self.lagging = None, set()
		self.loop = asyncio.new_event_loop()
		self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
		self.thread.start()
		self._do(self._open)

	@property
	def url(self):
		return f"redis://127.0.0.1:{self.port}"

	def _do(self, function, *arguments):
		async def act():
			return function(*arguments)
		return asyncio.run_coroutine_threadsafe(act(), self.loop).result(60)

	def _open(self):
		self.flowing = asyncio.Event()
		self.flowing.set()
		self.listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
		self.listener.setblocking(False)
		self.accepting = self.loop.create_task(self._accept())

	async def _accept(self):
		while True:
			worker, _ = await self.loop.sock_accept(self.listener)
			redis = socket.socket()
			try:
				redis.connect(("127.0.0.1", self.redis_port))  # of a listening socket here: at once, or refused
			except OSError:
				worker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
				worker.close()
				continue
			for s in (worker, redis):
				s.setblocking(False)
				s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
			link = _Link(self, worker, redis)
			link.tasks = [self.loop.create_task(task) for task in (link.to_redis(), link.from_redis(), link.to_worker())]
			self.links.add(link)

	def _each(self, kind, act):
		def act_on_all():
			chosen = [link for link in self.links if kind in (None, link.kind) and not link.forgotten]
			for link in chosen:
				act(link)
			return len(chosen)
		return self._do(act_on_all)

	# These take all connections, or those of a kind, and return how many there were.

	def cut(self, kind=None, reset=False):
		return self._each(kind, lambda link: link.close(reset))

	def cut_inside(self, kind=None, after=1):
		"""Closes each when so many bytes more were passed to the worker: in the middle of what Redis says next."""
		return self._each(kind, lambda link: setattr(link, "cut_after", after))

	def forget(self, kind=None):
		"""Half-open: no byte comes any more, and no end either. New connections work."""
		return self._each(kind, _Link.forget)

	def forgotten(self):
		"""How many half-open connections the worker has not given up yet."""
		return sum(link.forgotten for link in list(self.links))

	def let_lag(self, kind, at_marker=None):
		"""What Redis says on those of that kind comes later and later. at_marker: from the marker of a handover on the new one has a
		lag of so many seconds, and the old one none any more. kind None: nobody lags from now on."""
		def act():
			self.at_marker, self.lagging = at_marker, {link for link in self.links if kind and link.kind == kind}
			for link in self.links:
				link.lags_since, link.lag_s = self.loop.time() if link in self.lagging else None, 0.0
		self._do(act)

	def handed_over(self):
		"""Whether none is left of those that were let lag."""
		return not any(link.open for link in self.lagging)

	def stall(self):
		"""Nothing passes, in no direction, and nothing of new connections."""
		self._do(self.flowing.clear)

	def flow(self):
		self._do(self.flowing.set)

	def close(self):
		def end():
			self.accepting.cancel()
			self.listener.close()
			for link in list(self.links):
				link.close()
		self._do(end)
		self.loop.call_soon_threadsafe(self.loop.stop)
		self.thread.join()
		self.loop.close()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()
