"""An SDK that subscribes, and what it reports, written into the record as the native checker does."""

import queue
import threading

from lib.sdk import Failed

OWN_CODES = range(0, 100)  # why an SDK connects anew that are not the broker's


class SdkSubscriber:
	def __init__(self, record, sdk):
		self.record, self.sdk = record, sdk
		self.waiting, self.lock, self.over = {}, threading.Lock(), threading.Event()
		self.trouble = None
		self.thread = threading.Thread(target=self._run, daemon=True)
		self.thread.start()
		self.do("connect")
		for channel in record.events:
			self.do("subscribe", channel=channel)

	def do(self, name, **members):
		"""Runs the command to its end; raises Failed with the SDK's error. For any thread."""
		outcome = queue.Queue(1)
		with self.lock:
			self.waiting[self.sdk.start(name, **members)] = outcome
		event = outcome.get(timeout=60)
		if event["event"] == "failed":
			raise Failed(event)

	def _run(self):
		try:
			while not self.over.is_set():
				try:
					self._take(self.sdk.events.get(timeout=0.2))
				except queue.Empty:
					pass
		except Exception as trouble:  # told by close()
			self.trouble = trouble

	def _take(self, event):
		name = event["event"]
		if name in ("done", "failed"):
			with self.lock:
				self.waiting.pop(event["id"]).put(event)
		elif name == "publication":
			self.record.publication(event["channel"], event.get("offset"), event["data"]["key"])
		elif name == "subscribed":
			self.record.subscribed(
				event["channel"], event.get("epoch"), event.get("offset"), event["was_recovering"], event["recovered"])
		elif name == "subscribing" and event.get("code", 0) >= 2500:
			self.record.lost(event["channel"], event["code"])
		elif name == "unsubscribed":
			self.record.lost(event["channel"], event["code"])
		elif name == "connecting" and event["code"] != 0 or name == "disconnected":
			self.record.down(event["code"], event["code"] in OWN_CODES)

	def close(self):
		self.over.set()
		self.thread.join()
		self.sdk.close()
		if self.trouble:
			raise self.trouble
