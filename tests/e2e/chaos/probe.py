"""What the brokers say of themselves, asked all the time, and what they cost."""

import asyncio
import os
import threading
import time

from lib import process
from lib.redis_server import RedisError

REQUEST = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def end_tasks(tasks):
	for task in (tasks := list(tasks)):
		task.cancel()
	await asyncio.gather(*tasks, return_exceptions=True)


class ReadinessProbe:
	"""Asks each broker 20 times a second, over connections of their own, which the kernel spreads over the workers."""

	EVERY_S = 0.05
	IN_FLIGHT = 60  # of a broker that does not answer
	ANSWER_S = 20.0

	def __init__(self, ports):
		self.ports = ports
		self.answers = {port: [] for port in ports}  # (when it was asked, when it answered, status)
		self.refused, self.broken = [], []  # (time, port)
		self.flying = set()

	async def run(self):
		try:
			while True:
				for port in self.ports:
					if len(self.flying) < self.IN_FLIGHT * len(self.ports):
						task = asyncio.get_running_loop().create_task(self._ask(port))
						self.flying.add(task)
						task.add_done_callback(self.flying.discard)
				await asyncio.sleep(self.EVERY_S)
		finally:
			await end_tasks(self.flying)

	async def _ask(self, port):
		asked, writer = time.monotonic(), None
		try:
			async with asyncio.timeout(self.ANSWER_S):
				reader, writer = await asyncio.open_connection("127.0.0.1", port)
				writer.write(REQUEST)
				line = await reader.readline()
			if line:
				self.answers[port].append((asked, time.monotonic(), int(line.split()[1])))
			else:
				self.broken.append((asked, port))
		except ConnectionRefusedError:
			self.refused.append((asked, port))
		except (OSError, TimeoutError):
			self.broken.append((asked, port))
		finally:
			if writer:
				writer.close()

	def all_ready_since(self, since):
		"""Whether every broker answered several times after that moment, and only yes."""
		for port in self.ports:
			late = [status for asked, _, status in self.answers[port][-20:] if asked > since]
			if len(late) < 10 or set(late) != {200}:
				return False
		return True


class PresenceProbe:
	"""Asks Redis again and again who is in a channel."""

	EVERY_S = 0.25
	ANSWER_S = 2.0

	def __init__(self, topology, channel):
		self.topology, self.channel = topology, channel
		self.samples = []  # (when it was asked, when it was answered, {client})
		self.over = threading.Event()
		self.thread = threading.Thread(target=self._run, daemon=True)
		self.thread.start()

	def _run(self):
		connection = None
		while not self.over.wait(self.EVERY_S):
			asked = time.monotonic()
			try:
				connection = connection or self.topology.client(self.channel, self.ANSWER_S)
				flat = connection.call("FCALL", "fanfare_presence", 1, f"fanfare:{self.channel}")
				if not self.topology.is_current(connection):
					raise ConnectionError("what a master that was replaced says is what was")
				self.samples.append((asked, time.monotonic(), {
					client.decode() for kept in flat[1::2] for client in kept[::2]}))
			except (OSError, RedisError):
				if connection:
					connection.close()
				connection = None
		if connection:
			connection.close()

	def close(self):
		self.over.set()
		self.thread.join()


class CostProbe:
	"""Samples memory and CPU of all processes of each broker once a second."""

	def __init__(self, brokers):
		self.brokers = brokers
		self.samples = [[] for _ in brokers]  # (time, private bytes, cores)
		self.over = threading.Event()
		self.thread = threading.Thread(target=self._run, daemon=True)
		self.thread.start()

	def _run(self):
		before = [{} for _ in self.brokers]
		then = time.monotonic()
		while not self.over.wait(1.0):
			now = time.monotonic()
			for i, broker in enumerate(self.brokers):
				memory, ticks = self._look(broker)
				if ticks and before[i]:
					spent = sum(t - before[i].get(pid, 0) for pid, t in ticks.items())
					self.samples[i].append((now, memory, spent / os.sysconf("SC_CLK_TCK") / (now - then)))
				before[i] = ticks
			then = now

	def _look(self, broker):
		memory, ticks = 0, {}
		for pid in [broker.pid, *process.children(broker.pid)]:
			try:
				memory += process.private_bytes(pid)
				with open(f"/proc/{pid}/stat") as f:
					fields = f.read().rsplit(")", 1)[1].split()
				ticks[pid] = int(fields[11]) + int(fields[12])
			except (OSError, ProcessLookupError):
				pass
		return memory, ticks

	def close(self):
		self.over.set()
		self.thread.join()
