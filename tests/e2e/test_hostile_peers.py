"""Everything at once, at random: peers that send mutilated conversations, break off, subscribe and leave, while the links to Redis
are cut. After it the broker must be as good as new, and those who did nothing wrong must have noticed nothing.

HOSTILE_S=60 makes it longer, HOSTILE_SEED repeats the choices (though not the timing) of a run.
"""

import glob
import json
import os
import random
import threading
import time

from lib import process
from lib.broker import Broker
from lib.client import Client, ErrorReply
from lib.redis_server import RedisClient, RedisServer
from lib.ws import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Timeout, WebSocket, encode_frame

SECONDS = float(os.environ.get("HOSTILE_S", 6))
SEED = int(os.environ.get("HOSTILE_SEED", random.randrange(1 << 30)))


def recorded_texts():
	"""What clients sent in the recorded conversations, as material to mutilate."""
	texts = []
	for path in sorted(glob.glob(os.path.join(os.path.dirname(__file__), "conversations", "*.json"))):
		with open(path) as f:
			for scenario in json.load(f)["scenarios"]:
				texts += [step["text"] for step in scenario["steps"] if isinstance(step.get("text"), str)]
	return [text.replace("<run>", "hostile").encode()[:4000] for text in texts]


TEXTS = recorded_texts()


def mutilated(rng, data):
	data = bytearray(data)
	for _ in range(rng.choice([0, 0, 1, 1, 2, 5])):
		if not data:
			break
		at = rng.randrange(len(data))
		kind = rng.randrange(4)
		if kind == 0:
			data[at] = rng.randrange(256)
		elif kind == 1:
			del data[at:at + rng.randrange(1, 9)]
		elif kind == 2:
			data[at:at] = data[at:at + rng.randrange(1, 50)]
		else:
			data[at:at] = rng.choice([b"\n", b"\0", b'"', b"{", b"\xff", b"\\u", b"99999999999999999999"])
	return bytes(data)


def frames(rng):
	"""Some frames of a client, mostly right."""
	out = [encode_frame(TEXT, b'{"id":1,"connect":{}}')] if rng.random() < 0.8 else []
	for _ in range(rng.randrange(1, 12)):
		opcode = rng.choice([TEXT] * 12 + [BINARY, PING, PONG, CLOSE, CONTINUATION, 3])
		data = mutilated(rng, rng.choice(TEXTS))
		out.append(encode_frame(opcode, data[:125] if opcode >= 8 else data, fin=rng.random() < 0.95))
	return mutilated(rng, b"".join(out)) if rng.random() < 0.1 else b"".join(out)


class Actors:
	"""Threads that do one thing again and again until told to stop; what they raise comes out of stop()."""

	def __init__(self):
		self.over, self.threads, self.troubles = threading.Event(), [], []

	def start(self, act, rng, *arguments):
		self.threads.append(threading.Thread(target=self._run, args=(act, rng, *arguments)))
		self.threads[-1].start()

	def _run(self, *arguments):
		act, rng, *rest = arguments
		try:
			while not self.over.is_set():
				act(rng, *rest)
		except Exception as trouble:  # told by stop()
			self.troubles.append(trouble)

	def stop(self):
		self.over.set()
		for thread in self.threads:
			thread.join()
		if self.troubles:
			raise self.troubles[0]


def misbehave(rng, port):
	try:
		with WebSocket(port, target=rng.choice(["/connection/websocket"] * 5 + ["/connection/uni_websocket"])) as ws:
			ws.socket.settimeout(1.0)
			ws.send(frames(rng))
			if rng.random() < 0.5:
				read_a_little(ws)
			if rng.random() < 0.5:
				ws.break_off()
	except (ConnectionError, TimeoutError):
		pass  # refused, or cut off: as it should be


def read_a_little(ws):
	try:
		ws.fill(0.02)
	except Timeout:
		pass


def come_and_go(rng, port):
	"""A client that does nothing wrong, except being restless."""
	with Client(port) as client:
		for _ in range(rng.randrange(1, 10)):
			channel = rng.choice(["steady", "a", "b", "c"])
			try:
				client.subscribe(channel)
				client.call("publish", {"channel": channel if channel != "steady" else "a", "data": rng.random()})
				if rng.random() < 0.7:
					client.call("unsubscribe", {"channel": channel})
			except ErrorReply as refused:
				assert refused.code in (100, 105), refused


def disturb(rng, redis):
	client = RedisClient(redis.port)
	client.call("CLIENT", "KILL", "TYPE", rng.choice(["pubsub", "normal"]), "SKIPME", "yes")
	client.close()
	time.sleep(rng.random())


def publish_steadily(rng, redis, numbers):
	try:
		client = RedisClient(redis.port)
		for _ in range(50):
			numbers.append(len(numbers))
			client.call("PUBLISH", "fanfare:steady", numbers[-1])
			time.sleep(0.002)
		client.close()
	except ConnectionError:
		pass  # was disturbed; that number may have been lost


def watch(rng, client, received):
	try:
		received.append(client.publication(timeout=0.2)[1])
	except Timeout:
		pass


def test_hostile_peers_pass_and_leave_nothing_behind():
	print(f"HOSTILE_SEED={SEED}")
	config = {"client": {"stale_close_delay": "2s"}, "uni_websocket": {"enabled": True}}
	with RedisServer() as redis, Broker(config, redis=redis, workers=2) as broker:
		workers = broker.worker_pids()
		watchers = [(Client(broker.port).subscribe("steady"), []) for _ in range(6)]
		actors = Actors()
		for client, received in watchers:
			actors.start(watch, random.Random(), client, received)
		actors.start(publish_steadily, random.Random(), redis, [])
		actors.start(disturb, random.Random(SEED), redis)
		for n in range(4):
			actors.start(misbehave, random.Random(SEED + n), broker.port)
			actors.start(come_and_go, random.Random(SEED - n), broker.port)
		actors.over.wait(SECONDS)
		actors.stop()

		assert broker.worker_pids() == workers, "no worker died"
		broker.wait_ready()
		publisher = RedisClient(redis.port)  # the old one was disturbed
		publisher.call("PUBLISH", "fanfare:steady", '"over"')
		publisher.close()
		for client, received in watchers:
			while "over" not in received:
				received.append(client.publication()[1])
			assert received[:-1] == sorted(set(received[:-1])), "in order, none twice"
			client.close()
		with Client(broker.port) as client:
			client.subscribe("fresh").publish("fresh", 1)
			assert client.publication() == ("fresh", 1)
		for pid in workers:
			process.wait_until(lambda: open_sockets(pid) < 20, "connections are given back", timeout=20)


def open_sockets(pid):
	folder = f"/proc/{pid}/fd"
	return sum(is_socket(f"{folder}/{fd}") for fd in os.listdir(folder))


def is_socket(link):
	try:
		return os.readlink(link).startswith("socket:")
	except FileNotFoundError:  # closed since it was listed
		return False
