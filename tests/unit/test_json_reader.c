/* json_reader.c: verdicts on a table of texts and, for random texts and their mutations, at each alignment
 * and at the end of a page, against jansson; the walks give the same tree as jansson's; nothing reads past
 * the end of a text cut off anywhere. Is built a second time without what only some processors can do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "guarded.h"
#include "json_reader.h"
#include "mem.h"

static const struct {
	struct bytes text;
	bool valid;
} cases[] = {
	{BYTES("null"), true},
	{BYTES(" \t\r\n[ ] \n"), true},
	{BYTES("{\"a\":{\"b\":[1,-0,0.5,1e400,1E+2,-2.5e-10,true,false,null,\"\"]},\"\":1}"), true},
	{BYTES("123456789012345678901234567890123456789012345678901234567890"), true},
	{BYTES("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\uD83d\\uDE00\\ud800\""), true},
	{BYTES("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\""), true},
	{BYTES("{\"a\":1,\"a\":2}"), true},
	{BYTES(""), false},
	{BYTES(" "), false},
	{BYTES("hello"), false},
	{BYTES("nul"), false},
	{BYTES("nulll"), false},
	{BYTES("NaN"), false},
	{BYTES("Infinity"), false},
	{BYTES("01"), false},
	{BYTES("-"), false},
	{BYTES("-01"), false},
	{BYTES("+1"), false},
	{BYTES("1."), false},
	{BYTES(".5"), false},
	{BYTES("1e"), false},
	{BYTES("1e+"), false},
	{BYTES("0x10"), false},
	{BYTES("1 2"), false},
	{BYTES("{}{}"), false},
	{BYTES("{} x"), false},
	{BYTES("{\"a\":1,}"), false},
	{BYTES("{,\"a\":1}"), false},
	{BYTES("[1,]"), false},
	{BYTES("[,1]"), false},
	{BYTES("[1 2]"), false},
	{BYTES("[1}"), false},
	{BYTES("{\"a\"}"), false},
	{BYTES("{\"a\":}"), false},
	{BYTES("{\"a\" 1}"), false},
	{BYTES("{\"a\":1]"), false},
	{BYTES("{1:1}"), false},
	{BYTES("{'a':1}"), false},
	{BYTES("{}/*x*/"), false},
	{BYTES("]"), false},
	{BYTES("\"abc"), false},
	{BYTES("\"\\x\""), false},
	{BYTES("\"\\u12\""), false},
	{BYTES("\"\\u12g4\""), false},
	{BYTES("\"a\nb\""), false},
	{BYTES("\"a\tb\""), false},
	{BYTES("\"0123456789\x01\""), false},
	{BYTES("\"a\0b\""), false},
	{BYTES("1\0"), false},
	{BYTES("\xef\xbb\xbf{}"), false},
	{BYTES("\"\xff\""), false},
	{BYTES("\"\xc0\x80\""), false},
	{BYTES("\"\xed\xa0\x80\""), false},
	{BYTES("\"\xe2\x82\""), false},
	{BYTES("\xc3\xa9"), false},
};

/* A copy without a byte to spare, so that a sanitizer sees whoever reads on. */
static bool parse_copy(struct bytes text)
{
	char *copy = mem_realloc(NULL, text.len ? text.len : 1);
	struct json_value value;
	bool ok;

	memcpy(copy, text.ptr, text.len);
	ok = json_parse((struct bytes){text.len ? copy : copy + 1, text.len}, &value);
	mem_free(copy);
	return ok;
}

static void test_verdicts(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (parse_copy(cases[i].text) != cases[i].valid)
			fail_msg("case %zu: %.*s", i, BYTES_FMT(cases[i].text));
}

static void test_depth_has_a_ceiling(void **state)
{
	char text[2 * JSON_MAX_DEPTH + 2];

	memset(text, '[', JSON_MAX_DEPTH);
	memset(text + JSON_MAX_DEPTH, ']', JSON_MAX_DEPTH);
	assert_true(parse_copy((struct bytes){text, 2 * JSON_MAX_DEPTH}));
	memset(text, '[', JSON_MAX_DEPTH + 1);
	memset(text + JSON_MAX_DEPTH + 1, ']', JSON_MAX_DEPTH + 1);
	assert_false(parse_copy((struct bytes){text, sizeof(text)}));
	memset(text, '[', sizeof(text));
	assert_false(parse_copy((struct bytes){text, sizeof(text)}));
}

static void test_depth_of_a_value(void **state)
{
	static const struct {
		const char *text;
		unsigned depth;
	} deep[] = {{"1", 0}, {"\"[[[\"", 0}, {"[]", 1}, {"{\"[\":\"{\"}", 1}, {"[[],{\"a\":[1]},[]]", 3}};
	struct json_value value;

	for (size_t i = 0; i < ARRAY_LEN(deep); i++) {
		assert_true(json_parse(BYTES_OF_STR(deep[i].text), &value));
		assert_int_equal(json_depth(value), deep[i].depth);
	}
}

static void test_value_is_trimmed_and_typed(void **state)
{
	static const struct {
		const char *text;
		const char *value;
		enum json_value_type type;
	} typed[] = {
		{" null ", "null", JSON_VALUE_NULL},
		{"\ttrue", "true", JSON_VALUE_BOOL},
		{"false\r", "false", JSON_VALUE_BOOL},
		{" -1.0 ", "-1.0", JSON_VALUE_NUMBER},
		{" \"a\\\"\" ", "\"a\\\"\"", JSON_VALUE_STRING},
		{"\n[ 1 ]\n", "[ 1 ]", JSON_VALUE_ARRAY},
		{" { } ", "{ }", JSON_VALUE_OBJECT},
	};
	struct json_value value;

	for (size_t i = 0; i < ARRAY_LEN(typed); i++) {
		assert_true(json_parse(BYTES_OF_STR(typed[i].text), &value));
		assert_true(bytes_eq(value.text, BYTES_OF_STR(typed[i].value)));
		assert_int_equal(value.type, typed[i].type);
	}
}

static void test_keys_are_compared_with_escapes_resolved(void **state)
{
	assert_true(json_key_is(BYTES("id"), "id"));
	assert_true(json_key_is(BYTES("\\u0069d"), "id"));
	assert_true(json_key_is(BYTES("\\u0069\\u0064"), "id"));
	assert_false(json_key_is(BYTES("Id"), "id"));
	assert_false(json_key_is(BYTES("i"), "id"));
	assert_false(json_key_is(BYTES("idx"), "id"));
	assert_false(json_key_is(BYTES("\\u0069dx"), "id"));
	assert_false(json_key_is(BYTES("i\\u0000d"), "id"));
	assert_false(json_key_is(BYTES("\\ud800"), "id"));
	assert_false(json_key_is(BYTES(""), "id"));
	assert_true(json_key_is(BYTES(""), ""));
	assert_true(json_key_is(BYTES("a\\/\\n"), "a/\n"));
}

static void test_unescape(void **state)
{
	static const struct {
		const char *string;
		struct bytes text;
	} strings[] = {
		{"\"\"", BYTES("")},
		{"\"plain\"", BYTES("plain")},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", BYTES("\"\\/\b\f\n\r\t")},
		{"\"a\\u0000b\"", BYTES("a\0b")},
		{"\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", BYTES("A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")},
		{"\"\\udbff\\udfff\"", BYTES("\xf4\x8f\xbf\xbf")},
		{"\"\\ud800\"", BYTES("\xef\xbf\xbd")},
		{"\"\\ud800x\"", BYTES("\xef\xbf\xbdx")},
		{"\"\\ude00\\ud83d\"", BYTES("\xef\xbf\xbd\xef\xbf\xbd")},
		{"\"\\ud83d\\ud83d\\ude00\"", BYTES("\xef\xbf\xbd\xf0\x9f\x98\x80")},
		{"\"\\ud83d\\n\"", BYTES("\xef\xbf\xbd\n")},
	};
	struct json_value value;
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		assert_true(json_parse(BYTES_OF_STR(strings[i].string), &value));
		buf_reset(&out);
		json_unescape(value, &out);
		assert_true(buf_ok(&out));
		assert_true(bytes_eq(buf_bytes(&out), strings[i].text));
	}
	buf_free(&out);
}

static bool uint_of(const char *text, uint64_t max, uint64_t *out)
{
	struct json_value value;

	assert_true(json_parse(BYTES_OF_STR(text), &value));
	return json_uint(value, max, out);
}

static bool int_of(const char *text, int64_t min, int64_t max, int64_t *out)
{
	struct json_value value;

	assert_true(json_parse(BYTES_OF_STR(text), &value));
	return json_int(value, min, max, out);
}

static void test_integers(void **state)
{
	static const char *const none[] = {"1.0", "1e0", "\"1\"", "true", "null",
	                                   "[]",  "-1",  "-0",    "1E2",  "0.0"};
	uint64_t u;
	int64_t n;

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_false(uint_of(none[i], UINT64_MAX, &u));
	/* A member that was absent. */
	assert_false(json_uint((struct json_value){.type = JSON_VALUE_NULL}, UINT64_MAX, &u));
	assert_false(json_int((struct json_value){.type = JSON_VALUE_NULL}, INT64_MIN, INT64_MAX, &n));
	assert_true(uint_of("0", 0, &u) && u == 0);
	assert_true(uint_of("18446744073709551615", UINT64_MAX, &u) && u == UINT64_MAX);
	assert_false(uint_of("18446744073709551616", UINT64_MAX, &u));
	assert_false(uint_of("99999999999999999999", UINT64_MAX, &u));
	assert_true(uint_of("4294967295", UINT32_MAX, &u) && u == UINT32_MAX);
	assert_false(uint_of("4294967296", UINT32_MAX, &u));
	assert_true(int_of("-9223372036854775808", INT64_MIN, INT64_MAX, &n) && n == INT64_MIN);
	assert_false(int_of("-9223372036854775809", INT64_MIN, INT64_MAX, &n));
	assert_true(int_of("9223372036854775807", INT64_MIN, INT64_MAX, &n) && n == INT64_MAX);
	assert_false(int_of("9223372036854775808", INT64_MIN, INT64_MAX, &n));
	assert_true(int_of("-2147483648", INT32_MIN, INT32_MAX, &n) && n == INT32_MIN);
	assert_false(int_of("2147483648", INT32_MIN, INT32_MAX, &n));
	assert_true(int_of("-0", INT32_MIN, INT32_MAX, &n) && n == 0);
	assert_false(int_of("-1.5", INT32_MIN, INT32_MAX, &n));
	assert_false(int_of("\"-1\"", INT32_MIN, INT32_MAX, &n));
}

/* The tree that jansson would have made, made by way of our walks. */
static json_t *tree(struct json_value value);

static json_t *tree_of_string(struct json_value string)
{
	struct buf text;
	json_t *node;

	buf_init(&text, 1 << 20);
	json_unescape(string, &text);
	assert_true(buf_ok(&text));
	node = json_stringn(text.data ? text.data : "", text.len);
	buf_free(&text);
	return node;
}

static json_t *tree_of_array(struct json_value array)
{
	struct json_iter it = json_iter(array);
	struct json_value element;
	json_t *node = json_array();

	while (json_next_element(&it, &element))
		json_array_append_new(node, tree(element));
	return node;
}

static json_t *tree_of_object(struct json_value object)
{
	struct json_iter it = json_iter(object);
	struct json_value member;
	struct bytes key;
	json_t *node = json_object();
	json_t *name;

	while (json_next_member(&it, &key, &member)) {
		name = tree_of_string((struct json_value){JSON_VALUE_STRING, {key.ptr - 1, key.len + 2}});
		json_object_set_new(node, json_string_value(name), tree(member));
		json_decref(name);
	}
	return node;
}

static json_t *tree(struct json_value value)
{
	switch (value.type) {
	case JSON_VALUE_OBJECT: return tree_of_object(value);
	case JSON_VALUE_ARRAY: return tree_of_array(value);
	case JSON_VALUE_STRING: return tree_of_string(value);
	default: return json_loadb(value.text.ptr, value.text.len, JSON_DECODE_ANY, NULL);
	}
}

/* What jansson refuses and RFC 8259 does not: numbers that it cannot hold, lone surrogates, NUL in names. */
static bool refused_by_jansson_alone(const json_error_t *error)
{
	return json_error_code(error) == json_error_numeric_overflow ||
	       json_error_code(error) == json_error_null_byte_in_key ||
	       strncmp(error->text, "invalid Unicode", 15) == 0;
}

/* The same wherever it stands; and so it can be read up to its last byte, and no further. */
static bool parse_everywhere(struct bytes text, struct json_value *value, unsigned seed)
{
	bool ok = json_parse(text, value);
	struct json_value again;

	for (size_t behind = 0; behind < 16; behind++) {
		char *copy = guarded_end() - behind - text.len;

		memcpy(copy, text.ptr, text.len);
		memset(copy + text.len, '"', behind);
		if (json_parse((struct bytes){copy, text.len}, &again) != ok)
			fail_msg("seed %u: not so %zu before the end of a page: %.*s", seed, behind,
			         BYTES_FMT(text));
		if (ok)
			assert_true(again.type == value->type && bytes_eq(again.text, value->text));
	}
	return ok;
}

/* A raw NUL is valid nowhere; jansson takes it for the end of the text. */
static void compare_with_jansson(struct bytes text, unsigned seed)
{
	json_error_t error;
	json_t *theirs = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	struct json_value value;
	json_t *ours;
	bool ok = parse_everywhere(text, &value, seed);

	if (memchr(text.ptr, '\0', text.len) != NULL) {
		assert_false(ok);
		json_decref(theirs);
		return;
	}
	if (ok != (theirs != NULL) && !(ok && refused_by_jansson_alone(&error)))
		fail_msg("seed %u: %s, jansson: %s: %.*s", seed, ok ? "valid" : "invalid", error.text,
		         BYTES_FMT(text));
	if (theirs != NULL) {
		ours = tree(value);
		if (!json_equal(ours, theirs))
			fail_msg("seed %u: another tree: %.*s", seed, BYTES_FMT(text));
		json_decref(ours);
	}
	json_decref(theirs);
}

static void put_random_value(struct buf *out, unsigned *seed, unsigned depth);

static void put_random_of(struct buf *out, unsigned *seed, const char *const *choices, size_t count)
{
	buf_puts(out, choices[(unsigned)rand_r(seed) % count]);
}

static void put_random_space(struct buf *out, unsigned *seed)
{
	static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t\r ", "        \n"};

	put_random_of(out, seed, spaces, ARRAY_LEN(spaces));
}

static void put_random_string(struct buf *out, unsigned *seed)
{
	static const char *const pieces[] = {"a",
	                                     "bc",
	                                     "0123456789abcdef",
	                                     "\\\"",
	                                     "\\\\",
	                                     "\\/",
	                                     "\\n",
	                                     "\\u0041",
	                                     "\\u00e9",
	                                     "\\ud83d",
	                                     "\\ude00",
	                                     "\\u0000",
	                                     "\xc3\xa9",
	                                     "\xe2\x82\xac",
	                                     "\xf0\x9f\x98\x80",
	                                     "{",
	                                     "]",
	                                     ",",
	                                     "x0123456789abcdef0123456789abcdef0123456789abcdef"};

	buf_putc(out, '"');
	for (int n = rand_r(seed) % 5; n > 0; n--)
		put_random_of(out, seed, pieces, ARRAY_LEN(pieces));
	buf_putc(out, '"');
}

static void put_random_scalar(struct buf *out, unsigned *seed)
{
	static const char *const scalars[] = {
		"0",    "-0",      "17",           "-1.5",  "1e3",
		"2E-2", "1.25e+2", "123456789012", "1e400", "99999999999999999999",
		"null", "true",    "false"};

	if (rand_r(seed) % 2)
		put_random_string(out, seed);
	else
		put_random_of(out, seed, scalars, ARRAY_LEN(scalars));
}

static void put_random_container(struct buf *out, unsigned *seed, unsigned depth)
{
	bool object = rand_r(seed) % 2;

	buf_putc(out, object ? '{' : '[');
	for (int i = 0, n = rand_r(seed) % 5; i < n; i++) {
		if (i > 0)
			buf_putc(out, ',');
		put_random_space(out, seed);
		if (object) {
			put_random_string(out, seed);
			put_random_space(out, seed);
			buf_putc(out, ':');
		}
		put_random_value(out, seed, depth + 1);
	}
	put_random_space(out, seed);
	buf_putc(out, object ? '}' : ']');
}

static void put_random_value(struct buf *out, unsigned *seed, unsigned depth)
{
	put_random_space(out, seed);
	if (depth < 6 && rand_r(seed) % 2)
		put_random_container(out, seed, depth);
	else
		put_random_scalar(out, seed);
	put_random_space(out, seed);
}

static void mutate(struct buf *text, unsigned *seed)
{
	static const char bytes[] = "{}[]\",:\\ \n0-1.eEtfnu\x00\x1f\x7f\x80\xc3\xff";
	size_t at = (unsigned)rand_r(seed) % text->len;

	switch (rand_r(seed) % 3) {
	case 0: text->data[at] = bytes[(unsigned)rand_r(seed) % (sizeof(bytes) - 1)]; return;
	case 1: text->data[at] ^= (char)(1 << rand_r(seed) % 8); return;
	default:
		memmove(text->data + at, text->data + at + 1, text->len - at - 1);
		text->len--;
		return;
	}
}

static void test_random_texts_like_jansson(void **state)
{
	struct buf text;
	unsigned random;

	buf_init(&text, 1 << 20);
	for (unsigned seed = guarded_seed(), end = seed + 20000; seed != end; seed++) {
		random = seed;
		buf_reset(&text);
		put_random_value(&text, &random, 0);
		for (int n = rand_r(&random) % 3; n > 0 && text.len > 1; n--)
			mutate(&text, &random);
		compare_with_jansson(buf_bytes(&text), seed);
	}
	buf_free(&text);
}

static void test_every_truncation_is_survived(void **state)
{
	struct buf text;
	unsigned seed = 4711;
	bool whole;

	buf_init(&text, 1 << 20);
	for (int round = 0; round < 200; round++) {
		buf_reset(&text);
		put_random_container(&text, &seed, 0);
		whole = parse_copy(buf_bytes(&text));
		assert_true(whole);
		for (size_t len = 0; len < text.len; len++)
			assert_false(parse_copy((struct bytes){text.data, len}));
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t len = 0; len < cases[i].text.len; len++)
			(void)!parse_copy((struct bytes){cases[i].text.ptr, len});
	buf_free(&text);
}

/* What is behind the value may be anything, and is left alone. */
static void test_a_value_is_taken_off_the_front(void **state)
{
	static const struct {
		struct bytes text, value, rest;
	} good[] = {
		{BYTES("1"), BYTES("1"), BYTES("")},
		{BYTES(" {\"a\":[1]} \n,x"), BYTES("{\"a\":[1]}"), BYTES(",x")},
		{BYTES("\"a\\\"\":}"), BYTES("\"a\\\"\""), BYTES(":}")},
		{BYTES("null\xff"), BYTES("null"), BYTES("\xff")},
		{BYTES("1 2"), BYTES("1"), BYTES("2")},
		{BYTES("truex"), BYTES("true"), BYTES("x")},
	};
	static const struct bytes wrong[] = {BYTES(""),    BYTES(" "),   BYTES("x"),       BYTES("[1"),
	                                     BYTES("\"a"), BYTES("{a}"), BYTES("\"\\x\""), BYTES("]")};
	struct json_value value;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct bytes text = good[i].text;

		assert_int_equal(json_take(&text, &value), JSON_GOOD);
		assert_true(bytes_eq(value.text, good[i].value) && bytes_eq(text, good[i].rest));
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct bytes text = wrong[i];

		assert_int_equal(json_take(&text, &value), JSON_BAD);
		assert_true(text.ptr == wrong[i].ptr && text.len == wrong[i].len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_value_is_taken_off_the_front),
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_depth_has_a_ceiling),
		cmocka_unit_test(test_depth_of_a_value),
		cmocka_unit_test(test_value_is_trimmed_and_typed),
		cmocka_unit_test(test_keys_are_compared_with_escapes_resolved),
		cmocka_unit_test(test_unescape),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_random_texts_like_jansson),
		cmocka_unit_test(test_every_truncation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
