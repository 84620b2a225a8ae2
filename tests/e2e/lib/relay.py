"""A relay of bytes between clients and a port, that can be cut."""

import socket
import threading


class Relay:
	def __init__(self, port):
		self.target, self.is_cut, self.ends = port, False, []
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.port = self.listener.getsockname()[1]
		threading.Thread(target=self._accept, daemon=True).start()

	def cut(self):
		"""All connections break, and new ones end at once."""
		self.is_cut = True
		for end in self.ends:
			self._end(end)

	def mend(self):
		self.is_cut = False

	def _accept(self):
		while True:
			try:
				client, _ = self.listener.accept()
			except OSError:
				return
			if self.is_cut:
				client.close()
				continue
			server = socket.create_connection(("127.0.0.1", self.target))
			self.ends += [client, server]
			for ends in ((client, server), (server, client)):
				threading.Thread(target=self._carry, args=ends, daemon=True).start()

	def _carry(self, source, destination):
		try:
			while data := source.recv(65536):
				destination.sendall(data)
		except OSError:
			pass
		self._end(destination)

	@staticmethod
	def _end(end):
		try:
			end.shutdown(socket.SHUT_RDWR)
		except OSError:
			pass

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.listener.close()
		self.cut()
		for end in self.ends:
			end.close()
