/* The fast path of redis_resp.c for pushes says what hiredis says: for random streams of pushes and other
 * replies, mutated, cut at every place; and it copies nothing. TEST_SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

#include "buf.h"
#include "guarded.h"
#include "redis_resp.h"

enum { ROUNDS = 300, TEXT_MAX = 1 << 20 };

static unsigned seed;

static unsigned dice(unsigned sides)
{
	return (unsigned)rand_r(&seed) % sides;
}

/* --- what is read, as text --- */

static void print_string(struct buf *out, char kind, const char *text, size_t len)
{
	assert_int_equal(text[len], '\0');
	buf_putf(out, "%c%zu:", kind, len);
	buf_put(out, text, len);
}

static void print_ours(struct buf *out, const struct redis_reply *r)
{
	switch (r->type) {
	case REDIS_NIL: buf_puts(out, "nil "); return;
	case REDIS_STRING: print_string(out, '$', r->text.ptr, r->text.len); return;
	case REDIS_STATUS: print_string(out, '+', r->text.ptr, r->text.len); return;
	case REDIS_ERROR: print_string(out, '-', r->text.ptr, r->text.len); return;
	case REDIS_INTEGER: buf_putf(out, "%lld ", (long long)r->integer); return;
	case REDIS_ARRAY: break;
	}
	buf_putf(out, "[%zu ", r->count);
	for (size_t i = 0; i < r->count; i++)
		print_ours(out, r->elements[i]);
}

static void print_theirs(struct buf *out, const redisReply *r)
{
	switch (r->type) {
	case REDIS_REPLY_NIL: buf_puts(out, "nil "); return;
	case REDIS_REPLY_STRING: print_string(out, '$', r->str, r->len); return;
	case REDIS_REPLY_STATUS: print_string(out, '+', r->str, r->len); return;
	case REDIS_REPLY_ERROR: print_string(out, '-', r->str, r->len); return;
	case REDIS_REPLY_INTEGER: buf_putf(out, "%lld ", r->integer); return;
	default: break;
	}
	buf_putf(out, "[%zu ", r->elements);
	for (size_t i = 0; i < r->elements; i++)
		print_theirs(out, r->element[i]);
}

static void feed_ours(struct resp *r, const char *data, size_t len, struct buf *out)
{
	const struct redis_reply *reply;
	enum resp_result result;

	if (!resp_feed(r, data, len))
		return;
	while ((result = resp_next(r, &reply)) == RESP_REPLY)
		print_ours(out, reply);
	if (result == RESP_BAD)
		buf_putf(out, "bad: %s", resp_error(r));
}

/* In two pieces, of which one may be empty. */
static void read_ours(struct bytes stream, size_t cut, struct buf *out)
{
	struct resp *r = resp_new();

	buf_reset(out);
	feed_ours(r, stream.ptr, cut, out);
	feed_ours(r, stream.ptr + cut, stream.len - cut, out);
	resp_free(&r);
}

static void read_theirs(struct bytes stream, struct buf *out)
{
	redisReader *reader = redisReaderCreate();
	void *reply;

	buf_reset(out);
	assert_int_equal(redisReaderFeed(reader, stream.ptr, stream.len), REDIS_OK);
	while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
		print_theirs(out, reply);
		freeReplyObject(reply);
	}
	if (reader->err != 0)
		buf_putf(out, "bad: %s", reader->errstr);
	redisReaderFree(reader);
}

static void check_every_cut(struct bytes stream)
{
	struct buf ours, theirs;

	buf_init(&ours, TEXT_MAX);
	buf_init(&theirs, TEXT_MAX);
	read_theirs(stream, &theirs);
	for (size_t cut = 0; cut <= stream.len; cut++) {
		read_ours(stream, cut, &ours);
		assert_true(buf_ok(&ours) && buf_ok(&theirs));
		if (!bytes_eq(buf_bytes(&ours), buf_bytes(&theirs)))
			fail_msg("cut at %zu of %.*s: %.*s, hiredis: %.*s", cut, BYTES_FMT(stream),
			         BYTES_FMT(buf_bytes(&ours)), BYTES_FMT(buf_bytes(&theirs)));
	}
	buf_free(&ours);
	buf_free(&theirs);
}

/* --- streams --- */

static void put_random_string(struct buf *out)
{
	static const struct bytes texts[] = {BYTES("message"), BYTES("smessage"), BYTES("subscribe"),
	                                     BYTES("\r\n"),    BYTES("$3\r\n"),   BYTES("0123456789"),
	                                     BYTES("a\0b"),    BYTES("")};

	resp_put_arg(out, texts[dice(ARRAY_LEN(texts))]);
}

static void put_random_reply(struct buf *out)
{
	static const char *const others[] = {"+OK\r\n", "-ERR no\r\n", ":-42\r\n",
	                                     "$-1\r\n", "*0\r\n",      "*-1\r\n"};
	unsigned kind = dice(8);
	unsigned count = kind < 5 ? 3 : dice(5);

	if (kind == 7) {
		buf_puts(out, others[dice(ARRAY_LEN(others))]);
		return;
	}
	resp_put_count(out, count);
	for (unsigned i = 0; i < count; i++) {
		if (dice(20) == 0)
			buf_puts(out, others[dice(ARRAY_LEN(others))]);
		else
			put_random_string(out);
	}
}

static void mutate(struct buf *stream)
{
	static const char bytes[] = "*$:+-0123459\r\n ";
	size_t at = dice((unsigned)stream->len);

	if (dice(2) == 0) {
		stream->data[at] = bytes[dice(sizeof(bytes) - 1)];
		return;
	}
	memmove(stream->data + at, stream->data + at + 1, stream->len - at - 1);
	stream->len--;
}

static void random_streams_are_read_as_hiredis_reads_them(void **state)
{
	struct buf stream;

	buf_init(&stream, TEXT_MAX);
	for (int round = 0; round < ROUNDS; round++) {
		buf_reset(&stream);
		for (unsigned n = 1 + dice(4); n > 0; n--)
			put_random_reply(&stream);
		for (unsigned n = dice(3); n > 0; n--)
			mutate(&stream);
		check_every_cut(buf_bytes(&stream));
	}
	buf_free(&stream);
}

/* The second string is hostile; before it and behind it all is well. */
static void hostile_lengths_are_read_as_hiredis_reads_them(void **state)
{
	static const char *const strings[] = {"$0\r\n\r\n",
	                                      "$-1\r\n",
	                                      "$-2\r\nx\r\n",
	                                      "$00\r\n\r\n",
	                                      "$01\r\nx\r\n",
	                                      "$+1\r\nx\r\n",
	                                      "$ 1\r\nx\r\n",
	                                      "$1 \r\nx\r\n",
	                                      "$\r\nx\r\n",
	                                      "$1\nx\r\n",
	                                      "$1\r\rx\r\n",
	                                      "$1\r\nxx\r\n",
	                                      "$1\r\nx\n\r",
	                                      "$1\r\nx\r\r",
	                                      "$2\r\nx\r\n",
	                                      "$1048576\r\nx\r\n",
	                                      "$1048577\r\nx\r\n",
	                                      "$2147483647\r\nx\r\n",
	                                      "$4294967297\r\nx\r\n",
	                                      "$9223372036854775807\r\nx\r\n",
	                                      "$9223372036854775808\r\nx\r\n",
	                                      "$18446744073709551617\r\nx\r\n",
	                                      "$100000000000000000000000000000001\r\nx\r\n",
	                                      "$1\r\n",
	                                      "$",
	                                      "+x\r\n",
	                                      ":1\r\n",
	                                      "*1\r\n$1\r\nx\r\n"};
	static const char *const heads[] = {"*3\r\n", "*03\r\n", "*+3\r\n", "*3\n",        "*3 \r\n",
	                                    "*2\r\n", "*4\r\n",  "*-3\r\n", "*1\r\n*3\r\n"};
	struct buf stream;

	buf_init(&stream, TEXT_MAX);
	for (size_t head = 0; head < ARRAY_LEN(heads); head++) {
		for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
			buf_reset(&stream);
			buf_puts(&stream, heads[head]);
			buf_puts(&stream, "$7\r\nmessage\r\n");
			buf_puts(&stream, strings[i]);
			buf_puts(&stream, "$2\r\n{}\r\n");
			buf_puts(&stream, "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\n[]\r\n:1\r\n");
			check_every_cut(buf_bytes(&stream));
		}
	}
	buf_free(&stream);
}

/* --- where it stands --- */

static void a_whole_push_is_not_copied(void **state)
{
	static const char stream[] = "*3\r\n$7\r\nmessage\r\n$3\r\nt:a\r\n$2\r\n{}\r\n";
	struct resp *r = resp_new();
	const struct redis_reply *reply;

	for (int i = 0; i < 1000; i++) {
		assert_true(resp_feed(r, stream, sizeof(stream) - 1));
		assert_true(resp_feed(r, stream, sizeof(stream) - 1));
		for (int push = 0; push < 2; push++) {
			assert_int_equal(resp_next(r, &reply), RESP_REPLY);
			assert_ptr_equal(reply->elements[1]->text.ptr,
			                 reply->elements[0]->text.ptr + strlen("message\r\n$3\r\n"));
			assert_ptr_equal(reply->elements[2]->text.ptr,
			                 reply->elements[1]->text.ptr + strlen("t:a\r\n$2\r\n"));
		}
		assert_int_equal(resp_next(r, &reply), RESP_PARTIAL);
	}
	resp_free(&r);
}

/* On the fast path and beside it, up to where a string is too long for it. */
static void long_strings_are_read(void **state)
{
	static const size_t lens[] = {1023, 4096, 1 << 20, 9999999, 10000000};
	struct buf stream;
	struct resp *r = resp_new();
	const struct redis_reply *reply;
	struct bytes text;
	char *data = calloc(10000000, 1);

	buf_init(&stream, 10001000);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		text = (struct bytes){data, lens[i]};
		memset(data, 'a' + (int)i, lens[i]);
		buf_reset(&stream);
		resp_put_command(&stream, (struct bytes[]){BYTES("message"), BYTES("c"), text}, 3);
		assert_true(resp_feed(r, stream.data, stream.len));
		assert_int_equal(resp_next(r, &reply), RESP_REPLY);
		assert_true(bytes_eq(reply->elements[2]->text, text));
		assert_int_equal(resp_next(r, &reply), RESP_PARTIAL);
	}
	free(data);
	buf_free(&stream);
	resp_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_streams_are_read_as_hiredis_reads_them),
		cmocka_unit_test(hostile_lengths_are_read_as_hiredis_reads_them),
		cmocka_unit_test(a_whole_push_is_not_copied),
		cmocka_unit_test(long_strings_are_read),
	};

	seed = guarded_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
