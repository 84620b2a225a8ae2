"""HTTP and WebSocket on a bare socket: able to send any bytes, and to see exactly what came."""

import base64
import collections
import os
import select
import socket
import struct
import urllib.parse

from . import process

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0

Frame = collections.namedtuple("Frame", "opcode payload fin rsv", defaults=(True, 0))
Closed = collections.namedtuple("Closed", "code reason")  # 1006: no close frame; 1005: one without a code


class Timeout(AssertionError):
	pass


class Peer:
	"""A TCP (or unix) connection with a receive buffer. All waits have a timeout in seconds."""

	def __init__(self, port=None, host="127.0.0.1", path=None, receive_buffer=None, source=None):
		family = socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET
		self.socket = socket.socket(family, socket.SOCK_STREAM)
		if receive_buffer:
			self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
		self.socket.settimeout(process.patience(30.0))
		if source:
			self.socket.bind((source, 0))
		self.socket.connect(path or (host, port))
		if not path:
			self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		self.buffer = bytearray()
		self.at_end = False

	def send(self, data):
		"""Sends all. A peer that has gone is no error here: what it answered before is still to be read."""
		try:
			self.socket.sendall(data)
		except (BrokenPipeError, ConnectionResetError):
			pass

	def fill(self, timeout):
		"""Reads once into the buffer. False at the end of the stream; Timeout when nothing came."""
		if self.at_end:
			return False
		ready = select.poll()
		ready.register(self.socket, select.POLLIN)
		if not ready.poll(1000 * process.patience(max(timeout, 0))):
			raise Timeout("nothing came")
		try:
			data = self.socket.recv(65536)
		except ConnectionResetError:
			data = b""
		self.buffer += data
		self.at_end = not data
		return bool(data)

	def read_to_end(self, timeout=30.0):
		deadline = process.now() + timeout
		while self.fill(deadline - process.now()):
			pass
		return bytes(self.buffer)

	def read_head(self, timeout=30.0):
		"""An HTTP head up to and with its empty line. What follows stays in the buffer."""
		deadline = process.now() + timeout
		while b"\r\n\r\n" not in self.buffer:
			if not self.fill(deadline - process.now()):
				raise ConnectionError(f"closed within the head: {bytes(self.buffer)!r}")
		head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
		self.buffer = bytearray(rest)
		return head + b"\r\n\r\n"

	def break_off(self):
		"""Ends the connection with a reset."""
		self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		self.socket.close()

	def close(self):
		self.socket.close()

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()


def parse_head(head):
	"""(first line, headers with lower case names; repeated ones joined by ", ")."""
	lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
	headers = {}
	for line in lines[1:]:
		name, _, value = line.partition(":")
		name, value = name.lower(), value.strip()
		headers[name] = f"{headers[name]}, {value}" if name in headers else value
	return lines[0], headers


def encode_frame(opcode, payload, fin=True, mask=True, rsv=0, length_form=None):
	"""length_form 16 or 64 forces a length encoding that may be longer than needed."""
	head = bytearray([(0x80 if fin else 0) | rsv << 4 | opcode])
	length, masked = len(payload), 0x80 if mask else 0
	if length_form == 64 or (length_form is None and length > 0xFFFF):
		head += bytes([masked | 127]) + struct.pack(">Q", length)
	elif length_form == 16 or (length_form is None and length > 125):
		head += bytes([masked | 126]) + struct.pack(">H", length)
	else:
		head.append(masked | length)
	if not mask:
		return bytes(head) + payload
	key = os.urandom(4)
	stream = (key * (length // 4 + 1))[:length]
	masked_payload = (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(length, "big")
	return bytes(head) + key + masked_payload


def parse_frame(b):
	"""Takes the first frame of a server out of the bytearray; None when it is not whole yet."""
	if len(b) < 2:
		return None
	assert not b[1] & 0x80, "a server must not mask"
	length, at = b[1] & 0x7F, 2
	if length >= 126:
		size = 2 if length == 126 else 8
		if len(b) < 2 + size:
			return None
		length, at = int.from_bytes(b[2:2 + size], "big"), 2 + size
	if len(b) < at + length:
		return None
	frame = Frame(b[0] & 0x0F, bytes(b[at:at + length]), bool(b[0] & 0x80), b[0] >> 4 & 7)
	del b[:at + length]
	return frame


class Framed(Peer):
	"""Sends and reads frames. Answers nothing by itself but native pings and closes, and only while it reads."""

	def __init__(self, port=None, **peer):
		super().__init__(port, **peer)
		self.closed = None

	def send_frame(self, opcode, payload=b"", **options):
		self.send(encode_frame(opcode, payload, **options))

	def send_text(self, text):
		self.send_frame(TEXT, text.encode("utf-8", "surrogatepass"))

	def send_fragments(self, parts, opcode=TEXT):
		for i, part in enumerate(parts):
			self.send_frame(opcode if i == 0 else CONTINUATION, part, fin=i == len(parts) - 1)

	def send_close(self, code=1000, reason=""):
		self.send_frame(CLOSE, struct.pack(">H", code) + reason.encode())

	def read_frame(self, timeout=30.0):
		"""The next frame of any kind; None at the end of the stream."""
		deadline = process.now() + timeout
		while True:
			frame = parse_frame(self.buffer)
			if frame:
				return frame
			if not self.fill(deadline - process.now()):
				return None

	def read_message(self, timeout=30.0):
		"""The next text (str) or binary (bytes) message, or Closed. Native pings are answered on the way."""
		if self.closed:
			return self.closed
		deadline = process.now() + timeout
		parts = []
		while True:
			frame = self.read_frame(deadline - process.now())
			if frame is None:
				self.closed = Closed(1006, "")
				return self.closed
			if frame.opcode == CLOSE:
				return self._on_close(frame.payload)
			if frame.opcode == PING:
				self.send_frame(PONG, frame.payload)
			if frame.opcode in (TEXT, BINARY, CONTINUATION):
				assert (frame.opcode == CONTINUATION) == bool(parts), "fragments out of order"
				parts.append(frame)
				if frame.fin:
					data = b"".join(part.payload for part in parts)
					return data.decode() if parts[0].opcode == TEXT else data

	def _on_close(self, payload):
		code = int.from_bytes(payload[:2], "big") if payload else 1005
		self.closed = Closed(code, payload[2:].decode())
		self.send_frame(CLOSE, payload[:2])
		return self.closed

	def read_closed(self, timeout=30.0):
		"""Skips what comes before the end of the connection."""
		deadline = process.now() + timeout
		while not self.closed:
			self.read_message(deadline - process.now())
		return self.closed


class WebSocket(Framed):
	"""Upgraded when the constructor returns."""

	def __init__(self, port=None, target="/connection/websocket", query=None, headers=(), subprotocols=None, **peer):
		super().__init__(port, **peer)
		if query:
			target += "?" + urllib.parse.urlencode(query)
		lines = [
			f"GET {target} HTTP/1.1", f"Host: localhost:{port}", "Upgrade: websocket", "Connection: Upgrade",
			f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}", "Sec-WebSocket-Version: 13"]
		if subprotocols is not None:
			lines.append("Sec-WebSocket-Protocol: " + ", ".join(subprotocols))
		self.send("\r\n".join([*lines, *headers, "", ""]).encode())
		status, self.headers = parse_head(self.read_head())
		if " 101 " not in status + " ":
			raise ConnectionError(status)

	@property
	def subprotocol(self):
		return self.headers.get("sec-websocket-protocol")
