/* Replies out of bytes: the same result whole, byte by byte and at every split; ceilings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "redis_resp.h"

/* A reply as text, for comparing. */
static void print(struct buf *out, const struct redis_reply *r)
{
	switch (r->type) {
	case REDIS_NIL: buf_puts(out, "nil"); return;
	case REDIS_STRING: buf_putf(out, "'%.*s'", BYTES_FMT(r->text)); return;
	case REDIS_STATUS: buf_putf(out, "+%.*s", BYTES_FMT(r->text)); return;
	case REDIS_ERROR: buf_putf(out, "-%.*s", BYTES_FMT(r->text)); return;
	case REDIS_INTEGER: buf_putf(out, "%lld", (long long)r->integer); return;
	case REDIS_ARRAY: break;
	}
	buf_putc(out, '[');
	for (size_t i = 0; i < r->count; i++) {
		if (i > 0)
			buf_putc(out, ' ');
		print(out, r->elements[i]);
	}
	buf_putc(out, ']');
}

/* Feeds the pieces, split at `split`, or single bytes when it is 0; prints every reply. */
static char *parse(const char *data, size_t len, size_t split)
{
	struct resp *r = resp_new();
	struct buf out;
	enum resp_result result = RESP_PARTIAL;
	char *text;

	buf_init(&out, 1 << 20);
	for (size_t at = 0; at < len && result != RESP_BAD;) {
		size_t piece = split == 0 ? 1 : at == 0 ? split : len - split;
		const struct redis_reply *reply;
		if (!resp_feed(r, data + at, piece))
			break;
		at += piece;
		while ((result = resp_next(r, &reply)) == RESP_REPLY) {
			print(&out, reply);
			buf_putc(&out, '\n');
		}
	}
	if (result == RESP_BAD)
		buf_putf(&out, "bad: %s", resp_error(r));
	buf_putc(&out, '\0');
	assert_true(buf_ok(&out));
	text = strdup(out.data);
	buf_free(&out);
	resp_free(&r);
	return text;
}

static void check_every_split(const char *data, const char *expected)
{
	size_t len = strlen(data);

	for (size_t split = 0; split <= len; split++) {
		char *text = parse(data, len, split);
		assert_string_equal(text, expected);
		free(text);
	}
}

static void replies_of_all_types_are_read_at_every_split(void **state)
{
	check_every_split("+OK\r\n-ERR no\r\n:-42\r\n$5\r\nhe\r\no\r\n$-1\r\n$0\r\n\r\n*0\r\n*-1\r\n",
	                  "+OK\n-ERR no\n-42\n'he\r\no'\nnil\n''\n[]\nnil\n");
	check_every_split(
		"*3\r\n$7\r\nmessage\r\n$3\r\nt:a\r\n$2\r\n{}\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n",
		"['message' 't:a' '{}']\n['subscribe' 'x' 1]\n");
	check_every_split("*2\r\n*2\r\n+a\r\n*1\r\n:1\r\n*0\r\n:7\r\n", "[[+a [1]] []]\n7\n");
}

static void nonsense_is_bad_at_every_split(void **state)
{
	check_every_split("+OK\r\nhello\r\n", "+OK\nbad: Protocol error, got \"h\" as reply type byte");
	check_every_split("*1\r\n!", "bad: Protocol error, got \"!\" as reply type byte");
}

static void deep_nesting_is_bad(void **state)
{
	char data[9 * 4 + 1];
	char *text;

	for (int i = 0; i < 9; i++)
		memcpy(data + i * 4, "*1\r\n", 5);
	text = parse(data, strlen(data), strlen(data));
	assert_non_null(strstr(text, "bad: "));
	free(text);
}

static void huge_arrays_are_bad_before_memory_is_taken(void **state)
{
	char *text = parse("*1048577\r\n", 10, 10);

	assert_string_equal(text, "bad: array too large");
	free(text);
	text = parse("*9999999999\r\n", 13, 13);
	assert_non_null(strstr(text, "bad: "));
	free(text);
}

static void nested_arrays_of_the_largest_size_stay_under_the_ceiling(void **state)
{
	struct resp *r = resp_new();
	const struct redis_reply *reply;
	enum resp_result result;
	int arrays = 0;

	assert_true(resp_feed(r, "*1000000\r\n", 10));
	while ((result = resp_next(r, &reply)) == RESP_PARTIAL && arrays++ < 100)
		assert_true(resp_feed(r, "*1000000\r\n", 10) || arrays > 7);
	assert_int_equal(result, RESP_BAD);
	assert_true(arrays <= 8);
	resp_free(&r);
}

static void an_announced_length_takes_no_memory_and_too_much_is_bad(void **state)
{
	struct resp *r = resp_new();
	const struct redis_reply *reply;
	static char data[1 << 20];
	enum resp_result result;
	int fed = 0;

	assert_true(resp_feed(r, "$1073741824\r\n", 13));
	memset(data, 'x', sizeof(data));
	while ((result = resp_next(r, &reply)) == RESP_PARTIAL && fed++ < 100)
		assert_true(resp_feed(r, data, sizeof(data)));
	assert_int_equal(result, RESP_BAD);
	assert_int_equal(fed, RESP_REPLY_MAX / (1 << 20));
	assert_string_equal(resp_error(r), "reply too large");
	resp_free(&r);
}

static void a_line_without_end_is_bad(void **state)
{
	struct resp *r = resp_new();
	const struct redis_reply *reply;
	enum resp_result result;
	int fed = 0;

	assert_true(resp_feed(r, "+", 1));
	while ((result = resp_next(r, &reply)) == RESP_PARTIAL && fed++ < 10000)
		assert_true(resp_feed(r, "0123456789\nbcde\r", 16));
	assert_int_equal(result, RESP_BAD);
	assert_int_equal(fed, RESP_LINE_MAX / 16 + 1);
	resp_free(&r);
}

static void large_replies_give_their_memory_back(void **state)
{
	struct resp *r = resp_new();
	const struct redis_reply *reply;
	static char data[300000];

	memset(data, 'x', sizeof(data));
	for (int i = 0; i < 3; i++) {
		assert_true(resp_feed(r, "$300000\r\n", 9));
		assert_true(resp_feed(r, data, sizeof(data)));
		assert_int_equal(resp_next(r, &reply), RESP_PARTIAL);
		assert_true(resp_feed(r, "\r\n:1\r\n", 6));
		assert_int_equal(resp_next(r, &reply), RESP_REPLY);
		assert_int_equal(reply->text.len, sizeof(data));
		assert_int_equal(resp_next(r, &reply), RESP_REPLY);
		assert_int_equal(reply->integer, 1);
	}
	resp_free(&r);
}

static void commands_carry_any_bytes(void **state)
{
	struct bytes argv[] = {BYTES("PUBLISH"), BYTES("a\r\n%s%n"), {"\0x", 2}};
	struct buf out;

	buf_init(&out, 1000);
	resp_put_command(&out, argv, 3);
	assert_true(buf_ok(&out));
	assert_true(out.len <= resp_command_size(argv, 3));
	assert_int_equal(out.len, 4 + 13 + 13 + 8);
	assert_memory_equal(out.data, "*3\r\n$7\r\nPUBLISH\r\n$7\r\na\r\n%s%n\r\n$2\r\n\0x\r\n", out.len);
	buf_free(&out);
}

static void errors_are_known_by_their_first_word(void **state)
{
	struct redis_reply reply = {.type = REDIS_ERROR,
	                            .text = BYTES("NOPERM this user has no permissions")};

	assert_true(resp_is_error(&reply, "NOPERM"));
	assert_false(resp_is_error(&reply, "NOPER"));
	reply.text = BYTES("BUSY");
	assert_true(resp_is_error(&reply, "BUSY"));
	reply.type = REDIS_STRING;
	assert_false(resp_is_error(&reply, "BUSY"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies_of_all_types_are_read_at_every_split),
		cmocka_unit_test(nonsense_is_bad_at_every_split),
		cmocka_unit_test(deep_nesting_is_bad),
		cmocka_unit_test(huge_arrays_are_bad_before_memory_is_taken),
		cmocka_unit_test(nested_arrays_of_the_largest_size_stay_under_the_ceiling),
		cmocka_unit_test(an_announced_length_takes_no_memory_and_too_much_is_bad),
		cmocka_unit_test(a_line_without_end_is_bad),
		cmocka_unit_test(large_replies_give_their_memory_back),
		cmocka_unit_test(commands_carry_any_bytes),
		cmocka_unit_test(errors_are_known_by_their_first_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
