/* redis_resp.c: replies and failure are the same whole, where pushes take the fast path, byte by byte, where
 * it is hiredis that reads all, and in pieces; and a command made of the input reads back as it was. */
#include "fuzz.h"

#include "redis_resp.h"

enum { ARGS_MAX = 64 };

static void print(struct buf *out, const struct redis_reply *r)
{
	switch (r->type) {
	case REDIS_NIL: buf_puts(out, "nil "); return;
	case REDIS_STRING:
	case REDIS_STATUS:
	case REDIS_ERROR:
		CHECK(r->text.ptr[r->text.len] == '\0');
		buf_putf(out, "%d %zu:", r->type, r->text.len);
		buf_put_bytes(out, r->text);
		return;
	case REDIS_INTEGER: buf_putf(out, "%lld ", (long long)r->integer); return;
	case REDIS_ARRAY: break;
	}
	buf_putf(out, "[%zu ", r->count);
	for (size_t i = 0; i < r->count; i++)
		print(out, r->elements[i]);
}

static void read_replies(const uint8_t *data, size_t size, unsigned way, struct buf *out)
{
	struct resp *r = resp_new();
	enum resp_result result = RESP_PARTIAL;
	const struct redis_reply *reply;

	for (size_t at = 0, end; at < size && result != RESP_BAD; at = end) {
		char *copy;

		end = fuzz_cut(way, at, size);
		copy = fuzz_copy(data + at, end - at);
		CHECK(resp_feed(r, copy, end - at));
		mem_free(copy);
		while ((result = resp_next(r, &reply)) == RESP_REPLY)
			print(out, reply);
	}
	if (result == RESP_BAD)
		buf_putf(out, "bad: %s", resp_error(r));
	resp_free(&r);
}

static void check_all_cuts(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;

	buf_init(&whole, FUZZ_BUF_MAX);
	buf_init(&pieces, FUZZ_BUF_MAX);
	read_replies(data, size, 0, &whole);
	for (unsigned way = 1; way < FUZZ_CUTS; way++) {
		buf_reset(&pieces);
		read_replies(data, size, way, &pieces);
		CHECK(fuzz_same(&whole, &pieces));
	}
	buf_free(&whole);
	buf_free(&pieces);
}

/* The input behind a push, in it, and before one. */
static void check_pushes(const uint8_t *data, size_t size)
{
	struct bytes input = {(const char *)data, size};
	struct bytes argv[] = {BYTES("message"), input, bytes_first(input, size / 2)};
	struct buf stream;

	buf_init(&stream, FUZZ_BUF_MAX);
	resp_put_command(&stream, argv, 3);
	buf_put_bytes(&stream, input);
	resp_put_command(&stream, argv, 3);
	CHECK(buf_ok(&stream));
	check_all_cuts((const uint8_t *)stream.data, stream.len);
	buf_free(&stream);
}

/* The input up to each blank is an argument. */
static size_t arguments(const char *text, size_t size, struct bytes argv[ARGS_MAX])
{
	size_t argc = 0;

	while (size > 0 && argc < ARGS_MAX) {
		const char *blank = memchr(text, ' ', size);
		size_t len = blank != NULL ? (size_t)(blank - text) : size;

		argv[argc++] = (struct bytes){text, len};
		text += len + (blank != NULL);
		size -= len + (blank != NULL);
	}
	return argc;
}

static void check_command(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	struct bytes argv[ARGS_MAX];
	size_t argc = arguments(copy, size, argv);
	struct resp *r = resp_new();
	const struct redis_reply *reply;
	struct buf out;

	buf_init(&out, FUZZ_BUF_MAX);
	resp_put_command(&out, argv, argc);
	CHECK(buf_ok(&out) && out.len <= resp_command_size(argv, argc));
	CHECK(resp_feed(r, out.data, out.len) && resp_next(r, &reply) == RESP_REPLY);
	CHECK(reply->type == REDIS_ARRAY && reply->count == argc);
	for (size_t i = 0; i < argc; i++)
		CHECK(reply->elements[i]->type == REDIS_STRING &&
		      bytes_eq(reply->elements[i]->text, argv[i]));
	CHECK(resp_next(r, &reply) == RESP_PARTIAL);
	resp_free(&r);
	buf_free(&out);
	mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_all_cuts(data, size);
	check_pushes(data, size);
	check_command(data, size);
	return 0;
}
