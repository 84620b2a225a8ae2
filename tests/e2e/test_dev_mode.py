"""Dev mode: one command gives a broker that anybody can try, it says loudly what that means, and what it says works."""

import json
import re
import subprocess
import urllib.request

import pytest

from lib import process
from lib.broker import Broker
from lib.client import Client


@pytest.fixture(scope="module")
def broker():
	with Broker(base={}, dev=True) as broker:
		yield broker


def said(broker, name):
	"""What stands behind the word in the lines for people, which the master prints when it has heard of all workers."""
	return process.wait_until(
		lambda: re.search(rf"^  {name} +(.*)\n", broker.log(), re.M), f"the broker says {name}")[1]


def test_the_log_warns_of_everything_that_is_open(broker):
	warning = re.search(r"warning.*DEV MODE, not for production.*", broker.log())
	assert warning
	for word in ("demo pages", 'client.allowed_origins ["*", "null"]', "client.allow_anonymous_connect_without_token true",
			"channel.without_namespace.allow_publish_for_anonymous true"):
		assert word in warning[0]


def test_the_page_that_it_names_opens(broker):
	with urllib.request.urlopen(said(broker, "Open"), timeout=5) as page:
		assert page.status == 200
		assert "<html" in page.read().decode()


def test_the_line_to_publish_with_does_publish(broker):
	with Client(broker.port) as client:
		client.subscribe("news")
		done = subprocess.run(said(broker, "Publish"), shell=True, capture_output=True, text=True, timeout=20, check=False)
		assert (done.returncode, done.stderr) == (0, "")
		assert client.publication() == ("news", {"price": 42})


def test_an_address_that_others_reach_is_warned_of():
	with Broker(base={}, dev=True, arguments=["--listen", f"0.0.0.0:{process.free_port()}"]) as broker:
		assert re.search(r"DEV MODE: 0\.0\.0\.0:\d+ can be reached from other machines", broker.log())


def test_localhost_is_the_loopback_address_and_not_warned_of():
	port = process.free_port()
	with Broker(base={}, dev=True, arguments=["--listen", f"localhost:{port}"]) as broker:
		assert f"listening on 127.0.0.1:{port}\n" in broker.log()
		assert "can be reached" not in broker.log()


def test_a_json_log_holds_nothing_but_json():
	with Broker(base={}, dev=True, arguments=["--log-format", "json"]) as broker:
		lines = [json.loads(line) for line in broker.log().splitlines()]
		assert any("DEV MODE" in json.dumps(line) for line in lines)


def test_without_dev_mode_nobody_may_do_anything():
	with Broker(base={}) as broker:
		assert "DEV MODE" not in broker.log()
		assert broker.get("/")[0] == 404
