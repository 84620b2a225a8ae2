"""A relay between a broker and Redis that counts the bytes of each reply."""

from .relay import Relay


def reply_end(data, at):
	"""Where the reply that begins there ends; None when it is not all there."""
	end = data.find(b"\r\n", at)
	if end < 0:
		return None
	kind, count = data[at:at + 1], data[at + 1:end]
	end += 2
	if kind == b"$":
		end += int(count) + 2 if count != b"-1" else 0
	elif kind in (b"*", b">"):
		for _ in range(max(0, int(count))):
			end = reply_end(data, end)
			if end is None:
				return None
	return end if end <= len(data) else None


class ReplyCounter(Relay):
	def __init__(self, port):
		self.sizes = []
		super().__init__(port)

	@property
	def url(self):
		return f"redis://127.0.0.1:{self.port}"

	def _carry(self, source, destination):
		if source.getpeername()[1] != self.target:
			super()._carry(source, destination)
			return
		rest = b""
		try:
			while data := source.recv(65536):
				destination.sendall(data)
				rest = self._count(rest + data)
		except OSError:
			pass
		self._end(destination)

	def _count(self, data):
		at = 0
		while at < len(data) and (end := reply_end(data, at)) is not None:
			self.sizes.append(end - at)
			at = end
		return data[at:]
