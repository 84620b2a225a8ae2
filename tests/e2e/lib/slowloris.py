"""Peers that begin and never come to the point: a process that holds many of them, and the handle by which a test drives it.

Each sends the same beginning and then a byte now and then, so that it is never quite idle; who is thrown out comes again.
The process writes a line whenever all are there, and goes when its standard input ends.
"""

import os
import selectors
import socket
import subprocess
import sys
import time

PER_PROCESS = 2500
DRIP_S = 3.0


class Slowloris:
	def __init__(self, port, count, beginning):
		from . import process
		self.processes = [
			process.spawn(
				["nice", "-n", 10, sys.executable, "-B", __file__, port, min(PER_PROCESS, count - start), beginning.hex()],
				stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
			for start in range(0, count, PER_PROCESS)]

	def wait_complete(self):
		for process in self.processes:
			assert process.stdout.readline() == "complete\n"

	def __enter__(self):
		return self

	def __exit__(self, *_):
		for process in self.processes:
			process.stdin.close()
		for process in self.processes:
			process.wait()


class Peers:
	def __init__(self, port, count, beginning):
		self.port, self.count, self.beginning = port, count, beginning
		self.selector = selectors.DefaultSelector()
		self.selector.register(sys.stdin, selectors.EVENT_READ)
		self.peers = set()

	def add(self):
		s = socket.create_connection(("127.0.0.1", self.port))
		try:
			s.sendall(self.beginning)
			s.setblocking(False)
		except OSError:
			s.close()
			return
		self.selector.register(s, selectors.EVENT_READ)
		self.peers.add(s)

	def drop(self, s):
		self.selector.unregister(s)
		self.peers.discard(s)
		s.close()

	def drip(self):
		for s in list(self.peers):
			try:
				s.send(b"x")
			except OSError:
				self.drop(s)

	def run(self):
		told, next_drip = False, time.monotonic() + DRIP_S
		while True:
			for _ in range(min(50, self.count - len(self.peers))):
				self.add()
			if len(self.peers) == self.count and not told:
				print("complete", flush=True)
				told = True
			if time.monotonic() >= next_drip:
				self.drip()
				next_drip = time.monotonic() + DRIP_S
			for key, _ in self.selector.select(0.1 if told else 0):
				if key.fileobj is sys.stdin:
					os._exit(0)  # closing each socket on its own would only take time
				try:
					ended = not key.fileobj.recv(65536)
				except OSError:
					ended = True
				if ended:
					self.drop(key.fileobj)


if __name__ == "__main__":
	Peers(int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3])).run()
