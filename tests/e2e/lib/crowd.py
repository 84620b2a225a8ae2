"""Many connections: a process that holds a part of a crowd, and the handle by which a test or a bench drives it.

The process answers a line on standard input with a line on standard output:
"subscribe" opens all connections, sends everything at once and waits until each is subscribed; "receive" waits until each has
got a publication, and says how many had exactly one; "recover N" waits until each has lost its connection, comes back at
once, and says how many recovered and had the publications 1 to N, once and in order.
"""

import os
import re
import resource
import selectors
import socket
import subprocess
import sys
import time

CHANNEL = "crowd"
PER_PROCESS = 5000


class Crowd:
	def __init__(self, port, count):
		from . import process
		self.processes = []
		for start in range(0, count, PER_PROCESS):
			size = min(PER_PROCESS, count - start)
			self.processes.append(process.spawn(
				[sys.executable, "-B", __file__, port, size], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

	def ask(self, line):
		"""The sum of what the processes answer."""
		for process in self.processes:
			process.stdin.write(line + "\n")
			process.stdin.flush()
		return sum(int(process.stdout.readline() or 0) for process in self.processes)

	def __enter__(self):
		return self

	def __exit__(self, *_):
		for process in self.processes:
			process.stdin.close()
			process.wait()


HANDSHAKE = (
	b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")


def frame(text):
	"""A client's frame with a mask of zeros."""
	return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


def hello(position=b""):
	commands = b'{"connect":{},"id":1}\n{"subscribe":{"channel":"%s"%s},"id":2}' % (CHANNEL.encode(), position)
	return HANDSHAKE + frame(commands)


def offsets(data):
	return [int(offset) for offset in re.findall(rb'"offset":(\d+)', data)]


def receive(s):
	try:
		return s.recv(65536)
	except ConnectionResetError:
		return b""


class Part:
	def __init__(self, port, count):
		self.port, self.count = port, count
		self.sockets = []
		self.selector = selectors.DefaultSelector()

	def subscribe(self):
		self._open(hello())
		received = self._read_until(lambda data: b'"subscribe":' in data)
		self.epochs = {found[1] for data in received.values() if (found := re.search(rb'"epoch":"(\w+)"', data))}
		return sum(b'"subscribe":' in data for data in received.values())

	def receive(self):
		received = self._read_until(lambda data: b'"pub":' in data)
		return sum(data.count(b'"pub":') == 1 for data in received.values())

	def recover(self, last):
		epoch, = self.epochs
		self._read_until(lambda data: False)
		for s in self.sockets:
			s.close()
		self.sockets = []
		self._open(hello(b',"recover":true,"epoch":"%s"' % epoch))
		received = self._read_until(lambda data: b'"offset":%d' % last in data)
		return sum(b'"recovered":true' in data and offsets(data) == list(range(1, last + 1)) for data in received.values())

	def _open(self, text):
		for _ in range(self.count):
			s = socket.create_connection(("127.0.0.1", self.port))
			s.sendall(text)
			s.setblocking(False)
			self.selector.register(s, selectors.EVENT_READ)
			self.sockets.append(s)

	def _read_until(self, enough, timeout=120):
		received = {s: b"" for s in self.sockets}
		waiting, deadline = set(self.sockets), time.monotonic() + timeout
		while waiting and time.monotonic() < deadline:
			for key, _ in self.selector.select(1.0):
				data = receive(key.fileobj)
				received[key.fileobj] += data
				if enough(received[key.fileobj]) or not data:
					waiting.discard(key.fileobj)
				if not data:
					self.selector.unregister(key.fileobj)
		return received


def main():
	_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
	resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
	part = Part(int(sys.argv[1]), int(sys.argv[2]))
	for line in sys.stdin:
		verb, *numbers = line.split()
		verbs = {"subscribe": part.subscribe, "receive": part.receive, "recover": part.recover}
		print(verbs[verb](*map(int, numbers)), flush=True)
	os._exit(0)  # closing each socket on its own would only take time


if __name__ == "__main__":
	main()
