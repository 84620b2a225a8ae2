"""Applies patches in the delta format of the Fossil version control system."""

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"


class BadPatch(AssertionError):
	pass


def _number(patch, at):
	value = 0
	while at < len(patch) and chr(patch[at]) in DIGITS:
		value, at = value * 64 + DIGITS.index(chr(patch[at])), at + 1
	if at >= len(patch):
		raise BadPatch("ends within a number")
	return value, chr(patch[at]), at + 1


def checksum(data):
	padded = data + b"\0" * (-len(data) % 4)
	return sum(int.from_bytes(padded[i:i + 4], "big") for i in range(0, len(padded), 4)) & 0xFFFFFFFF


def apply(source, patch):
	"""The target, as bytes; BadPatch when it cannot be made or is not what the patch says of it."""
	length, end, at = _number(patch, 0)
	target = b""
	if end != "\n":
		raise BadPatch("no length")
	while True:
		count, operator, at = _number(patch, at)
		if operator == "@":
			offset, comma, at = _number(patch, at)
			if comma != "," or offset + count > len(source):
				raise BadPatch("a copy from beyond the source")
			target += source[offset:offset + count]
		elif operator == ":":
			target, at = target + patch[at:at + count], at + count
		elif operator == ";":
			if at != len(patch) or len(target) != length or count != checksum(target):
				raise BadPatch("length or checksum differs")
			return target
		else:
			raise BadPatch(f"unknown operator {operator!r}")
