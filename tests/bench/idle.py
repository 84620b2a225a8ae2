"""User memory of an idle subscribed connection: python3 tests/bench/idle.py [BINARY [CONNECTIONS]].

Takes the release build if not told otherwise: sanitizers keep books of their own. One worker, all connections on one channel, a
publication to all of them before memory is looked at the second time, so that nothing is counted that comes only with the
first message.
"""

import os
import sys
import time

os.environ["FANFARE"] = sys.argv[1] if len(sys.argv) > 1 else "build/release/fanfare"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from lib import process  # noqa: E402
from lib.broker import Broker  # noqa: E402
from lib.crowd import CHANNEL, Crowd  # noqa: E402
from lib.redis_server import RedisServer  # noqa: E402


def main(count):
	config = {"client": {"ping_interval": "0s"}}
	with RedisServer() as redis, Broker(config, redis=redis) as broker, Crowd(broker.port, count) as crowd:
		worker, = broker.worker_pids()
		empty = process.private_bytes(worker)
		start = time.monotonic()
		assert crowd.ask("subscribe") == count, "not all could subscribe"
		subscribed = time.monotonic()
		redis.publish(CHANNEL, '{"price": 42}')
		assert crowd.ask("receive") == count, "not all received it once"
		received = time.monotonic()
		full = process.private_bytes(worker)
	print(f"connections                  {count}")
	print(f"connect and subscribe        {subscribed - start:.2f} s")
	print(f"one publication to all       {(received - subscribed) * 1000:.0f} ms (clients included)")
	print(f"user memory per connection   {(full - empty) / count:.0f} bytes")


if __name__ == "__main__":
	main(int(sys.argv[2]) if len(sys.argv) > 2 else 10000)
