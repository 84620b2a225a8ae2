"""The judge of the recorded conversations: it must refuse what differs, or the replay proves nothing."""

import json

import pytest

from lib import fossil, matching


def verdict(expected, actual, bound=None):
	return next(matching.matches(expected, actual, bound or {}), None)


@pytest.mark.parametrize("actual", [
	{"id": 1}, {"id": 2, "x": {}}, {"id": 1, "x": {}, "more": 0}, {"id": True, "x": {}}, {"id": "1", "x": {}}, {"id": 1, "x": []}, None])
def test_a_message_with_other_members_or_values_differs(actual):
	assert verdict({"id": 1, "x": {}}, actual) is None


def test_numbers_compare_as_numbers():
	assert verdict([1, 1.5], [1.0, 1.5]) is not None
	assert verdict(0, False) is None


def test_a_name_stands_for_one_value_and_a_value_for_one_name():
	assert verdict(["<client:1>", "<client:1>"], ["a", "a"]) == {"<client:1>": "a"}
	assert verdict(["<client:1>", "<client:1>"], ["a", "b"]) is None
	assert verdict(["<client:1>", "<client:2>"], ["a", "a"]) is None
	assert verdict("<client:1>", "b", {"<client:1>": "a"}) is None
	assert verdict("<epoch:1>", "_") is None
	assert verdict("<id:1>", 0) is None


def test_names_of_members_are_found_whatever_their_order():
	expected = {"<client:1>": {"user": "x"}, "<client:2>": {"user": "y"}}
	assert verdict(expected, {"a": {"user": "y"}, "b": {"user": "x"}}) == {"<client:1>": "b", "<client:2>": "a"}
	assert verdict(expected, {"a": {"user": "y"}, "b": {"user": "y"}}) is None


def test_payloads_compare_by_their_text_and_the_rest_by_value():
	expected = matching.parse_raw('{"push":{"channel":"c","pub":{"data":{"a":1.0, "a":2}}}}')
	assert verdict(expected, matching.parse_raw('{"push": {"pub":{"data":{"a":1.0, "a":2} }, "channel":"\\u0063"}}')) is not None
	assert verdict(expected, matching.parse_raw('{"push":{"channel":"c","pub":{"data":{"a":1.0,"a":2}}}}')) is None
	assert verdict(expected, matching.parse_raw('{"push":{"channel":"c","pub":{"data":{"a":2}}}}')) is None


@pytest.mark.parametrize("text", ['{}x', '{"data":}', '{"a":1'])
def test_what_is_not_json_is_refused(text):
	with pytest.raises((ValueError, IndexError)):
		matching.parse_raw(text)


def test_only_a_first_publication_may_carry_an_epoch_that_was_not_recorded():
	assert verdict({"data": 1, "offset": 1}, {"data": 1, "offset": 1, "epoch": "e"}) is not None
	assert verdict({"data": 1, "offset": 2}, {"data": 1, "offset": 2, "epoch": "e"}) is None
	assert verdict({"data": 1}, {"data": 1, "epoch": "e"}) is None


def test_replies_and_pushes_interleave_freely_but_keep_their_own_order():
	expected = [{"id": 1}, {"id": 2}, {"push": 1}, {"push": 2}]

	def interleaved(actual):
		return next(matching.matches_interleaved(expected, actual, {}), None)
	assert interleaved([{"push": 1}, {"id": 1}, {"push": 2}, {"id": 2}]) is not None
	assert interleaved([{"push": 2}, {"id": 1}, {"push": 1}, {"id": 2}]) is None
	assert interleaved([{"id": 2}, {"id": 1}, {"push": 1}, {"push": 2}]) is None


def test_any_order_uses_each_message_once():
	assert next(matching.matches_any_order([1, 2, 2], [2, 1, 2], {}), None) is not None
	assert next(matching.matches_any_order([1, 2], [2, 2], {}), None) is None


def test_raw_parsing_gives_the_values_that_json_gives():
	text = '{ "a" : [ 1 , {"b":null} , [] , {} ] , "c":"x,}]" , "d":-1e3 }'
	assert matching.parse_raw(text) == json.loads(text)


def patch(length, body, target):
	digits, sum = "", fossil.checksum(target)
	while sum:
		digits, sum = fossil.DIGITS[sum % 64] + digits, sum // 64
	return f"{length}\n{body}{digits};".encode()


def test_a_patch_copies_and_inserts():
	assert fossil.apply(b"hello world", patch("C", "6@0,6:there!", b"hello there!")) == b"hello there!"


@pytest.mark.parametrize("bad", [
	b"", b"C", b"C\n6@0,", b"C\n6@9,6:there!0;", patch("D", "6@0,6:there!", b"hello there!"),
	patch("C", "6@0,6:there!", b"hello there?"), patch("C", "6@0,6:there!", b"hello there!") + b"x"])
def test_a_patch_that_does_not_fit_is_refused(bad):
	with pytest.raises(fossil.BadPatch):
		fossil.apply(b"hello world", bad)
