"""Channels at the edges of what the options allow."""

import pytest

from lib.broker import Broker
from lib.client import Client, ErrorReply

LONGEST = 4096


@pytest.fixture(scope="module")
def broker():
	config = {"redis": {"prefix": "p" * 63 + ":"}, "channel": {"max_length": LONGEST}, "client": {"channel_limit": 1000}}
	with Broker(config, workers=1) as broker:
		yield broker


def test_the_longest_name_behind_the_longest_prefix_is_a_channel_like_others(broker):
	with Client(broker.port) as client:
		longest = "x" * LONGEST
		client.subscribe(longest).publish(longest, 1)
		assert client.publication() == (longest, 1)
		with pytest.raises(ErrorReply, match="107"):
			client.subscribe(longest + "x")


def test_a_thousand_channels_in_connect(broker):
	with Client(broker.port, connect=False) as client:
		names = {f"c{i}" for i in range(1000)}
		assert client.call("connect", {"subs": {name: {} for name in names}})["subs"].keys() == names
		with pytest.raises(ErrorReply, match="106"):
			client.subscribe("one more")
