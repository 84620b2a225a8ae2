"""Fanfare beside its peers, as Debian packages them: nchan, mosquitto, nats-server. They are unpacked below build/, and not
installed: nothing of them starts by itself, and nothing is left on the system."""

import glob
import os
import socket
import subprocess
import tempfile
from contextlib import ExitStack
from statistics import median

from bench import beside, cost
from servers import ROOT, SERVER_CPU, Fanfare, on, process
from table import Row, microseconds, ratio

PACKAGES = ["nginx", "libnginx-mod-nchan", "mosquitto", "nats-server"]
FOLDER = os.path.join(ROOT, "build", "peers")
UNPACKED = os.path.join(FOLDER, "root")


def fetch():
	"""With what they need and this system has not."""
	archives = os.path.join(FOLDER, "archives")
	if os.path.isdir(UNPACKED):
		return
	os.makedirs(os.path.join(archives, "partial"), exist_ok=True)
	subprocess.run(
		["apt-get", "install", "--download-only", "--reinstall", "-y", "-qq", "--no-install-recommends",
		 "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", *PACKAGES], check=True, stdout=subprocess.DEVNULL)
	for package in glob.glob(os.path.join(archives, "*.deb")):
		subprocess.run(["dpkg-deb", "-x", package, UNPACKED], check=True)


class Peer:
	apart = []

	def __init__(self, name, command, config):
		"""{port} and {folder} stand for themselves in the command and in the configuration, {config} is its file."""
		self.name = self.dialect = name
		self.folder = tempfile.TemporaryDirectory(prefix=f"{name}-bench-")
		self.port = self.feed = process.free_port()
		words = {"port": self.port, "folder": self.folder.name, "config": os.path.join(self.folder.name, "config"), "root": UNPACKED}
		with open(words["config"], "w") as f:
			f.write(config % words)
		libraries = glob.glob(os.path.join(UNPACKED, "usr/lib/*-linux-gnu")) + glob.glob(os.path.join(UNPACKED, "lib/*-linux-gnu"))
		with on(SERVER_CPU), open(os.path.join(self.folder.name, "log"), "w") as log:
			self.process = process.spawn(
				[word % words for word in command], stdout=log, stderr=log, env=os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)})
		process.wait_until(self.answers, f"{name} listens")

	def answers(self):
		assert self.process.poll() is None, open(os.path.join(self.folder.name, "log")).read()
		try:
			socket.create_connection(("127.0.0.1", self.port)).close()
			return True
		except OSError:
			return False

	@property
	def pids(self):
		return [self.process.pid, *process.descendants(self.process.pid)]

	def __enter__(self):
		return self

	def __exit__(self, *_):
		process.stop(self.process)
		self.folder.cleanup()


NCHAN = """
load_module %(root)s/usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off; worker_processes 1; pid %(folder)s/pid; user root root;
events { worker_connections 19000; }
http {
	access_log off; client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/fastcgi;
	uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi; keepalive_requests 100000000; keepalive_timeout 600;
	server {
		listen 127.0.0.1:%(port)s; tcp_nodelay on;
		location ~ /pub/(.+)$ { nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 200; }
		location ~ /sub/(.+)$ { nchan_subscriber websocket; nchan_subscriber_first_message newest; nchan_channel_id $1; }
	}
}
"""
MOSQUITTO = """
listener %(port)s 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
user root
"""
# Nchan wants a folder under /var/lib, whatever the configuration says: it sees a private one there.
PRIVATE_VAR = [
	"unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--", "sh", "-c",
	'mkdir -p "$0/nginx" && mount --bind "$0" /var/lib && exec "$@"', "%(folder)s"]
PEERS = [
	("nchan", [*PRIVATE_VAR, f"{UNPACKED}/usr/sbin/nginx", "-e", "%(folder)s/errors", "-p", "%(folder)s", "-c", "%(config)s"], NCHAN),
	("mosquitto", [f"{UNPACKED}/usr/sbin/mosquitto", "-c", "%(config)s"], MOSQUITTO),
	("nats", [f"{UNPACKED}/usr/sbin/nats-server", "-a", "127.0.0.1", "-p", "%(port)s"], ""),
]

LOADS = {
	"fan-out": dict(clients=1000, messages=400, warmup=40, rate=20, wait=1),
	"50 back to back": dict(clients=1000, messages=4000, warmup=200, burst=50, rate=20, wait=1),
}


def peers(bench):
	fetch()
	with ExitStack() as stack:
		fanfare = stack.enter_context(Fanfare())
		for peer in (stack.enter_context(Peer(*peer)) for peer in PEERS):
			for what, load in LOADS.items():
				load = load | {"messages": bench.scaled(load["messages"])}
				ours, theirs = bench.compare([fanfare, peer], **load)
				yield Row(
					"peers", f"{what}, 1,000 subscribers, 128 B; {peer.name}", microseconds(median(cost(ours))),
					f"{microseconds(median(cost(theirs)))} ({peer.name})", ratio(cost(ours), cost(theirs)),
					target=1, target_text="ahead", beside=beside(theirs))
