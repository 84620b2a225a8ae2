"""Ten thousand connections on one worker."""

from lib.broker import Broker
from lib.crowd import CHANNEL, Crowd

CONNECTIONS = 10000


def test_one_publication_reaches_ten_thousand_subscribers_on_one_worker_once(redis):
	with Broker({"client": {"ping_interval": "0s"}}, redis=redis) as broker, Crowd(broker.port, CONNECTIONS) as crowd:
		assert crowd.ask("subscribe") == CONNECTIONS
		redis.publish(CHANNEL, '{"price": 42}')
		assert crowd.ask("receive") == CONNECTIONS
