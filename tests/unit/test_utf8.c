/* utf8.c: the valid and the invalid of RFC 3629, at every split, and against a plain decoder of all pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compiler.h"
#include "utf8.h"

static const struct {
	struct bytes text;
	uint32_t state; /* UTF8_START, UTF8_INVALID, or 1 for "ends inside a character" */
} cases[] = {
	{{"", 0}, UTF8_START},
	{BYTES("plain"), UTF8_START},
	{BYTES("a\0b"), UTF8_START},
	{BYTES("\x7f"), UTF8_START},
	{BYTES("\xc2\x80 \xdf\xbf"), UTF8_START},
	{BYTES("\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"), UTF8_START},
	{BYTES("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"), UTF8_START},
	{BYTES("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"), UTF8_START},
	{BYTES("0123456789012345678901234567890123456789\xe2\x82\xac"
               "0123456789012345678901234567890123456789\xf0\x9f\x98\x80"),
         UTF8_START},
	{BYTES("\x80"), UTF8_INVALID},
	{BYTES("\xbf"), UTF8_INVALID},
	{BYTES("\xc0\x80"), UTF8_INVALID},
	{BYTES("\xc1\xbf"), UTF8_INVALID},
	{BYTES("\xe0\x9f\xbf"), UTF8_INVALID},
	{BYTES("\xed\xa0\x80"), UTF8_INVALID},
	{BYTES("\xed\xbf\xbf"), UTF8_INVALID},
	{BYTES("\xf0\x8f\xbf\xbf"), UTF8_INVALID},
	{BYTES("\xf4\x90\x80\x80"), UTF8_INVALID},
	{BYTES("\xf5\x80\x80\x80"), UTF8_INVALID},
	{BYTES("\xff"), UTF8_INVALID},
	{BYTES("\xfe"), UTF8_INVALID},
	{BYTES("\xc3("), UTF8_INVALID},
	{BYTES("\xe2\x82("), UTF8_INVALID},
	{BYTES("\xe2\x82\xe2"), UTF8_INVALID},
	{BYTES("0123456789012345678901234567890123456789\x80 0123456789012345678901234567890"), UTF8_INVALID},
	{BYTES("0123456789012345678901234567890\xff"), UTF8_INVALID},
	{BYTES("\xf4\x90"), UTF8_INVALID}, /* told at the second byte, not at the fourth */
	{BYTES("\xc3"), 1},
	{BYTES("\xe2\x82"), 1},
	{BYTES("\xf0\x9f\x98"), 1},
	{BYTES("01234567890123456789012345678901\xf0"), 1},
};

static void check_state(uint32_t state, uint32_t expected)
{
	if (expected == 1)
		assert_true(state != UTF8_START && state != UTF8_INVALID);
	else
		assert_int_equal(state, expected);
}

static struct bytes cut(struct bytes text, size_t from, size_t to)
{
	return (struct bytes){text.ptr + from, to - from};
}

static void test_cases_at_every_split(void **unused)
{
	size_t i;
	size_t at;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes text = cases[i].text;
		uint32_t state = UTF8_START;

		assert_int_equal(utf8_valid(text), cases[i].state == UTF8_START);
		for (at = 0; at < text.len; at++)
			state = utf8_continue(state, cut(text, at, at + 1));
		check_state(state, cases[i].state);
		for (at = 0; at <= text.len; at++) {
			state = utf8_continue(UTF8_START, cut(text, 0, at));
			check_state(utf8_continue(state, cut(text, at, text.len)), cases[i].state);
		}
	}
}

static void test_every_code_point(void **unused)
{
	uint32_t c;

	for (c = 0x80; c <= 0x1fffff; c++) {
		char text[4] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)),
		                (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f))};

		/* Four bytes are right for these only; for smaller ones they are overlong. */
		assert_int_equal(utf8_valid((struct bytes){text, 4}), c >= 0x10000 && c <= 0x10ffff);
		if (c > 0xffff)
			continue;
		text[1] = (char)(0xe0 | c >> 12);
		assert_int_equal(utf8_valid((struct bytes){text + 1, 3}),
		                 c >= 0x800 && (c < 0xd800 || c > 0xdfff));
		if (c > 0x7ff)
			continue;
		text[2] = (char)(0xc0 | c >> 6);
		assert_true(utf8_valid((struct bytes){text + 2, 2}));
	}
}

static void test_invalid_is_for_ever(void **unused)
{
	assert_int_equal(utf8_continue(UTF8_INVALID, BYTES("")), UTF8_INVALID);
	assert_int_equal(utf8_continue(UTF8_INVALID, BYTES("a")), UTF8_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases_at_every_split),
		cmocka_unit_test(test_every_code_point),
		cmocka_unit_test(test_invalid_is_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
