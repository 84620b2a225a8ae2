"""A calendar that can be moved while programs look at it: their clock that only goes forward is left alone."""

import os
import struct
import subprocess

from .broker import ENVIRONMENT


class Clock:
	"""Programs started with the environment see the calendar moved by jump(seconds)."""

	def __init__(self, folder):
		library, self.path = os.path.join(folder, "clock_jump.so"), os.path.join(folder, "offset")
		source = os.path.join(os.path.dirname(__file__), "clock_jump.c")
		subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
		with open(self.path, "wb") as f:
			f.write(bytes(8))
		self.environment = {
			"LD_PRELOAD": library, "CLOCK_JUMP_FILE": self.path,
			"ASAN_OPTIONS": ENVIRONMENT["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}

	def jump(self, seconds):
		with open(self.path, "r+b") as f:
			f.write(struct.pack("=q", seconds))
