"""Who the processes of the broker are, when root starts it and names a user."""

import grp
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import uuid

import pytest

from lib import broker as broker_module
from lib import process
from lib.broker import BINARY, Broker
from lib.certificates import Authority
from lib.client import Client
from lib.tls import ask, common_name, connected

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can start a broker that becomes somebody else")

USER = pwd.getpwnam("daemon")
OTHER = pwd.getpwnam("nobody")
OTHER_GROUP = grp.getgrnam("nogroup")


def status(pid):
	with open(f"/proc/{pid}/status") as f:
		return {name: value.split() for name, value in (line.rstrip("\n").split(":", 1) for line in f)}


def check_is_user(pid, gid=USER.pw_gid):
	"""Four times: real, effective, saved, of the file system. None is left to go back to."""
	told = status(pid)
	assert told["Uid"] == [str(USER.pw_uid)] * 4
	assert told["Gid"] == [str(gid)] * 4
	assert set(told["Groups"]) == set(map(str, os.getgrouplist(USER.pw_name, gid)))
	assert {name: told[name] for name in told if name.startswith("Cap")} == {
		name: ["0000000000000000"] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
	assert told["NoNewPrivs"] == ["1"]


@pytest.fixture(scope="module")
def binary():
	"""The binary where every user can get at it."""
	with tempfile.TemporaryDirectory(prefix="fanfare-test-") as folder:
		os.chmod(folder, 0o755)
		yield shutil.copy(BINARY, folder)


def run_as(user, *command, **options):
	environment = os.environ | broker_module.ENVIRONMENT | {"HOME": "/nonexistent", "XDG_STATE_HOME": ""}
	return subprocess.run(
		list(map(str, command)), user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/", env=environment,
		capture_output=True, text=True, timeout=30, **options)


def test_workers_and_the_embedded_redis_become_the_user_and_the_master_does_not(binary):
	channel = f"news-{uuid.uuid4().hex}"
	with Broker({"user": USER.pw_name}, workers=2) as broker:
		assert status(broker.pid)["Uid"] == ["0"] * 4
		old = broker.worker_pids()
		for pid in [*old, *broker.redis_pids()]:
			check_is_user(pid)
		assert len(old) == 2 and len(broker.redis_pids()) == 1
		with Client(broker.port) as client:
			client.subscribe(channel)
			runtime = ("--runtime-dir", broker.runtime_path)
			for n, run in enumerate([broker_module.run, lambda *arguments: run_as(USER, binary, *arguments)]):
				done = run("publish", *runtime, channel, json.dumps({"n": n}))
				assert (done.returncode, done.stderr) == (0, "")
				assert client.publication() == (channel, {"n": n})
				assert run("redis-cli", *runtime, "PING").stdout == "PONG\n"
			stranger = run_as(OTHER, binary, "publish", *runtime, channel, "{}")
			assert stranger.returncode == 1 and "Permission denied" in stranger.stderr
		# So do their successors.
		for pid in [*old, *broker.redis_pids()]:
			os.kill(pid, signal.SIGKILL)
		process.wait_until(
			lambda: len(set(broker.worker_pids()) - set(old)) == 2 and len(broker.redis_pids()) == 1, "successors")
		broker.wait_ready()
		for pid in [*broker.worker_pids(), *broker.redis_pids()]:
			check_is_user(pid)
		assert "runs as root" not in broker.log()


def test_other_processes_of_the_user_cannot_look_into_workers(redis):
	with Broker({"user": USER.pw_name}, redis=redis) as broker:
		for name in ("environ", "maps", "mem"):
			look = run_as(USER, "cat", f"/proc/{broker.worker_pids()[0]}/{name}")
			assert look.returncode == 1 and "Permission denied" in look.stderr
	with Broker(redis=redis) as broker:
		assert "everything runs as root" in broker.log()


def test_files_and_ports_that_are_only_for_root_are_had_before_and_at_a_hup(redis, tmp_path):
	ca = Authority(tmp_path / "ca")
	for name in ("old", "new"):
		ca.issue(name, "DNS:localhost")
	cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

	def put(name):
		for kind, path in ((".pem", cert), (".key", key)):
			shutil.copy(ca.path(name + kind), path)
			os.chmod(path, 0o400)

	put("old")
	port = process.free_port(600, 1024)
	config = {"user": USER.pw_name, "tls": {"cert_pem_file": str(cert), "key_pem_file": str(key)}}
	with Broker(config, redis=redis, arguments=("--listen", f"tls:127.0.0.1:{port}")) as broker:
		broker.tls_port = port
		assert run_as(USER, "cat", key).returncode == 1
		with connected(broker, ca.context()) as secure:
			assert common_name(secure) == "old" and ask(secure) == 200
		put("new")
		broker.process.send_signal(signal.SIGHUP)
		process.wait_until(lambda: "new TLS handshakes use the new files" in broker.log(), "the reload")
		with connected(broker, ca.context()) as secure:
			assert common_name(secure) == "new" and ask(secure) == 200


def test_a_unix_socket_is_for_the_group(redis):
	with tempfile.TemporaryDirectory(prefix="fanfare-test-") as folder:
		os.chmod(folder, 0o755)
		path = f"{folder}/http.sock"
		config = {"user": USER.pw_name, "group": OTHER_GROUP.gr_name}
		with Broker(config, redis=redis, arguments=("--listen", f"unix:{path}")) as broker:
			for pid in broker.worker_pids():
				check_is_user(pid, OTHER_GROUP.gr_gid)
			made = os.stat(path)
			assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (0, OTHER_GROUP.gr_gid, 0o660)
			ask_there = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])"
			assert run_as(OTHER, "python3", "-c", ask_there, path).returncode == 0  # is in the group
			assert "PermissionError" in run_as(USER, "python3", "-c", ask_there, path).stderr
			with socket.socket(socket.AF_UNIX) as s:
				s.connect(path)
				s.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				assert s.recv(100).startswith(b"HTTP/1.1 200 ")
		assert not os.path.exists(path)


def test_data_that_root_had_before_is_given_to_the_user():
	with Broker() as broker:
		runtime = broker.runtime_path
		assert broker_module.run("redis-cli", "--runtime-dir", runtime, "SET", "kept", "yes").stdout == "OK\n"
		broker.stop()
		assert os.stat(runtime).st_mode & 0o777 == 0o700
		with open(broker.config_path) as f:
			config = json.load(f)
		with open(broker.config_path, "w") as f:
			json.dump(config | {"user": USER.pw_name}, f)
		broker.start()
		assert broker_module.run("redis-cli", "--runtime-dir", runtime, "GET", "kept").stdout == "yes\n"
		owners = {os.lstat(os.path.join(folder, name)).st_uid
			for folder, _, names in os.walk(f"{runtime}/redis") for name in [".", *names] if name != "lock"}
		assert owners == {USER.pw_uid}
		# What root writes stands where the user cannot put anything.
		made = os.stat(runtime)
		assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (0, USER.pw_gid, 0o710)


def test_a_directory_that_the_user_cannot_work_in_is_an_error_and_is_left_as_it_is():
	with tempfile.TemporaryDirectory(prefix="fanfare-test-") as folder:
		runtime = os.path.join(folder, "run")  # in a directory that is only for root
		done = broker_module.run("serve", "--listen", "127.0.0.1:0", "--runtime-dir", runtime, env={"FANFARE_USER": "daemon"})
		assert done.returncode == 1
		assert f"user: daemon cannot work in {runtime}/redis: Permission denied" in done.stderr
		assert os.stat(folder).st_mode & 0o777 == 0o700
		with open(os.path.join(folder, "mine"), "w"):
			pass
		done = broker_module.run("serve", "--listen", "127.0.0.1:0", "--runtime-dir", folder, env={"FANFARE_USER": "daemon"})
		assert done.returncode == 1 and f"user: daemon cannot work in {folder}/redis" in done.stderr
		assert os.stat(folder).st_mode & 0o777 == 0o700


def test_who_is_not_root_cannot_become_another_but_may_name_himself(binary, redis, tmp_path):
	listen = f"127.0.0.1:{process.free_port()}"
	with tempfile.TemporaryDirectory(prefix="fanfare-test-") as folder:
		os.chmod(folder, 0o777)
		command = ("setpriv", "--pdeathsig", "KILL", "--", binary, "serve", "--listen", listen, "--redis", redis.url)
		command = (*command, "--runtime-dir", f"{folder}/run")
		done = run_as(OTHER, "env", f"FANFARE_USER={USER.pw_name}", *command)
		assert done.returncode == 1
		assert "user: only root can become daemon: start as root, or as daemon" in done.stderr
		done = run_as(OTHER, "env", f"FANFARE_USER={OTHER.pw_name}", "FANFARE_GROUP=daemon", *command)
		assert done.returncode == 1
		assert "user: only root can become nobody of group daemon: start as root, or as nobody" in done.stderr
		with open(f"{folder}/log", "w") as log:
			served = process.spawn(
				["env", f"FANFARE_USER={OTHER.pw_name}", "FANFARE_SHUTDOWN_TIMEOUT=1s", *command[4:]], stdout=log, stderr=log,
				user=OTHER.pw_uid, group=OTHER.pw_gid, extra_groups=[], env=os.environ | broker_module.ENVIRONMENT)
			try:
				process.wait_until(lambda: "ready" in open(f"{folder}/log").read(), "a broker of one's own")
				worker = next(pid for pid in process.children(served.pid) if "serve" in process.command_line(pid))
				told = status(worker)
				assert told["Uid"] == [str(OTHER.pw_uid)] * 4 and told["NoNewPrivs"] == ["1"]
			finally:
				assert process.stop(served) == 0


def test_unknown_accounts_are_errors_with_their_place(tmp_path):
	path = tmp_path / "fanfare.yaml"
	for text, told in [
		("workers: 1\nuser: nobody-at-all\n", f'{path}:2: user: "nobody-at-all" is no user of this machine\n'),
		("user: daemon\ngroup: none-at-all\n", f'{path}:2: group: "none-at-all" is no group of this machine\n'),
		("group: daemon\n", f"{path}:1: group: must not be set without user\n"),
		("user: daemon\ngroup: nogroup\n", ""),
	]:
		path.write_text(text)
		done = broker_module.run("check", "--config", path)
		assert (done.returncode, done.stderr) == (1 if told else 0, told)
