"""The built-in pages of dev mode, in a real browser."""

import subprocess

import pytest

from lib.broker import Broker
from lib.browser import Browser
from lib.client import Client

CONNECTED = "document.getElementById('state').dataset.state === 'connected'"
SUBSCRIBED = "document.querySelector('#subscriptions [data-channel=news]').dataset.state === 'subscribed'"


@pytest.fixture(scope="module")
def broker(redis):
	with Broker(redis=redis, dev=True, base={}) as broker:
		yield broker


@pytest.fixture(scope="module")
def browser():
	with Browser() as browser:
		yield browser


@pytest.fixture
def demo(broker, browser):
	page = browser.open(f"http://127.0.0.1:{broker.port}/")
	page.wait_for(CONNECTED)
	page.wait_for(SUBSCRIBED)
	return page


def shown(page):
	return page.evaluate("[...document.querySelectorAll('#messages .payload')].map((e) => e.textContent)")


def redis_cli(redis, *arguments):
	subprocess.run(["redis-cli", "-p", str(redis.port), *arguments], check=True, stdout=subprocess.DEVNULL)


def test_the_demo_page_loads_without_errors(demo):
	assert demo.problems == []
	assert "Fanfare" in demo.text()


def test_the_demo_page_shows_what_redis_cli_publishes(demo, redis):
	redis_cli(redis, "PUBLISH", "fanfare:news", '{"price": 42}')
	demo.wait_for("document.querySelector('#messages .payload')")
	assert shown(demo) == ['{"price":42}']
	assert demo.problems == []


def test_the_demo_page_shows_markup_in_a_payload_as_text(demo, redis):
	redis_cli(redis, "PUBLISH", "fanfare:news", '"<img src=x onerror=alert(1)>"')
	demo.wait_for("document.querySelector('#messages .payload')")
	assert shown(demo) == ['"<img src=x onerror=alert(1)>"']
	assert demo.evaluate("document.querySelectorAll('#messages img').length") == 0


def test_the_demo_page_publishes(demo, broker):
	with Client(broker.port) as client:
		client.subscribe("news")
		demo.evaluate("document.getElementById('publish-data').value = '{\"from\": \"the page\"}'; 0")
		demo.evaluate("document.getElementById('publish-button').click()")
		assert client.publication() == ("news", {"from": "the page"})
	demo.wait_for("document.getElementById('publish-result').dataset.kind === 'done'")
	demo.wait_for("document.querySelector('#messages .payload')")
	assert shown(demo) == ['{"from":"the page"}']
	assert demo.problems == []


def test_the_demo_page_subscribes_to_further_channels_and_leaves_them(demo, redis):
	demo.evaluate("document.getElementById('channel-input').value = 'more'; 0")
	demo.evaluate("document.getElementById('subscribe-button').click()")
	demo.wait_for("document.querySelector('#subscriptions [data-channel=more]')?.dataset.state === 'subscribed'")
	redis_cli(redis, "PUBLISH", "fanfare:more", "1")
	demo.wait_for("document.querySelector('#messages [data-channel=more]')")
	demo.evaluate("document.querySelector('#subscriptions [data-channel=more] [aria-label^=Unsubscribe]').click()")
	demo.wait_for("!document.querySelector('#subscriptions [data-channel=more]')")
	assert demo.problems == []


def test_the_demo_page_comes_back_after_a_restart_of_the_broker(redis, browser):
	with Broker(redis=redis, dev=True, base={}) as broker:
		page = browser.open(f"http://127.0.0.1:{broker.port}/")
		page.wait_for(SUBSCRIBED)
		broker.stop()
		page.wait_for(f"!({CONNECTED})")
		broker.start()
		page.wait_for(CONNECTED)
		page.wait_for(SUBSCRIBED)
		redis_cli(redis, "PUBLISH", "fanfare:news", '"again"')
		page.wait_for("document.querySelector('#messages .payload')")
		assert shown(page) == ['"again"']


def test_the_hello_world_page_works_as_every_tutorial_says(broker, browser):
	page = browser.open(f"http://127.0.0.1:{broker.port}/hello.html")
	page.wait_for("document.getElementById('log').textContent.includes('Hi there, I am a server')")
	for text in ("X", "héllo <b>"):
		page.evaluate(f"document.getElementById('text').value = {text!r}; document.getElementById('send').click()")
		page.wait_for(f"document.getElementById('log').textContent.includes('Hello, you sent -> ' + {text!r})")
	lines = page.evaluate("document.getElementById('log').textContent").splitlines()
	assert lines == ["connected", "Hi there, I am a server", "Hello, you sent -> X", "Hello, you sent -> héllo <b>"]
	assert page.problems == []


def test_without_dev_mode_there_are_no_pages(redis):
	with Broker(redis=redis) as broker:
		for path in ("/", "/hello.html", "/demo.js", "/echo"):
			assert broker.get(path)[0] == 404, path
