"""The scenario of presence: what that of a channel costs Redis, which stands still meanwhile, with 10, 1,000 and 100,000 members
of eight workers. Takes the library from a broker, and says itself what workers would."""

import json

from servers import Broker, RedisServer, process
from table import Row, microseconds

from lib.redis_server import RedisClient

WORKERS, STEPS, CALLS = 8, 48, 2000
LATER_MS = 10 ** 14


class Redis:
	def __init__(self, server):
		self.client = RedisClient(server.port, timeout=60)

	def call(self, function, channel, *arguments):
		return self.client.call("FCALL", f"fanfare_{function}", 1, f"fanfare:{channel}", *arguments)

	def microseconds(self, function, channel, *arguments, calls=1):
		"""Of one call, by the clock of Redis."""
		self.client.call("CONFIG", "RESETSTAT")
		for _ in range(calls):
			self.call(function, channel, *arguments)
		[line] = [line for line in self.client.call("INFO", "commandstats").decode().split() if line.startswith("cmdstat_fcall:")]
		return float(line.split("usec_per_call=")[1].split(",")[0])

	def fill(self, channel, count, workers=WORKERS):
		size = min(STEPS, max(1, count // workers))
		for start in range(0, count, size):
			steps = []
			for n in range(start, min(count, start + size)):
				user, client = f"user{n // 2}", f"{n:036d}"
				steps += ["+", client, user, json.dumps({"user": user, "client": client})]
			self.call("presence_update", channel, f"{start // size % workers:x}-1", "", 0, "", *steps)


def presence(_):
	with RedisServer() as server:
		with Broker({"channel": {"without_namespace": {"presence": True}}}, server):
			process.wait_until(lambda: server.call("FUNCTION", "LIST"), "the library is loaded")
		redis, first = Redis(server), None
		for count in 10, 1000, 100000:
			redis.fill(str(count), count)
			stats = redis.microseconds("presence_stats", str(count), calls=CALLS)
			first = first or stats
			yield Row(
				"presence", f"Redis counts {count:,} members", microseconds(stats * 1000), f"{microseconds(first * 1000)} (10)", stats / first)
			join = redis.microseconds("presence_update", str(count), "0-1", "j", 0, "", "+", "new", "ann", '{"user":"ann","client":"new"}')
			yield Row("presence", f"one joins {count:,}", microseconds(join * 1000))
		redis.fill("one", 100000, workers=1)
		reap = redis.microseconds("presence_update", "one", "1-1", "j", 0, f"0-1@{LATER_MS}")
		yield Row("presence", "a worker with 100,000 members is dead: the first call that takes them away", microseconds(reap * 1000))
