"""Compares a message with a recorded one, in which placeholders stand for what the server chooses.

A binding is a dictionary from placeholder to value, as learnt so far in the scenario. Matching may be ambiguous (placeholders
as member names, messages in any order), so matches() yields every binding under which it succeeds, and callers take the first.
"""

import itertools
import json
import re
import time

CHOSEN = re.compile(r"<(client|session|epoch|id):\d+>")
TTL = re.compile(r"<ttl:(\d+)>")


class Raw(str):
	"""The text of a payload, compared character by character."""

	def __repr__(self):
		return f"Raw({str(self)})"


def parse(text):
	return json.loads(text)


def parse_raw(text):
	"""As parse(), but each value of a member `data` is Raw."""
	value, end = _raw_value(text, _skip(text, 0))
	if _skip(text, end) != len(text):
		raise ValueError(f"something after the value in {text!r}")
	return value


def _skip(text, at):
	while at < len(text) and text[at] in " \t\r\n":
		at += 1
	return at


def _raw_value(text, at):
	if text[at] == "{":
		return _raw_object(text, at)
	if text[at] == "[":
		return _raw_array(text, at)
	return json.JSONDecoder().raw_decode(text, at)


def _raw_object(text, at):
	members, at = {}, _skip(text, at + 1)
	while text[at] != "}":
		name, at = json.JSONDecoder().raw_decode(text, at)
		at = _skip(text, _skip(text, at) + 1)
		if name == "data":
			_, end = json.JSONDecoder().raw_decode(text, at)
			members[name], at = Raw(text[at:end]), end
		else:
			members[name], at = _raw_value(text, at)
		at = _skip(text, at)
		at = _skip(text, at + 1) if text[at] == "," else at
	return members, at + 1


def _raw_array(text, at):
	items, at = [], _skip(text, at + 1)
	while text[at] != "]":
		item, at = _raw_value(text, at)
		items.append(item)
		at = _skip(text, at)
		at = _skip(text, at + 1) if text[at] == "," else at
	return items, at + 1


def matches(expected, actual, bound):
	"""Yields the bindings (bound or an extension of it) under which actual is what is expected."""
	if isinstance(expected, Raw) or isinstance(actual, Raw):
		if type(expected) is type(actual) and expected == actual:
			yield bound
	elif isinstance(expected, dict):
		if isinstance(actual, dict):
			yield from _matches_object(expected, actual, bound)
	elif isinstance(expected, list):
		if isinstance(actual, list) and len(expected) == len(actual):
			yield from matches_in_order(expected, actual, bound)
	elif isinstance(expected, str) and expected.startswith("<"):
		yield from _matches_placeholder(expected, actual, bound)
	elif _equal_scalars(expected, actual):
		yield bound


def _equal_scalars(expected, actual):
	if isinstance(expected, bool) or isinstance(actual, bool) or isinstance(expected, str) or expected is None:
		return type(expected) is type(actual) and expected == actual
	return isinstance(actual, (int, float)) and expected == actual


def _matches_placeholder(name, actual, bound):
	ttl = TTL.fullmatch(name)
	if CHOSEN.fullmatch(name):
		yield from _matches_chosen(name, actual, bound)
	elif name == "<any>":
		yield bound
	elif name in ("<version>", "<delta>"):  # whether a patch applies is another question
		if isinstance(actual, str) and actual:
			yield bound
	elif ttl:
		if type(actual) is int and int(ttl[1]) - 2 <= actual <= int(ttl[1]):
			yield bound
	elif name == "<time>":
		if type(actual) is int and abs(actual - time.time() * 1000) < 60000:
			yield bound
	elif name == actual:
		yield bound


def _matches_chosen(name, actual, bound):
	kind = name[1:].partition(":")[0]
	if name in bound:
		if type(bound[name]) is type(actual) and bound[name] == actual:
			yield bound
		return
	fit = type(actual) is int and actual > 0 if kind == "id" else isinstance(actual, str) and actual not in ("", "_")
	taken = any(other.startswith(f"<{kind}:") and value == actual for other, value in bound.items())
	if fit and not taken:
		yield bound | {name: actual}


def _matches_object(expected, actual, bound):
	wanted = {name for name in expected if not CHOSEN.fullmatch(name)}
	open_names = [name for name in expected if name not in wanted]
	if not wanted <= actual.keys():
		return
	rest = set(actual) - wanted
	if _is_first_publication(expected):
		rest -= {"epoch"}
	if len(rest) != len(open_names):
		return
	for names in itertools.permutations(sorted(rest)):
		pairs = [(open_name, name) for open_name, name in zip(open_names, names)]
		pairs += [(expected[open_name], actual[name]) for open_name, name in zip(open_names, names)]
		pairs += [(expected[name], actual[name]) for name in sorted(wanted)]
		yield from matches_in_order([e for e, _ in pairs], [a for _, a in pairs], bound)


def _is_first_publication(expected):
	"""It may carry the epoch of the stream although the recording has none."""
	return "data" in expected and expected.get("offset") == 1 and "epoch" not in expected


def matches_in_order(expected, actual, bound):
	if not expected:
		yield bound
		return
	for extended in matches(expected[0], actual[0], bound):
		yield from matches_in_order(expected[1:], actual[1:], extended)


def matches_interleaved(expected, actual, bound):
	"""Replies in their order, pushes in theirs; how the two interleave is free."""
	def split(messages):
		pushes = [m for m in messages if "push" in m]
		return [m for m in messages if "push" not in m] + pushes, len(pushes)
	(expected, expected_pushes), (actual, actual_pushes) = split(expected), split(actual)
	if expected_pushes == actual_pushes:
		yield from matches_in_order(expected, actual, bound)


def matches_any_order(expected, actual, bound):
	if not expected:
		yield bound
		return
	for i, candidate in enumerate(actual):
		for extended in matches(expected[0], candidate, bound):
			yield from matches_any_order(expected[1:], actual[:i] + actual[i + 1:], extended)
