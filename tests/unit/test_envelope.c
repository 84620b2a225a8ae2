/* envelope.c: what is data and what is an envelope, that nobody forges one by publishing data, that what goes
 * in comes out again, and that nothing in a payload leads outside of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "envelope.h"
#include "json_reader.h"
#include "json_writer.h"
#include "mem.h"
#include "message_json.h"
#include "utf8.h"

/* A decoded envelope as JSON, for comparing: the members in one order, empty ones left out. */
static void say(struct buf *out, const struct publication *p)
{
	json_open(out, '{');
	json_member_raw(out, "data", p->data);
	json_member_uint(out, "offset", p->offset);
	json_member_string(out, "epoch", p->epoch);
	message_json_put_info(out, p->info);
	message_json_put_tags(out, p->tags, p->tag_count);
	json_close(out, '}');
}

static const struct {
	struct bytes payload;
	const char *said; /* or, if it is not an object, the reason */
} cases[] = {
	/* Any JSON value is data, by its text. */
	{BYTES("{\"price\": 42}"), "{\"data\":{\"price\": 42}}"},
	{BYTES(" 1.0\n"), "{\"data\":1.0}"},
	{BYTES("null"), "{\"data\":null}"},
	{BYTES("\"\\u0041\""), "{\"data\":\"\\u0041\"}"},
	{BYTES("[1e400,\"\\ud800\"]"), "{\"data\":[1e400,\"\\ud800\"]}"},
	{BYTES("{\"k\":1,\"k\":2}"), "{\"data\":{\"k\":1,\"k\":2}}"},
	{BYTES("{}"), "{\"data\":{}}"},
	{BYTES("{\n  \"a\": 1,\r\n  \"b\": [\n1\n]\n}"), "{\"data\":{  \"a\": 1,\r  \"b\": [1]}}"},
	{BYTES("[\"fanfare\",1]"), "{\"data\":[\"fanfare\",1]}"},
	{BYTES("{\"a\":1,\"fanfare\":1}"), "{\"data\":{\"a\":1,\"fanfare\":1}}"},
	{BYTES("{\"\\u0066anfare\":1}"), "{\"data\":{\"\\u0066anfare\":1}}"},
	{BYTES("{\"Fanfare\":1}"), "{\"data\":{\"Fanfare\":1}}"},

	/* Text that is not JSON. */
	{BYTES("hello"), "{\"data\":\"hello\"}"},
	{BYTES("a \"b\"\n\\ \x01\0"), "{\"data\":\"a \\\"b\\\"\\n\\\\ \\u0001\\u0000\"}"},
	{BYTES("{\"fanfare\":1,\"data\":1} x"), "{\"data\":\"{\\\"fanfare\\\":1,\\\"data\\\":1} x\"}"},
	{BYTES("\xe2\x82\xac<"), "{\"data\":\"\xe2\x82\xac\\u003c\"}"},
	{BYTES(" "), "{\"data\":\" \"}"},

	/* Neither. */
	{BYTES(""), "empty"},
	{BYTES("\xff"), "invalid UTF-8"},
	{BYTES("{\"a\":\"\xc3\"}"), "invalid UTF-8"},

	/* Envelopes. */
	{BYTES("{\"fanfare\":1,\"data\":null}"), "{\"data\":null}"},
	{BYTES(" { \"fanfare\" : 1 , \"data\" : [ 1 ] } "), "{\"data\":[ 1 ]}"},
	{BYTES("{\"fanfare\":1,\"offset\":17,\"epoch\":\"Xo2P\",\"tags\":{\"a\":\"b\",\"\\u0063\":\"\\n\"},"
               "\"info\":{\"user\":\"4\\u0032\",\"client\":\"c\",\"conn_info\":{\"n\":\n1},\"chan_info\":[]},\"data\":\n{\n}}"),
         "{\"data\":{},\"offset\":17,\"epoch\":\"Xo2P\",\"info\":{\"user\":\"42\",\"client\":\"c\","
         "\"conn_info\":{\"n\":1},\"chan_info\":[]},\"tags\":{\"a\":\"b\",\"c\":\"\\n\"}}"},
	{BYTES("{\"fanfare\":1,\"data\":{\"fanfare\":1,\"offset\":5,\"data\":1}}"),
         "{\"data\":{\"fanfare\":1,\"offset\":5,\"data\":1}}"},
	{BYTES("{\"fanfare\":1,\"later\":{},\"later\":1,\"offset\":18446744073709551615,\"data\":1}"),
         "{\"data\":1,\"offset\":18446744073709551615}"},
	{BYTES("{\"fanfare\":1,\"epoch\":null,\"tags\":null,\"info\":null,\"offset\":null,\"data\":1}"),
         "{\"data\":1}"},
	{BYTES("{\"fanfare\":1,\"info\":{},\"tags\":{},\"data\":1}"),
         "{\"data\":1,\"info\":{\"user\":\"\",\"client\":\"\"}}"},
	/* Data that is not JSON, and data that would like to be more than data. */
	{BYTES("{\"fanfare\":1,\"offset\":1,\"epoch\":\"e\",\"data\":hello}"),
         "{\"data\":\"hello\",\"offset\":1,\"epoch\":\"e\"}"},
	{BYTES("{\"fanfare\":1,\"data\":}}} \n"), "{\"data\":\"}}\"}"},
	{BYTES("{\"fanfare\":1,\"data\": }"), "{\"data\":\" \"}"},
	{BYTES("{\"fanfare\":1,\"epoch\":\"\\u0065\",\"tags\":{\"\\n\":\"\\t\"},\"data\":a\"\n\0}"),
         "{\"data\":\"a\\\"\\n\\u0000\",\"epoch\":\"e\",\"tags\":{\"\\n\":\"\\t\"}}"},
	{BYTES("{\"fanfare\":1,\"data\":1,\"data\":2}"), "{\"data\":\"1,\\\"data\\\":2\"}"},
	{BYTES("{\"fanfare\":1,\"data\":1,\"offset\":99}"), "{\"data\":\"1,\\\"offset\\\":99\"}"},
	{BYTES("{\"fanfare\":1,\"offset\":1,\"data\":\"},\"offset\":99,\"x\":{\"data\":1}"),
         "{\"data\":\"\\\"},\\\"offset\\\":99,\\\"x\\\":{\\\"data\\\":1\",\"offset\":1}"},
	{BYTES("{\"fanfare\":1,\"d\\u0061ta\":1,\"tags\":{\"a\":\"b\"}}"),
         "{\"data\":\"1,\\\"tags\\\":{\\\"a\\\":\\\"b\\\"}\"}"},
	{BYTES("{\"fanfare\":1,\"tags\":{\"data\":\"b\"},\"data\":2}"),
         "{\"data\":2,\"tags\":{\"data\":\"b\"}}"},
	{BYTES("{\"fanfare\":1,\"data\":\"}"), "{\"data\":\"\\\"\"}"},
	{BYTES("{\"fanfare\":1,\"data\":}"), "empty"},
	{BYTES("{\"fanfare\":1,\"data\":\xff}"), "invalid UTF-8"},
	{BYTES("{\"fanfare\":1,\"epoch\":\"\xff\",\"data\":1}"), "invalid UTF-8"},
	{BYTES("{\"fanfare\":1,\"data\":1"), "{\"data\":\"{\\\"fanfare\\\":1,\\\"data\\\":1\"}"},
	{BYTES("{\"fanfare\":1,offset:1,\"data\":1}"),
         "{\"data\":\"{\\\"fanfare\\\":1,offset:1,\\\"data\\\":1}\"}"},
	{BYTES("{\"fanfare\":1,\"data\" 1}"), "{\"data\":\"{\\\"fanfare\\\":1,\\\"data\\\" 1}\"}"},
	{BYTES("{\"fanfare\":2,\"data\":x}"), "envelope of another version"},
	{BYTES("{\"fanfare\":2,\"data\":1}"), "envelope of another version"},
	{BYTES("{\"fanfare\":1.0,\"data\":1}"), "envelope of another version"},
	{BYTES("{\"fanfare\":\"1\",\"data\":1}"), "envelope of another version"},
	{BYTES("{\"fanfare\":null,\"data\":1}"), "envelope of another version"},
	{BYTES("{\"fanfare\":1}"), "envelope without data"},
	{BYTES("{\"fanfare\":1,\"fanfare\":1,\"data\":1}"), "malformed envelope"},
	{BYTES("{\"fanfare\":1,\"off\\u0073et\":1,\"offset\":1,\"data\":1}"), "malformed envelope"},
	{BYTES("{\"fanfare\":1,\"offset\":-1,\"data\":1}"), "malformed envelope"},
	{BYTES("{\"fanfare\":1,\"offset\":18446744073709551616,\"data\":1}"), "malformed envelope"},
	{BYTES("{\"fanfare\":1,\"offset\":\"1\",\"data\":1}"), "malformed envelope"},
	{BYTES("{\"fanfare\":1,\"epoch\":1,\"data\":1}"), "malformed envelope"},
	{BYTES("{\"fanfare\":1,\"info\":[],\"data\":1}"), "malformed info"},
	{BYTES("{\"fanfare\":1,\"info\":{\"user\":1},\"data\":1}"), "malformed info"},
	{BYTES("{\"fanfare\":1,\"info\":{\"user\":\"a\",\"user\":\"b\"},\"data\":1}"), "malformed info"},
	{BYTES("{\"fanfare\":1,\"tags\":[],\"data\":1}"), "tags are not an object"},
	{BYTES("{\"fanfare\":1,\"tags\":{\"a\":1},\"data\":1}"), "a tag is not a string"},
	{BYTES("{\"fanfare\":1,\"tags\":{\"a\":null},\"data\":1}"), "a tag is not a string"},
	{BYTES("{\"fanfare\":1,\"tags\":{\"a\":\"1\",\"\\u0061\":\"2\"},\"data\":1}"), "a tag occurs twice"},
};

static void decode_to_text(struct bytes payload, struct buf *scratch, struct buf *out)
{
	struct envelope envelope;
	const char *reason;

	buf_reset(out);
	if (envelope_decode(payload, scratch, &envelope, &reason))
		say(out, &envelope.publication);
	else
		buf_puts(out, reason);
	assert_true(buf_ok(out));
}

static void test_decode(void **state)
{
	struct buf scratch;
	struct buf said;

	buf_init(&scratch, 10000);
	buf_init(&said, 10000);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		decode_to_text(cases[i].payload, &scratch, &said);
		buf_putc(&said, '\0');
		if (strcmp(said.data, cases[i].said) != 0)
			fail_msg("%.*s\n is      %s\n and not %s", BYTES_FMT(cases[i].payload), said.data,
			         cases[i].said);
	}
	buf_free(&scratch);
	buf_free(&said);
}

/* Who reads the history has to know the place even of what cannot be delivered. */
static void test_an_envelope_with_bad_data_still_tells_its_position(void **state)
{
	static const struct bytes bad[] = {
		BYTES("{\"fanfare\":1,\"offset\":17,\"epoch\":\"Xo2P\",\"data\":\xff}"),
		BYTES("{\"fanfare\":1,\"offset\":17,\"epoch\":\"\\u0058o2P\",\"data\":}"),
	};
	struct envelope envelope;
	struct buf scratch;
	const char *reason;

	buf_init(&scratch, 1000);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(envelope_decode(bad[i], &scratch, &envelope, &reason));
		assert_int_equal(envelope.publication.offset, 17);
		assert_true(bytes_eq(envelope.publication.epoch, BYTES("Xo2P")));
	}
	assert_false(envelope_decode(BYTES("{\"fanfare\":1,\"offset\":17,\"epoch\":1,\"data\":1}"), &scratch,
	                             &envelope, &reason));
	assert_int_equal(envelope.publication.offset, 0);
	buf_free(&scratch);
}

/* What the function library does: the header, the data as it is, a brace. */
static void test_whatever_stands_as_data_is_read_as_without_an_envelope(void **state)
{
	struct buf payload;
	struct buf scratch;
	struct buf bare;
	struct buf inside;

	buf_init(&payload, 10000);
	buf_init(&scratch, 10000);
	buf_init(&bare, 10000);
	buf_init(&inside, 10000);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes data = cases[i].payload;
		struct json_value value;
		struct envelope envelope;
		const char *reason;
		bool good;

		buf_reset(&payload);
		buf_puts(&payload, "{\"fanfare\":1,\"offset\":17,\"epoch\":\"Xo2P\",\"data\":");
		buf_put_bytes(&payload, data);
		buf_putc(&payload, '}');
		good = envelope_decode(buf_bytes(&payload), &scratch, &envelope, &reason);
		assert_int_equal(envelope.publication.offset, 17);
		assert_int_equal(envelope.publication.tag_count, 0);
		assert_null(envelope.publication.info);
		buf_reset(&inside);
		if (good)
			buf_put_bytes(&inside, envelope.publication.data);
		buf_reset(&bare);
		if (json_parse(data, &value))
			json_put_compact(&bare, value.text);
		else if (data.len > 0 && utf8_valid(data))
			json_put_string(&bare, data);
		assert_int_equal(good, bare.len > 0);
		assert_true(bytes_eq(buf_bytes(&inside), buf_bytes(&bare)));
	}
	buf_free(&payload);
	buf_free(&scratch);
	buf_free(&bare);
	buf_free(&inside);
}

static void put_many_tags(struct buf *out, int count)
{
	buf_reset(out);
	buf_puts(out, "{\"fanfare\":1,\"tags\":{");
	for (int i = 0; i < count; i++)
		buf_putf(out, "%s\"t%d\":\"\"", i > 0 ? "," : "", i);
	buf_puts(out, "},\"data\":1}");
}

static void test_tags_have_a_ceiling(void **state)
{
	struct envelope envelope;
	struct buf payload;
	struct buf scratch;
	const char *reason;

	buf_init(&payload, 10000);
	buf_init(&scratch, 10000);
	put_many_tags(&payload, ENVELOPE_MAX_TAGS);
	assert_true(envelope_decode(buf_bytes(&payload), &scratch, &envelope, &reason));
	assert_int_equal(envelope.publication.tag_count, ENVELOPE_MAX_TAGS);
	put_many_tags(&payload, ENVELOPE_MAX_TAGS + 1);
	assert_false(envelope_decode(buf_bytes(&payload), &scratch, &envelope, &reason));
	assert_string_equal(reason, "too many tags");
	buf_free(&payload);
	buf_free(&scratch);
}

/* It is JSON, as far as one can tell: delivering it as a string would change what subscribers get. */
static void test_json_that_is_nested_too_deeply_is_neither_data_nor_text(void **state)
{
	enum { TOO_DEEP = JSON_MAX_DEPTH + 1 };
	char brackets[2 * TOO_DEEP];
	struct envelope envelope;
	struct buf scratch;
	const char *reason;

	buf_init(&scratch, 1 << 16);
	memset(brackets, '[', TOO_DEEP);
	memset(brackets + TOO_DEEP, ']', TOO_DEEP);
	assert_false(
		envelope_decode((struct bytes){brackets, sizeof(brackets)}, &scratch, &envelope, &reason));
	assert_string_equal(reason, "JSON that is nested too deeply");
	assert_true(envelope_decode((struct bytes){brackets + 1, sizeof(brackets) - 2}, &scratch, &envelope,
	                            &reason));
	assert_int_equal(envelope.publication.data.ptr[0], '[');
	buf_free(&scratch);
}

static void test_scratch_has_a_ceiling(void **state)
{
	struct envelope envelope;
	struct buf scratch;
	const char *reason;

	buf_init(&scratch, 4);
	assert_false(envelope_decode(BYTES("plain text"), &scratch, &envelope, &reason));
	assert_string_equal(reason, "too large");
	assert_false(envelope_decode(BYTES("[1,\n2]"), &scratch, &envelope, &reason));
	assert_string_equal(reason, "too large");
	assert_true(envelope_decode(BYTES("[1,2,3,4,5]"), &scratch, &envelope, &reason));
	buf_free(&scratch);
}

static void test_plain_data_is_published_bare(void **state)
{
	static const char *const bare[] = {"1", "{\"a\":1}", "{\"\\u0066anfare\":1}", "\"fanfare\"", "{}"};
	struct publication publication = {0};
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < ARRAY_LEN(bare); i++) {
		publication.data = BYTES_OF_STR(bare[i]);
		buf_reset(&out);
		envelope_encode(&out, &publication);
		assert_true(bytes_eq(buf_bytes(&out), publication.data));
	}
	buf_free(&out);
}

/* Whatever valid JSON is published as data comes out as data and as nothing else: above all, data that looks
 * like an envelope. */
static void test_data_cannot_forge_an_envelope(void **state)
{
	struct publication publication = {0};
	struct envelope envelope;
	struct json_value value;
	struct buf payload;
	struct buf scratch;
	struct buf want;
	const char *reason;

	buf_init(&payload, 10000);
	buf_init(&scratch, 10000);
	buf_init(&want, 10000);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (!json_parse(cases[i].payload, &value))
			continue;
		publication.data = cases[i].payload;
		buf_reset(&payload);
		envelope_encode(&payload, &publication);
		assert_true(envelope_decode(buf_bytes(&payload), &scratch, &envelope, &reason));
		buf_reset(&want);
		json_put_compact(&want, value.text);
		assert_true(bytes_eq(envelope.publication.data, buf_bytes(&want)));
		assert_null(envelope.publication.info);
		assert_int_equal(envelope.publication.offset, 0);
		assert_int_equal(envelope.publication.epoch.len, 0);
		assert_int_equal(envelope.publication.tag_count, 0);
	}
	buf_free(&payload);
	buf_free(&scratch);
	buf_free(&want);
}

static void test_what_goes_in_comes_out(void **state)
{
	static const struct tag tags[] = {{BYTES("\"quoted\"\n"), BYTES("<\xe2\x82\xac>")},
	                                  {BYTES(""), BYTES("")}};
	static const struct client_info info = {BYTES("an\"n"), BYTES("c\\2"), BYTES("{\"a\":1.0}"),
	                                        BYTES("null")};
	static const struct client_info bare_info = {.user = BYTES(""), .client = BYTES("c")};
	static const struct publication publications[] = {
		{.data = BYTES("1")},
		{.data = BYTES("1"), .offset = 1},
		{.data = BYTES("1"), .epoch = BYTES("e")},
		{.data = BYTES("1"), .info = &bare_info},
		{.data = BYTES("1"), .tags = tags, .tag_count = 2},
		{.data = BYTES("{\"fanfare\":7}"),
	         .offset = UINT64_MAX,
	         .epoch = BYTES("e"),
	         .info = &info,
	         .tags = tags,
	         .tag_count = 1},
	};
	struct buf payload;
	struct buf scratch;
	struct buf said;
	struct buf want;

	buf_init(&payload, 1000);
	buf_init(&scratch, 1000);
	buf_init(&said, 1000);
	buf_init(&want, 1000);
	for (size_t i = 0; i < ARRAY_LEN(publications); i++) {
		buf_reset(&payload);
		buf_reset(&want);
		envelope_encode(&payload, &publications[i]);
		say(&want, &publications[i]);
		decode_to_text(buf_bytes(&payload), &scratch, &said);
		assert_true(bytes_eq(buf_bytes(&said), buf_bytes(&want)));
	}
	buf_free(&payload);
	buf_free(&scratch);
	buf_free(&said);
	buf_free(&want);
}

/* In memory of exactly its size. What comes out is one line of valid JSON. */
static void decode_copy(struct bytes payload, struct buf *scratch, struct buf *said)
{
	char *copy = mem_realloc(NULL, payload.len ? payload.len : 1);
	struct json_value value;

	memcpy(copy, payload.ptr, payload.len);
	decode_to_text((struct bytes){copy, payload.len}, scratch, said);
	if (said->data[0] == '{') {
		assert_true(json_parse(buf_bytes(said), &value));
		assert_null(memchr(said->data, '\n', said->len));
	}
	mem_free(copy);
}

static void test_truncated_and_changed_payloads_are_survived(void **state)
{
	struct buf scratch;
	struct buf said;
	struct buf changed;
	unsigned seed = 1;

	buf_init(&scratch, 10000);
	buf_init(&said, 10000);
	buf_init(&changed, 10000);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t len = 0; len < cases[i].payload.len; len++)
			decode_copy((struct bytes){cases[i].payload.ptr, len}, &scratch, &said);
		for (int round = 0; round < 500 && cases[i].payload.len > 0; round++) {
			buf_reset(&changed);
			buf_put_bytes(&changed, cases[i].payload);
			for (int n = 1 + rand_r(&seed) % 3; n > 0; n--)
				changed.data[(unsigned)rand_r(&seed) % changed.len] =
					"{}[]\",:\\ \nu01\xc3"[(unsigned)rand_r(&seed) % 15];
			decode_copy(buf_bytes(&changed), &scratch, &said);
		}
	}
	buf_free(&scratch);
	buf_free(&said);
	buf_free(&changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_an_envelope_with_bad_data_still_tells_its_position),
		cmocka_unit_test(test_whatever_stands_as_data_is_read_as_without_an_envelope),
		cmocka_unit_test(test_tags_have_a_ceiling),
		cmocka_unit_test(test_json_that_is_nested_too_deeply_is_neither_data_nor_text),
		cmocka_unit_test(test_scratch_has_a_ceiling),
		cmocka_unit_test(test_plain_data_is_published_bare),
		cmocka_unit_test(test_data_cannot_forge_an_envelope),
		cmocka_unit_test(test_what_goes_in_comes_out),
		cmocka_unit_test(test_truncated_and_changed_payloads_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
