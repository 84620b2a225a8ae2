"""TLS: clients of all kinds over wss, and everything that a handshake can be about."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import uuid

import pytest
from websockets.exceptions import ConnectionClosed

from lib import broker as broker_module
from lib import process
from lib.certificates import Authority, openssl, spki_hash
from lib.sdk import SDKS, BrowserSdk
from lib.tls import ask, common_name, connected, metric, subscribed, tls_broker


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
	authority = Authority(tmp_path_factory.mktemp("ca"))
	authority.issue("server", "DNS:localhost", "IP:127.0.0.1")
	authority.issue("news", "DNS:news.example.com", rsa=True)
	authority.issue("wild", "DNS:*.wild.example.com")
	authority.issue("user")
	authority.answer_ocsp("server")
	authority.answer_ocsp("wild")
	os.rename(authority.path("wild.pem.ocsp"), authority.path("wild.both.pem.ocsp"))
	return authority


@pytest.fixture(scope="module")
def broker(ca, redis):
	with tls_broker(ca, redis, 2, sni_pem_files=[ca.path("news.both.pem"), ca.path("wild.both.pem")]) as broker:
		yield broker


@pytest.mark.parametrize("sdk", SDKS)
def test_every_sdk_receives_over_wss(sdk, broker, redis, ca, monkeypatch):
	channel = f"news-{uuid.uuid4().hex}"
	monkeypatch.setenv("NODE_EXTRA_CA_CERTS", ca.file)
	monkeypatch.setenv("SSL_CERT_FILE", ca.file)
	trust = {"flags": [f"--ignore-certificate-errors-spki-list={spki_hash(ca.path('server'))}"]}
	with SDKS[sdk](broker.tls_url, **(trust if SDKS[sdk] is BrowserSdk else {})) as client:
		client.do("connect")
		client.expect("connected")
		client.do("subscribe", channel=channel)
		client.expect("subscribed", channel=channel)
		for n in range(100):
			redis.publish(channel, json.dumps({"n": n, "pad": "x" * (n * 100)}))
		assert [data["n"] for data in client.publications(100)] == list(range(100))
		client.do("publish", channel=channel, data={"from": "me"})
		assert client.publications(1) == [{"from": "me"}]


def test_messages_longer_than_a_record_arrive_whole(broker, redis, ca):
	channel, long = f"news-{uuid.uuid4().hex}", "x" * 300_000
	with subscribed(broker, ca, channel) as ws:
		redis.publish(channel, json.dumps(long))
		assert json.loads(ws.recv(timeout=30))["push"]["pub"]["data"] == long


def test_a_drain_ends_connections_with_3001(ca, redis):
	with tls_broker(ca, redis) as broker, subscribed(broker, ca, "news") as ws:
		broker.process.send_signal(signal.SIGTERM)
		with pytest.raises(ConnectionClosed):
			while ws.recv(timeout=30):
				pass
		assert ws.close_code == 3001


def test_who_reads_too_slowly_finds_whole_messages_and_then_3008(ca, redis):
	channel = f"news-{uuid.uuid4().hex}"
	with tls_broker(ca, redis) as broker, subscribed(broker, ca, channel, max_queue=1) as ws:
		published = 0
		while metric(broker, "slow_disconnects") == 0:
			for _ in range(20):
				redis.publish(channel, json.dumps({"n": published, "pad": "x" * 10_000}))
				published += 1
		seen = []
		with pytest.raises(ConnectionClosed):
			while True:
				for line in ws.recv(timeout=30).splitlines():
					seen += [json.loads(line).get("push", {}).get("pub", {}).get("data", {}).get("n")]
		assert ws.close_code == 3008
		numbers = [n for n in seen if n is not None]
		assert numbers == list(range(len(numbers)))
		assert 0 < len(numbers) < published


@pytest.mark.parametrize("asked,shown", [
	("localhost", "server"), ("news.example.com", "news"), ("a.wild.example.com", "wild"), ("NEWS.example.com", "news"),
	("a.b.wild.example.com", "server"), ("elsewhere.example.com", "server")])
def test_the_certificate_follows_the_name_that_is_asked_for(broker, ca, asked, shown):
	context = ca.context()
	context.check_hostname = False
	with connected(broker, context, asked) as secure:
		assert common_name(secure) == shown
		assert ask(secure) == 200


def test_without_a_name_the_first_certificate_is_shown(broker, ca):
	context = ca.context()
	context.check_hostname = False
	with connected(broker, context, None) as secure:
		assert common_name(secure) == "server"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(broker, ca, version):
	context = ca.context()
	context.minimum_version = context.maximum_version = version
	with connected(broker, context) as secure:
		assert secure.version() == version.name.replace("_", ".")
		assert secure.compression() is None
		assert ask(secure) == 200


def test_tls_1_1_is_refused(broker, ca):
	context = ca.context()
	context.set_ciphers("ALL:@SECLEVEL=0")
	context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
	with pytest.raises(ssl.SSLError, match="alert protocol version"), connected(broker, context):
		pass


@pytest.mark.parametrize("ciphers", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384", "DHE-RSA-AES256-GCM-SHA384"])
def test_ciphers_without_forward_secrecy_or_authentication_of_data_are_refused(broker, ca, ciphers):
	context = ca.context()
	context.maximum_version = ssl.TLSVersion.TLSv1_2
	context.set_ciphers(ciphers + ":@SECLEVEL=0")
	with pytest.raises(ssl.SSLError, match="handshake failure"), connected(broker, context):
		pass


def test_http_1_1_is_chosen_and_who_speaks_only_something_else_is_told_so(broker, ca):
	context = ca.context()
	context.set_alpn_protocols(["h2", "http/1.1"])
	with connected(broker, context) as secure:
		assert secure.selected_alpn_protocol() == "http/1.1"
	context.set_alpn_protocols(["h2"])
	with pytest.raises(ssl.SSLError, match="no application protocol"), connected(broker, context):
		pass


def test_a_client_cannot_ask_for_a_new_handshake(broker, ca):
	done = subprocess.run(
		["openssl", "s_client", "-connect", f"127.0.0.1:{broker.tls_port}", "-tls1_2"], input=b"R\n", capture_output=True,
		timeout=20)
	assert b"no renegotiation" in done.stderr


def test_the_ocsp_response_beside_the_certificate_is_stapled(broker, ca):
	shown = openssl("s_client", "-connect", f"127.0.0.1:{broker.tls_port}", "-status", "-CAfile", ca.file, input=b"")
	assert b"OCSP Response Status: successful" in shown
	other = openssl(
		"s_client", "-connect", f"127.0.0.1:{broker.tls_port}", "-status", "-servername", "a.wild.example.com", input=b"")
	numbers = [re.findall(rb"Serial Number: (\w+)", text) for text in (shown, other)]
	assert len(numbers[0]) == len(numbers[1]) == 1 and numbers[0] != numbers[1]  # each has its own
	shown = openssl(
		"s_client", "-connect", f"127.0.0.1:{broker.tls_port}", "-status", "-servername", "news.example.com", input=b"")
	assert b"OCSP response: no response sent" in shown


def test_clients_need_a_certificate_if_an_authority_is_named(ca, redis, tmp_path):
	stranger = Authority(tmp_path / "other", "Other CA").issue("user")
	with tls_broker(ca, redis, client_ca_pem_file=ca.file) as broker:
		with connected(broker, ca.context(ca.path("user"))) as secure:
			assert ask(secure) == 200
		for certificate in (None, stranger):
			with pytest.raises((ssl.SSLError, ConnectionResetError)), \
					connected(broker, ca.context(certificate)) as secure:
				ask(secure)
		assert metric(broker, "tls_handshakes_failed") == 2
		assert "no handshake: peer did not return a certificate" in broker.log()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_by_every_worker_and_by_their_successors(ca, redis, version):
	context = ca.context()
	context.minimum_version = context.maximum_version = version
	with tls_broker(ca, redis, 4) as broker:
		with connected(broker, context) as secure:
			assert ask(secure) == 200  # reads the tickets of TLS 1.3, too
			assert not secure.session_reused
			session = secure.session

		def resumed():
			with connected(broker, context, session=session) as secure:
				return ask(secure) == 200 and secure.session_reused

		assert all(resumed() for _ in range(24))
		old = set(broker.worker_pids())
		for pid in old:
			os.kill(pid, signal.SIGKILL)
		process.wait_until(lambda: len(set(broker.worker_pids()) - old) == 4, "successors of all workers")
		broker.wait_ready()
		assert all(resumed() for _ in range(24))
		assert metric(broker, "tls_resumptions") == 48


def test_who_is_slow_with_the_handshake_gives_way_and_keeps_nobody_out(ca, redis):
	with tls_broker(ca, redis, handshake_limit=20, handshake_timeout="10s") as broker, contextlib.ExitStack() as stack:
		slow = [
			stack.enter_context(socket.create_connection(("127.0.0.1", broker.tls_port), timeout=10)) for _ in range(100)]
		for client in slow[-50:]:
			client.sendall(b"\x16\x03\x01\x02\x00\x01")
		for client in slow[:80]:
			with contextlib.suppress(ConnectionResetError):
				assert client.recv(100) == b""
		assert metric(broker, "tls_handshakes_in_flight") == 20
		for _ in range(30):
			with connected(broker, ca.context()) as secure:
				assert ask(secure) == 200


def test_a_handshake_that_takes_too_long_ends(ca, redis):
	with tls_broker(ca, redis, handshake_timeout="200ms") as broker:
		with socket.create_connection(("127.0.0.1", broker.tls_port), timeout=10) as silent:
			silent.sendall(b"\x16\x03\x01")
			assert silent.recv(100) == b""
		assert "no handshake: it took too long" in broker.log()


def test_plain_http_to_the_tls_port_is_refused_and_logged(ca, redis):
	with tls_broker(ca, redis) as broker:
		with socket.create_connection(("127.0.0.1", broker.tls_port), timeout=10) as plain:
			plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			with contextlib.suppress(ConnectionResetError):
				while plain.recv(1000):
					pass
		process.wait_until(lambda: "no handshake: http request" in broker.log(), "the reason in the log")
		assert metric(broker, "tls_handshakes_failed") == 1
		assert metric(broker, "connections") == 1  # that of the question itself


def test_files_that_cannot_be_used_are_found_by_check_and_keep_the_broker_from_starting(ca, tmp_path):
	cert, key, other = ca.path("server.pem"), ca.path("server.key"), ca.path("news.key")
	missing, locked = str(tmp_path / "missing.pem"), str(tmp_path / "locked.key")
	openssl("pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked)
	junk = ca.issue("junk")
	with open(junk + ".pem.ocsp", "w") as f:
		f.write("junk")
	for tls, told in [
		({"cert_pem_file": missing, "key_pem_file": key}, f"tls.cert_pem_file: {missing}: No such file or directory"),
		({"cert_pem_file": cert, "key_pem_file": missing}, f"tls.key_pem_file: {missing}: No such file or directory"),
		({"cert_pem_file": key, "key_pem_file": key}, f"tls.cert_pem_file: {key}: holds no certificate"),
		({"cert_pem_file": cert, "key_pem_file": other}, f"tls.key_pem_file: {other}: the key does not fit"),
		({"cert_pem_file": cert, "key_pem_file": ca.path("user.key")}, "user.key: the key does not fit"),
		({"cert_pem_file": cert, "key_pem_file": locked}, f"tls.key_pem_file: {locked}: holds no private key"),
		({"cert_pem_file": cert}, f"tls.cert_pem_file: {cert}: holds no private key"),
		({"cert_pem_file": cert, "key_pem_file": key, "sni_pem_files": [missing]}, f"tls.sni_pem_files: {missing}: No such"),
		({"cert_pem_file": cert, "key_pem_file": key, "client_ca_pem_file": key}, f"tls.client_ca_pem_file: {key}: holds no"),
		({"cert_pem_file": junk + ".both.pem"}, None),
		({"cert_pem_file": junk + ".pem", "key_pem_file": junk + ".key"}, "junk.pem.ocsp: is no OCSP response"),
		({}, "listen: has an address with TLS, for which tls.cert_pem_file must be set"),
		({"key_pem_file": key}, "tls.cert_pem_file: must be set, because others of tls are"),
	]:
		code, stderr = broker_module.check(tmp_path, {"listen": ["tls:127.0.0.1:0"], "tls": tls})
		assert (code, stderr) == (0, "") if told is None else code == 1 and told in stderr, (tls, stderr)
	old = ca.issue("old", days=3)
	code, stderr = broker_module.check(tmp_path, {"tls": {"cert_pem_file": old + ".both.pem"}})
	assert code == 0 and stderr.startswith(f"warning: tls.cert_pem_file: {old}.both.pem: the certificate expires soon: 20")
	served = broker_module.run(
		"serve", "--listen", "tls:127.0.0.1:0", "--runtime-dir", tmp_path / "run",
		env={"FANFARE_TLS_CERT_PEM_FILE": cert, "FANFARE_TLS_KEY_PEM_FILE": other})
	assert served.returncode == 1
	assert f"tls.key_pem_file: {other}: the key does not fit the certificate" in served.stderr
