"""Thousands of connections on one worker."""

import os
import signal
import threading

from lib.broker import Broker
from lib.crowd import CHANNEL, Crowd
from lib.redis_server import RedisServer

CONNECTIONS = 10000
QUIET = {"client": {"ping_interval": "0s"}}


def test_one_publication_reaches_ten_thousand_subscribers_on_one_worker_once(redis):
	with Broker(QUIET, redis=redis) as broker, Crowd(broker.port, CONNECTIONS) as crowd:
		assert crowd.ask("subscribe") == CONNECTIONS
		redis.publish(CHANNEL, '{"price": 42}')
		assert crowd.ask("receive") == CONNECTIONS


def history_calls(redis):
	"""Calls of the function library that concern a history: for each it asks for the position, once."""
	line = next(line for line in redis.call("INFO", "commandstats").decode().splitlines() if line.startswith("cmdstat_hmget:"))
	return int(line.split("calls=")[1].split(",")[0])


def test_thousands_that_lost_their_worker_recover_for_a_handful_of_reads():
	count, last = 4000, 200
	options = {"channel": {"without_namespace": {"history_size": 1000, "history_ttl": "10m", "force_recovery": True}}}
	with RedisServer() as redis, Broker(options | QUIET, redis, workers=1) as broker, Crowd(broker.port, count) as crowd:
		assert crowd.ask("subscribe") == count
		before = history_calls(redis)
		worker, = broker.worker_pids()
		os.kill(worker, signal.SIGKILL)

		def publish():
			for number in range(1, last + 1):
				redis.call("FCALL", "fanfare_publish", 1, f"fanfare:{CHANNEL}", number)

		publisher = threading.Thread(target=publish)
		publisher.start()
		assert crowd.ask(f"recover {last}") == count
		publisher.join()
		assert history_calls(redis) - before - last <= 5
