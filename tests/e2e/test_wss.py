"""Over TLS with compression, as sites use it: unmodified SDKs and a browser, with the certificate of a CA of our own."""

import json
import re
import uuid

import pytest

from lib import process
from lib.broker import Broker
from lib.certificates import Authority, spki_hash
from lib.sdk import SDKS, BrowserSdk

LONG = "again and again " * 5000
AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
	authority = Authority(tmp_path_factory.mktemp("ca"))
	authority.issue("server", "DNS:localhost", "IP:127.0.0.1")
	return authority


@pytest.fixture(scope="module")
def broker(ca, redis):
	port = process.free_port()
	config = {
		"tls": {"cert_pem_file": ca.path("server.both.pem")},
		"websocket": {"compression": True, "compression_min_size": 200},
	}
	with Broker(config, redis=redis, dev=True, arguments=("--listen", f"tls:127.0.0.1:{port}")) as broker:
		broker.tls_url = f"wss://localhost:{port}/connection/websocket"
		yield broker


def metric(broker, name):
	return int(re.search(rf"^fanfare_{name}(?:_total)? (\d+)$", broker.get("/metrics")[1], re.MULTILINE)[1])


@pytest.fixture(params=SDKS)
def sdk(request, broker, ca, monkeypatch):
	monkeypatch.setenv("NODE_EXTRA_CA_CERTS", ca.file)
	monkeypatch.setenv("SSL_CERT_FILE", ca.file)
	kind = SDKS[request.param]
	trust = {"flags": [f"--ignore-certificate-errors-spki-list={spki_hash(ca.path('server'))}"]}
	with kind(broker.tls_url, **(trust if kind is BrowserSdk else {})) as sdk:
		sdk.do("connect")
		sdk.expect("connected")
		yield sdk


def test_publications_big_and_small_come_compressed_through_tls(sdk, broker, redis):
	channel = f"news-{uuid.uuid4().hex}"
	sdk.do("subscribe", channel=channel)
	sdk.expect("subscribed", channel=channel)
	if isinstance(sdk, BrowserSdk):
		[answer] = sdk.page.upgrades
		assert answer["sec-websocket-extensions"] == AGREED
	sent = metric(broker, "bytes_sent")
	for data in (LONG, "short", LONG):
		redis.publish(channel, json.dumps(data))
	assert sdk.publications(3) == [LONG, "short", LONG]
	assert metric(broker, "bytes_sent") - sent < len(LONG) / 2
	got = metric(broker, "bytes_received")
	sdk.do("publish", channel=channel, data={"from": LONG[:50000]})
	assert sdk.publications(1) == [{"from": LONG[:50000]}]
	assert metric(broker, "bytes_received") - got < 5000
