"""What was published: every message has a key, and the ledger knows when it was sent and when Redis had taken it."""

import time


class Ledger:
	"""Publishers write in it from their threads, subscribers look keys up; the judge reads it afterwards."""

	def __init__(self):
		self.begun = {}  # key: time
		self.channel = {}  # key: channel
		self.acked = {}  # key: (time, offset, epoch); offset 0 and epoch "" where the answer does not tell
		self.repeated = set()  # keys that were sent again, as it was not known whether Redis had taken them

	def begin(self, key, channel):
		self.channel[key] = channel
		self.begun[key] = time.monotonic()

	def ack(self, key, offset=0, epoch=""):
		self.acked[key] = (time.monotonic(), offset, epoch)

	def acked_at(self, key):
		return self.acked[key][0] if key in self.acked else None


class Record:
	"""What one subscriber got: for each channel a list of events, each a tuple that begins with time and kind."""

	SUBSCRIBED = "subscribed"  # epoch, offset, was_recovering, recovered
	PUBLICATION = "publication"  # offset (None: has none), key
	LOST = "lost"  # code of the unsubscribe push
	DOWN = "down"  # close code, whether the subscriber did it itself

	def __init__(self, name, channels, ledger, steady=True):
		self.name, self.ledger, self.steady = name, ledger, steady
		self.events = {channel: [] for channel in channels}
		self.newest = dict.fromkeys(channels, 0.0)  # when the last that came was sent

	def _add(self, channel, *event):
		self.events[channel].append((time.monotonic(), *event))

	def subscribed(self, channel, epoch, offset, was_recovering, recovered):
		self._add(channel, self.SUBSCRIBED, epoch, offset, was_recovering, recovered)

	def publication(self, channel, offset, key):
		self._add(channel, self.PUBLICATION, offset, key)
		self.newest[channel] = self.ledger.begun.get(key, 0.0)

	def lost(self, channel, code):
		self._add(channel, self.LOST, code)

	def down(self, code, own):
		for channel in self.events:
			self._add(channel, self.DOWN, code, own)

	def is_subscribed(self):
		"""To all its channels."""
		return all(events and events[-1][1] in (self.SUBSCRIBED, self.PUBLICATION) for events in self.events.values())
