"""Workers serve in a sandbox; what it forbids is tested in tests/unit/test_sandbox.c."""

import os
import re
import signal

from lib import process
from lib.broker import Broker
from lib.client import Client

NO_SECCOMP, SECCOMP_FILTER = 0, 2


def status(pid, name):
	with open(f"/proc/{pid}/status") as f:
		return int(re.search(rf"^{name}:\s+(\d+)$", f.read(), re.MULTILINE)[1])


def test_every_worker_and_its_successor_is_in_it_and_the_master_is_not(redis):
	with Broker(redis=redis, workers=2) as broker:
		assert [status(pid, "Seccomp") for pid in broker.worker_pids()] == [SECCOMP_FILTER] * 2
		assert [status(pid, "NoNewPrivs") for pid in broker.worker_pids()] == [1] * 2
		assert status(broker.pid, "Seccomp") == NO_SECCOMP
		victim = broker.worker_pids()[0]
		os.kill(victim, signal.SIGKILL)
		process.wait_until(
			lambda: len(broker.worker_pids()) == 2 and victim not in broker.worker_pids(), "a new worker is there")
		broker.wait_ready()
		assert [status(pid, "Seccomp") for pid in broker.worker_pids()] == [SECCOMP_FILTER] * 2


def test_a_worker_that_breaks_out_is_named_in_the_log(redis):
	"""As the kernel would end it: by SIGSYS."""
	with Broker(redis=redis) as broker:
		[worker] = broker.worker_pids()
		os.kill(worker, signal.SIGSYS)
		process.wait_until(lambda: f"worker 0 (pid {worker}) was killed by SIGSYS" in broker.log(), "the log tells")
		broker.wait_ready()


def test_it_can_be_left_out(redis):
	with Broker({"sandbox": False}, redis=redis) as broker, Client(broker.port) as client:
		assert status(broker.worker_pids()[0], "Seccomp") == NO_SECCOMP
		client.subscribe("news").publish("news", 1)
		assert client.publication() == ("news", 1)
