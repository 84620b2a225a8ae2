"""New certificates, keys and authorities while the broker runs: SIGHUP."""

import json
import os
import resource
import shutil
import signal
import ssl
import uuid

import pytest

from lib import process
from lib.broker import Broker
from lib.certificates import Authority
from lib.tls import ask, common_name, connected, subscribed, tls_broker

WORKERS = 2


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
	authority = Authority(tmp_path_factory.mktemp("ca"))
	authority.issue("old", "DNS:localhost", days=3)
	authority.issue("new", "DNS:localhost", rsa=True)
	authority.issue("user")
	authority.answer_ocsp("new")
	return authority


class Files:
	"""What the broker is told to use, in a folder of its own."""

	def __init__(self, folder, ca):
		self.ca = ca
		self.cert, self.key, self.clients = (str(folder / name) for name in ("cert.pem", "key.pem", "clients.pem"))
		self.put("old")

	def put(self, name, key=None):
		shutil.copy(self.ca.path(name + ".pem"), self.cert)
		shutil.copy(self.ca.path((key or name) + ".key"), self.key)

	def options(self, **more):
		return {"cert_pem_file": self.cert, "key_pem_file": self.key} | more


@pytest.fixture
def files(tmp_path, ca):
	return Files(tmp_path, ca)


def hup(broker, line, times=1):
	"""Signals, and waits until the line was logged so many times more."""
	before = broker.log().count(line)
	broker.process.send_signal(signal.SIGHUP)
	process.wait_until(lambda: broker.log().count(line) >= before + times, f"{line!r} in the log")


def reload(broker):
	hup(broker, "new TLS handshakes use the new files", WORKERS)


def refuse(broker):
	hup(broker, "TLS goes on with the certificates of before")


def shown(broker, ca):
	"""The names of the certificates that new connections see: often enough to meet all workers."""
	names = set()
	for _ in range(8 * WORKERS):
		with connected(broker, ca.context()) as secure:
			names.add(common_name(secure))
			assert ask(secure) == 200
	return names


def test_new_certificates_are_used_at_a_hup_and_nobody_is_disconnected(ca, redis, files):
	channel = f"news-{uuid.uuid4().hex}"
	with tls_broker(ca, redis, WORKERS, **files.options()) as broker, \
			subscribed(broker, ca, channel) as first, connected(broker, ca.context()) as idle:
		assert shown(broker, ca) == {"old"}
		assert f"tls.cert_pem_file: {files.cert}: CN=old, valid until 20" in broker.log()
		assert f"{files.cert}: the certificate expires soon: 20" in broker.log()
		files.put("new")
		shutil.copy(ca.path("new.pem.ocsp"), files.cert + ".ocsp")
		pids = set(broker.worker_pids())
		reload(broker)
		assert f"tls.cert_pem_file: {files.cert}: CN=new, valid until 20" in broker.log()
		assert broker.log().count("the certificate expires soon") == 1
		assert shown(broker, ca) == {"new"}
		assert set(broker.worker_pids()) == pids
		redis.publish(channel, json.dumps("still here"))
		assert json.loads(first.recv(timeout=30))["push"]["pub"]["data"] == "still here"
		assert common_name(idle) == "old" and ask(idle) == 200
		# Their successors have them, too.
		for pid in pids:
			os.kill(pid, signal.SIGKILL)
		process.wait_until(lambda: len(set(broker.worker_pids()) - pids) == WORKERS, "successors of all workers")
		broker.wait_ready()
		assert shown(broker, ca) == {"new"}


def test_files_that_cannot_be_used_are_named_at_a_hup_and_all_goes_on_as_before(ca, redis, files):
	with tls_broker(ca, redis, WORKERS, **files.options()) as broker:
		files.put("new", key="old")
		refuse(broker)
		assert f"tls.key_pem_file: {files.key}: the key does not fit the certificate" in broker.log()
		os.unlink(files.cert)
		refuse(broker)
		assert f"tls.cert_pem_file: {files.cert}: No such file or directory" in broker.log()
		files.put("new")
		with open(files.cert + ".ocsp", "w") as f:
			f.write("junk")
		refuse(broker)
		assert f"{files.cert}.ocsp: is no OCSP response in DER" in broker.log()
		assert shown(broker, ca) == {"old"}
		os.unlink(files.cert + ".ocsp")
		reload(broker)
		assert shown(broker, ca) == {"new"}


def lowest_free_descriptor(pid):
	used = set(map(int, os.listdir(f"/proc/{pid}/fd")))
	return next(fd for fd in range(len(used) + 1) if fd not in used)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a process the descriptors back that it took from it")
def test_a_process_without_descriptors_keeps_what_it_has_or_gets_the_new_all_the_same(ca, redis, files):
	with tls_broker(ca, redis, WORKERS, **files.options(client_ca_pem_file=ca.file)) as broker:
		files.put("new")
		before = resource.prlimit(broker.pid, resource.RLIMIT_NOFILE)
		resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, (lowest_free_descriptor(broker.pid), before[1]))
		refuse(broker)
		assert f"{files.cert}: Too many open files" in broker.log()
		resource.prlimit(broker.pid, resource.RLIMIT_NOFILE, before)

		def names():
			with connected(broker, ca.context(ca.path("user"))) as secure:
				assert ask(secure) == 200
				return common_name(secure)

		def strangers_are_refused():
			with pytest.raises((ssl.SSLError, ConnectionResetError)), connected(broker, ca.context()) as secure:
				ask(secure)

		assert {names() for _ in range(16)} == {"old"}
		strangers_are_refused()
		for pid in broker.worker_pids():
			resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free_descriptor(pid), before[1]))
		reload(broker)
		for pid in broker.worker_pids():
			resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
		assert {names() for _ in range(16)} == {"new"}
		strangers_are_refused()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_of_before_a_hup_are_resumed(ca, redis, files, version):
	context = ca.context()
	context.minimum_version = context.maximum_version = version
	with tls_broker(ca, redis, WORKERS, **files.options()) as broker:
		with connected(broker, context) as secure:
			assert ask(secure) == 200
			session = secure.session
		files.put("new")
		reload(broker)
		for _ in range(8 * WORKERS):
			with connected(broker, context, session=session) as secure:
				assert ask(secure) == 200 and secure.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_of_before_a_hup_gets_around_new_authorities_of_clients(ca, redis, files, tmp_path, version):
	other = Authority(tmp_path / "other", "Other CA")
	shutil.copy(ca.file, files.clients)
	context = ca.context(ca.path("user"))
	context.minimum_version = context.maximum_version = version
	with tls_broker(ca, redis, WORKERS, **files.options(client_ca_pem_file=files.clients)) as broker:
		with connected(broker, context) as secure:
			assert ask(secure) == 200
			session = secure.session
		with connected(broker, context, session=session) as idle:
			shutil.copy(other.file, files.clients)
			reload(broker)
			for _ in range(8 * WORKERS):
				with pytest.raises((ssl.SSLError, ConnectionResetError)), \
						connected(broker, context, session=session) as secure:
					ask(secure)
			assert idle.session_reused and ask(idle) == 200
			context = ca.context(other.issue("user"))
			with connected(broker, context) as secure:
				assert ask(secure) == 200


def test_a_broker_without_certificates_lives_through_a_hup(redis):
	with Broker(redis=redis) as broker:
		hup(broker, "there are no certificates to read anew")
		assert broker.ready()[0] == 200
