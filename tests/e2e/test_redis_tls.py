"""Redis over TLS, rediss://: who is trusted, what is told when somebody is not, and that everything else is as over TCP.
What holds when such a Redis is lost is in test_redis_loss.py."""

import contextlib
import json
import os
import re
import subprocess
import uuid

import pytest

from lib import broker as broker_module
from lib import process
from lib.broker import Broker
from lib.certificates import Authority, openssl
from lib.client import Client
from lib.redis_server import RedisServer, TlsRedisServer

MANY = 10_000


@pytest.fixture(scope="module")
def ca(redis_ca):
	redis_ca.issue("elsewhere", "DNS:elsewhere.example.com")
	redis_ca.issue("expired", "IP:127.0.0.1", days=-1)
	return redis_ca


@pytest.fixture(scope="module")
def tls_redis(ca):
	with TlsRedisServer(ca) as server:
		yield server


def expect_works(broker, redis):
	channel = f"news-{uuid.uuid4().hex}"
	with Client(broker.port) as client:
		client.subscribe(channel)
		redis.publish(channel, '"from Redis"')
		assert client.publication() == (channel, "from Redis")
		client.publish(channel, "from a client")
		assert client.publication() == (channel, "from a client")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_publications_go_both_ways_with_certificates_on_both_sides(ca, version):
	with TlsRedisServer(ca, "--tls-protocols", version) as redis, Broker(redis=redis, workers=2) as broker:
		expect_works(broker, redis)
		assert "insecure" not in broker.log()


def test_user_password_and_database_go_over_it_and_the_password_is_not_logged(ca):
	with TlsRedisServer(ca) as redis:
		redis.call("ACL", "SETUSER", "me", "on", ">hush", "~*", "&*", "+@all")
		url = redis.url.replace("//", "//me:hush@") + "/3"
		with Broker(redis.config | {"log": {"level": "debug"}}, redis=url) as broker:
			expect_works(broker, redis)
			clients = redis.call("CLIENT", "LIST").decode()
			assert len(re.findall(r"name=fanfare.* db=3 .*user=me ", clients)) == 2
			redis.call("ACL", "SETUSER", "me", "resetpass", ">other")
			redis.call("CLIENT", "KILL", "USER", "me")
			process.wait_until(lambda: "WRONGPASS" in (not_ready(broker) or ""), "it is not let in any more")
			assert "hush" not in broker.log()


def test_long_publications_arrive_whole(ca, tls_redis):
	with Broker({"client": {"queue_max_size": "16MiB"}}, redis=tls_redis) as broker, Client(broker.port) as client:
		client.subscribe("long")
		texts = [letter * 1_000_000 for letter in "abc"]
		for text in texts:
			tls_redis.publish("long", json.dumps(text))
		assert [data for _, data in client.publications(3)] == texts


def waits_to_be_sent(port):
	"""Whether somebody has written to the port what the peer does not read."""
	with open("/proc/net/tcp") as f:
		sockets = [line.split() for line in f][1:]
	return any(line[2].endswith(f":{port:04X}") and not line[4].startswith("00000000") for line in sockets)


def test_many_channels_are_subscribed_at_once_while_redis_takes_nothing(ca):
	config = {
		"websocket": {"message_size_limit": "16MiB"}, "client": {"channel_limit": MANY, "queue_max_size": "16MiB"},
		"redis": {"canary_timeout": "30s", "call_timeout": "30s"}}
	with TlsRedisServer(ca) as redis, Broker(config, redis=redis) as broker, Client(broker.port) as client:
		names = [f"{i}-" + "x" * 200 for i in range(MANY)]
		redis.freeze()
		asked = client.send("subscribe", {"channel": names[0]})
		with Client(broker.port, connect=False) as many:
			id = many.send("connect", {"subs": {name: {} for name in names}})
			process.wait_until(lambda: waits_to_be_sent(redis.tls_port), "writing to Redis has come to a stop")
			redis.thaw()
			assert many.reply(id, "connect")["subs"].keys() == set(names)
			client.reply(asked, "subscribe")
			for name in names[::100]:
				redis.publish(name, "1")
			assert [channel for channel, _ in many.publications(MANY // 100)] == names[::100]
		assert broker.ready()[0] == 200
		# 10,000, once each, and the two of the worker itself.
		assert len(redis.call("PUBSUB", "CHANNELS", "*")) >= MANY


# Who is not trusted

def not_ready(broker):
	status, body = broker.ready()
	return body if status == 503 else None


def expect_told(broker, pattern):
	"""Readiness and the log say it; it is told once, not at each attempt."""
	process.wait_until(lambda: re.search(pattern, not_ready(broker) or ""), f"readiness says {pattern}")
	process.wait_until(lambda: re.search(pattern, broker.log()), f"the log says {pattern}")
	assert len(re.findall(pattern, broker.log())) <= 3, broker.log()


@contextlib.contextmanager
def broker_that_waits(config, url):
	"""With its ears for Redis not there yet."""
	config = {"redis": {"connect_timeout": "1s"} | config}
	with Broker(config, redis=url, wait=False) as broker:
		process.wait_until(lambda: broker.ready()[0] is not None, "it serves")
		yield broker


@pytest.mark.parametrize("certificate, reason", [
	("elsewhere", "its certificate is for another name than 127.0.0.1"),
	("expired", "its certificate is not trusted: certificate has expired"),
])
def test_a_redis_that_is_not_who_it_should_be_is_told_and_taken_when_it_is(ca, certificate, reason):
	with TlsRedisServer(ca, certificate=certificate) as wrong:
		with broker_that_waits(wrong.config["redis"], wrong.url) as broker:
			expect_told(broker, f"cannot connect to Redis at 127.0.0.1:{wrong.tls_port}: {reason}")
			wrong.kill()
			with TlsRedisServer(ca, tls_port=wrong.tls_port) as right:
				broker.wait_ready()
				expect_works(broker, right)


def test_a_redis_of_another_authority_is_told_and_so_is_a_certificate_that_goes_bad_while_we_run(ca, tmp_path):
	other = Authority(tmp_path / "other", "Other CA")
	other.issue("redis", "IP:127.0.0.1")
	other.issue("user")
	with TlsRedisServer(ca) as redis, Broker(redis=redis) as broker:
		expect_works(broker, redis)
		redis.kill()
		with TlsRedisServer(other, tls_port=redis.tls_port):
			expect_told(broker, "cannot connect to Redis at .*: its certificate is not trusted: self-signed")
		redis.start()
		broker.wait_ready()
		expect_works(broker, redis)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_redis_that_misses_our_certificate_is_told(ca, version):
	tls = {"server_ca_pem_file": ca.file}
	with TlsRedisServer(ca, "--tls-protocols", version) as redis, broker_that_waits({"tls": tls}, redis.url) as broker:
		expect_told(broker, "cannot connect to Redis at .*: it refuses: (certificate required|handshake failure)")
		redis.call("CONFIG", "SET", "tls-auth-clients", "no")
		broker.wait_ready()
		expect_works(broker, redis)


def test_a_plain_redis_behind_rediss_is_told(ca):
	with RedisServer() as plain:
		url = f"rediss://127.0.0.1:{plain.port}"
		with broker_that_waits({"tls": {"server_ca_pem_file": ca.file}}, url) as broker:
			# It waits for the end of the line, if the handshake happens to hold none.
			expect_told(broker, "cannot connect to Redis at .*(it does not speak TLS|no answer to the TLS handshake)")
			plain.kill()
			with TlsRedisServer(ca, tls_port=plain.port, clients="no") as redis:
				broker.wait_ready()
				expect_works(broker, redis)


def test_a_redis_with_tls_behind_redis_is_told(ca):
	with TlsRedisServer(ca) as redis:
		with broker_that_waits({}, f"redis://127.0.0.1:{redis.tls_port}") as broker:
			expect_told(broker, "without an answer; if it expects TLS, its address is rediss://")
			redis.kill()
			with RedisServer(port=redis.tls_port) as plain:
				broker.wait_ready()
				expect_works(broker, plain)


# Who is trusted

def test_without_an_authority_those_of_the_system_are_asked_and_the_name_is_that_of_the_address(ca):
	with TlsRedisServer(ca, clients="no") as redis:
		url = f"rediss://localhost:{redis.tls_port}"
		with Broker(redis=url, env={"SSL_CERT_FILE": ca.file}) as broker:
			expect_works(broker, redis)
		with broker_that_waits({}, url) as broker:
			expect_told(broker, "its certificate is not trusted")


def test_the_name_of_the_certificate_may_be_another(ca):
	with TlsRedisServer(ca, certificate="elsewhere") as redis:
		tls = redis.config["redis"]["tls"] | {"server_name": "elsewhere.example.com"}
		with Broker({"redis": {"tls": tls}}, redis=redis.url) as broker:
			expect_works(broker, redis)


def test_who_trusts_everybody_is_warned(ca):
	with TlsRedisServer(ca, certificate="expired", clients="no") as redis:
		with Broker({"redis": {"tls": {"insecure_skip_verify": True}}}, redis=redis.url, workers=2) as broker:
			expect_works(broker, redis)
			assert broker.log().count("redis.tls.insecure_skip_verify: any certificate of Redis is taken") == 1


def test_files_that_cannot_be_used_are_found_by_check_and_keep_the_broker_from_starting(ca, tmp_path):
	cert, key, other = ca.path("user.pem"), ca.path("user.key"), ca.path("redis.key")
	missing, locked = str(tmp_path / "missing.pem"), str(tmp_path / "locked.key")
	openssl("pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked)
	for address, tls, told in [
		("rediss://h", {"cert_pem_file": cert, "key_pem_file": key, "server_ca_pem_file": ca.file}, None),
		("rediss://h", {"cert_pem_file": ca.path("user.both.pem")}, None),
		("rediss://h", {}, None),
		("rediss://h", {"cert_pem_file": missing}, f"redis.tls.cert_pem_file: {missing}: No such file or directory"),
		("rediss://h", {"cert_pem_file": cert}, f"redis.tls.cert_pem_file: {cert}: holds no private key"),
		("rediss://h", {"cert_pem_file": cert, "key_pem_file": missing}, f"redis.tls.key_pem_file: {missing}: No such file"),
		("rediss://h", {"cert_pem_file": cert, "key_pem_file": other}, f"redis.tls.key_pem_file: {other}: the key does not"),
		("rediss://h", {"cert_pem_file": cert, "key_pem_file": locked}, f"redis.tls.key_pem_file: {locked}: holds no private"),
		("rediss://h", {"key_pem_file": key}, "redis.tls.key_pem_file: is of use only with redis.tls.cert_pem_file"),
		("rediss://h", {"server_ca_pem_file": missing}, f"redis.tls.server_ca_pem_file: {missing}: No such file"),
		("rediss://h", {"server_ca_pem_file": key}, f"redis.tls.server_ca_pem_file: {key}: holds no certificate"),
		("redis://h", {"server_ca_pem_file": ca.file}, "redis.tls.server_ca_pem_file: is for TLS, which redis.address"),
		("unix:/s", {"insecure_skip_verify": True}, "redis.tls.insecure_skip_verify: is for TLS, which redis.address"),
		(None, {"server_name": "x"}, "redis.tls.server_name: is for TLS, which redis.address"),
	]:
		code, stderr = broker_module.check(tmp_path, {"redis": {"address": address, "tls": tls}})
		assert (code, stderr) == (0, "") if told is None else code == 1 and told in stderr, (tls, stderr)
	served = broker_module.run(
		"serve", "--listen", "127.0.0.1:0", "--runtime-dir", tmp_path / "run", "--redis", "rediss://127.0.0.1:1",
		env={"FANFARE_REDIS_TLS_CERT_PEM_FILE": cert, "FANFARE_REDIS_TLS_KEY_PEM_FILE": other})
	assert served.returncode == 1
	assert f"redis.tls.key_pem_file: {other}: the key does not fit the certificate" in served.stderr


def test_a_worker_that_is_replaced_needs_the_files_no_more(tmp_path):
	ca = Authority(tmp_path / "ca")
	ca.issue("redis", "IP:127.0.0.1")
	ca.issue("user")
	with TlsRedisServer(ca) as redis, Broker(redis=redis) as broker:
		for name in ("ca.pem", "user.pem", "user.key"):
			os.unlink(ca.path(name))
		old = broker.worker_pids()
		os.kill(old[0], 9)
		process.wait_until(lambda: broker.worker_pids() not in ([], old), "a successor")
		broker.wait_ready()
		expect_works(broker, redis)


# The command line

@pytest.fixture
def config_file(tls_redis, tmp_path):
	"""Of a broker with this Redis, by name and with a password."""
	tls_redis.call("ACL", "SETUSER", "me", "on", ">hush", "~*", "&*", "+@all")
	config = tls_redis.config
	config["redis"]["address"] = f"rediss://me:hush@localhost:{tls_redis.tls_port}/2"
	config["redis"]["call_timeout"] = "60s"
	path = tmp_path / "fanfare.yaml"
	path.write_text(json.dumps(config))
	return path


def test_publish_reaches_it(tls_redis, config_file):
	with Broker(redis=tls_redis) as broker, Client(broker.port) as client:
		client.subscribe("news")
		done = broker_module.run("publish", "--config", config_file, "news", '{"price": 42}')
		assert (done.returncode, done.stdout, done.stderr) == (0, "delivered to 1 worker\n", "")
		assert client.publication() == ("news", {"price": 42})
		done = broker_module.run("publish", "--config", config_file, "--lines", "news", "-", input="1\n2\n3\n")
		assert (done.returncode, done.stdout) == (0, "delivered to 1 worker\n" * 3)
		assert [data for _, data in client.publications(3)] == [1, 2, 3]


def test_publish_takes_the_longest_payload(tls_redis, config_file):
	payload = '"' + "p" * ((16 << 20) - 2) + '"'
	done = broker_module.run("publish", "--config", config_file, "news", "-", input=payload)
	assert (done.returncode, done.stdout) == (0, "delivered to 0 workers\n"), done.stderr


def test_redis_cli_reaches_it_and_nobody_sees_the_password(tls_redis, config_file):
	done = broker_module.run("redis-cli", "--config", config_file, "CLIENT", "INFO")
	assert done.returncode == 0, done.stderr
	assert " db=2 " in done.stdout and " user=me " in done.stdout
	command = [broker_module.BINARY, "redis-cli", "--config", config_file]
	with process.spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as interactive:
		interactive.stdin.write("PING\n")
		interactive.stdin.flush()
		assert interactive.stdout.readline() == "PONG\n"
		shown = process.command_line(interactive.pid)
		assert shown.startswith("redis-cli") and "--tls" in shown and "--sni localhost" in shown
		assert "hush" not in shown
		interactive.stdin.close()


@pytest.mark.parametrize("arguments", [["publish", "news", "1"], ["redis-cli", "PING"]])
def test_commands_tell_whom_they_do_not_trust(ca, arguments):
	with TlsRedisServer(ca, certificate="elsewhere", clients="no") as redis:
		url = redis.url.replace("//", "//:hush@")
		env = {"FANFARE_REDIS_TLS_SERVER_CA_PEM_FILE": ca.file, "FANFARE_REDIS_ADDRESS": url}
		done = broker_module.run(*arguments, env=env)
		assert (done.returncode, done.stdout) == (1, "")
		assert done.stderr == (
			f"fanfare {arguments[0]}: cannot connect to Redis at 127.0.0.1:{redis.tls_port}: "
			"its certificate is for another name than 127.0.0.1\n")
		env["FANFARE_REDIS_TLS_SERVER_CA_PEM_FILE"] = "/nosuch.pem"
		done = broker_module.run(*arguments, env=env)
		assert done.returncode == 1
		assert done.stderr == (
			f"fanfare {arguments[0]}: redis.tls.server_ca_pem_file: /nosuch.pem: No such file or directory\n")
