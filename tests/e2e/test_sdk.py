"""Unmodified SDKs against the broker: what their users do first must work in each of them."""

import uuid

import pytest

from lib.broker import Broker
from lib.sdk import SDKS, Failed


@pytest.fixture(scope="module")
def broker(redis):
	with Broker(redis=redis, workers=2) as broker:
		yield broker


@pytest.fixture(params=SDKS)
def sdk(request, broker):
	with SDKS[request.param](broker.url) as sdk:
		sdk.do("connect")
		sdk.expect("connected")
		yield sdk


@pytest.fixture
def channel():
	return f"news-{uuid.uuid4().hex}"


def subscribe(sdk, channel):
	sdk.do("subscribe", channel=channel)
	sdk.expect("subscribed", channel=channel)


def test_receives_what_is_published_in_redis_in_order(sdk, redis, channel):
	subscribe(sdk, channel)
	for n in range(100):
		redis.publish(channel, '{"n": %d, "text": "h\u00e9llo"}' % n)
	assert sdk.publications(100) == [{"n": n, "text": "héllo"} for n in range(100)]


def test_receives_what_it_publishes_itself(sdk, channel):
	subscribe(sdk, channel)
	sdk.do("publish", channel=channel, data={"from": "me"})
	assert sdk.publications(1) == [{"from": "me"}]


def test_receives_nothing_after_unsubscribe(sdk, redis, channel):
	subscribe(sdk, channel)
	subscribe(sdk, channel + "2")
	sdk.do("unsubscribe", channel=channel)
	sdk.expect("unsubscribed", channel=channel, code=0)
	redis.publish(channel, '"not for you"')
	redis.publish(channel + "2", '"for you"')
	assert sdk.publications(1) == ["for you"]


def test_is_told_what_is_not_available(sdk, channel):
	with pytest.raises(Failed) as failed:
		sdk.do("rpc", method="any", data={})
	assert failed.value.code == 108


def test_is_refused_a_namespace_that_is_not_configured(sdk):
	sdk.do("subscribe", channel="nosuch:news")
	assert sdk.expect("unsubscribed", channel="nosuch:news")["code"] == 102


@pytest.mark.parametrize("name", SDKS)
def test_goes_on_after_a_restart_of_the_broker(name, redis, channel):
	with Broker(redis=redis) as broker, SDKS[name](broker.url) as sdk:
		sdk.do("connect")
		sdk.expect("connected")
		subscribe(sdk, channel)
		broker.stop()
		sdk.expect("connecting", code=3001)
		broker.start()
		sdk.expect("connected")
		sdk.expect("subscribed", channel=channel)
		redis.publish(channel, '"again"')
		assert sdk.publications(1) == ["again"]


@pytest.mark.parametrize("name", SDKS)
def test_leaves_when_it_wants_to(name, broker):
	with SDKS[name](broker.url) as sdk:
		sdk.do("connect")
		sdk.expect("connected")
		sdk.do("disconnect")
		sdk.expect("disconnected", code=0)
