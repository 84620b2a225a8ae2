/* json_writer.c: escaping, also of bytes that are no text, against jansson's reading of it; compaction;
 * commas and omissions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "json_writer.h"
#include "utf8.h"

static const struct {
	struct bytes text;
	const char *string;
} strings[] = {
	{BYTES(""), "\"\""},
	{BYTES("news:a_b-1"), "\"news:a_b-1\""},
	{BYTES("\"\\/\n\r\t\b\f"), "\"\\\"\\\\/\\n\\r\\t\\u0008\\u000c\""},
	{BYTES("\0\x1f\x7f"), "\"\\u0000\\u001f\x7f\""},
	{BYTES("a<b>&c"), "\"a\\u003cb\\u003e\\u0026c\""},
	{BYTES("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"),
         "\"\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa\""},
	{BYTES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
	{BYTES("a\xff"
               "b\xc3"),
         "\"a\\ufffdb\\ufffd\""},
	{BYTES("\xe2\x80"), "\"\\ufffd\\ufffd\""},
	{BYTES("\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\""},
};

static void test_strings(void **state)
{
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		buf_reset(&out);
		json_put_string(&out, strings[i].text);
		buf_putc(&out, '\0');
		assert_string_equal(out.data, strings[i].string);
	}
	buf_free(&out);
}

/* Random bytes, about half of them valid, give a string that jansson reads; valid ones come out the same. */
static void test_random_strings_are_read_by_jansson(void **state)
{
	static const char *const pieces[] = {
		"a",    "\"",      "\\", "<", "\n", "\x01", "\xc3\xa9", "\xe2\x80\xa8", "\xf0\x9f\x98\x80",
		"\xff", "\xe2\x82"};
	struct buf text;
	struct buf out;
	json_t *read;
	unsigned seed = 1;

	buf_init(&text, 1000);
	buf_init(&out, 1000);
	for (int round = 0; round < 20000; round++) {
		buf_reset(&text);
		buf_reset(&out);
		buf_putc(&text, ' ');
		for (int n = rand_r(&seed) % 8; n > 0; n--)
			buf_puts(&text,
			         pieces[(unsigned)rand_r(&seed) % (ARRAY_LEN(pieces) - (round % 2 ? 2 : 0))]);
		json_put_string(&out, buf_bytes(&text));
		read = json_loadb(out.data, out.len, JSON_DECODE_ANY, NULL);
		assert_non_null(read);
		if (utf8_valid(buf_bytes(&text)))
			assert_true(bytes_eq(buf_bytes(&text), BYTES_OF_STR(json_string_value(read))));
		json_decref(read);
	}
	buf_free(&text);
	buf_free(&out);
}

static void test_compact_takes_out_newlines_only(void **state)
{
	struct buf out;

	buf_init(&out, 1000);
	json_put_compact(&out, BYTES("{\n  \"a\": 1,\r\n\t\"b\\n\": [\n\n1\n]\n}"));
	assert_true(bytes_eq(buf_bytes(&out), BYTES("{  \"a\": 1,\r\t\"b\\n\": [1]}")));
	buf_reset(&out);
	json_put_compact(&out, BYTES("17"));
	assert_true(bytes_eq(buf_bytes(&out), BYTES("17")));
	buf_free(&out);
}

static void test_members(void **state)
{
	struct buf out;

	buf_init(&out, 1000);
	json_open(&out, '{');
	json_member_string(&out, "none", BYTES_NONE);
	json_member_uint(&out, "none", 0);
	json_member_bool(&out, "none", false);
	json_member_raw(&out, "none", BYTES_NONE);
	json_name(&out, "list");
	json_open(&out, '[');
	for (int i = 0; i < 3; i++) {
		json_element(&out);
		json_open(&out, '{');
		json_close(&out, '}');
	}
	json_close(&out, ']');
	json_member_raw(&out, "raw", BYTES("[ 1.0 ]"));
	json_member_uint(&out, "uint", UINT64_MAX);
	json_member_bool(&out, "bool", true);
	json_member_string(&out, "string", BYTES("{"));
	json_member_string(&out, "last", BYTES("["));
	json_close(&out, '}');
	assert_true(bytes_eq(
		buf_bytes(&out),
		BYTES("{\"list\":[{},{},{}],\"raw\":[ 1.0 ],\"uint\":18446744073709551615,\"bool\":true,"
	              "\"string\":\"{\",\"last\":\"[\"}")));
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_random_strings_are_read_by_jansson),
		cmocka_unit_test(test_compact_takes_out_newlines_only),
		cmocka_unit_test(test_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
