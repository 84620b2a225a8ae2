/* deflate.c: RFC 7692, 7.2: what is compressed comes back, and what a peer can send costs no more than its
 * limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <malloc.h>
#include <zlib.h>

#include "buf.h"
#include "deflate.h"
#include "mem.h"

enum { BIG = 1 << 20, MAX = 65536 };

static struct inflater *inflater;
static struct deflater *deflater;

static int set_up(void **state)
{
	inflater = inflater_new();
	deflater = deflater_new();
	return 0;
}

static int tear_down(void **state)
{
	inflater_free(&inflater);
	deflater_free(&deflater);
	return 0;
}

static void restores(struct bytes payload, struct bytes expected)
{
	struct bytes message;

	assert_int_equal(inflater_message(inflater, payload, expected.len, &message), INFLATE_OK);
	assert_int_equal(message.len, expected.len);
	assert_memory_equal(message.ptr, expected.ptr, expected.len);
}

/* A second message proves that nothing of a bad one is left. */
static void fails(struct bytes payload, size_t max, enum inflate_result expected)
{
	struct bytes message;

	assert_int_equal(inflater_message(inflater, payload, max, &message), expected);
	restores(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), BYTES("Hello"));
}

/* 7.2.3 */
static void the_examples_of_the_rfc(void **state)
{
	restores(BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), BYTES("Hello"));
	restores(BYTES("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), BYTES("Hello"));
	restores(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), BYTES("Hello"));
	restores(BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), BYTES("Hello"));
	restores(BYTES("\x00"), BYTES(""));
}

static void a_final_block_may_end_the_message_or_be_padded(void **state)
{
	restores(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"), BYTES("Hello"));
	restores(BYTES("\x03\x00"), BYTES(""));
	fails(BYTES(""), MAX, INFLATE_BAD); /* 7.2.3.6: an empty message is a zero */
	fails(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x01"), MAX, INFLATE_BAD);
	fails(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00"), MAX, INFLATE_BAD);
	fails(BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00garbage"), MAX, INFLATE_BAD);
	fails(BYTES("\x03\x00\x03\x00\x03\x00"), MAX, INFLATE_BAD);
}

static void what_is_no_deflate_is_refused(void **state)
{
	fails(BYTES("\x07"), MAX, INFLATE_BAD);                         /* reserved kind of block */
	fails(BYTES("\x00\x05\x00\x00\x00Hello"), MAX, INFLATE_BAD);    /* length and complement differ */
	fails(BYTES("\x4b\x04\xff\xff\xff\xff\xff"), MAX, INFLATE_BAD); /* distance before the beginning */
	fails(BYTES("Hello, I am not compressed"), MAX, INFLATE_BAD);
}

static void a_message_that_was_cut_off_is_refused(void **state)
{
	static const char payload[] = "\xf2\x48\xcd\xc9\xc9\x07";

	for (size_t len = 1; len < sizeof(payload) - 1; len++)
		fails((struct bytes){payload, len}, MAX, INFLATE_BAD);
	fails(BYTES("\x00\x05\x00\xfa\xff\x48\x65"), MAX, INFLATE_BAD);
	/* Here the end that every message is given would do for the rest of a block. */
	fails(BYTES("\x00\x05\x00\xfa\xff\x48"), MAX, INFLATE_BAD);
	fails(BYTES("\x00\x05\x00\xfa\xff\x48"), 5, INFLATE_BAD);
}

static void fill(char *data, size_t len, unsigned kinds)
{
	unsigned seed = 1;

	for (size_t i = 0; i < len; i++) {
		seed = seed * 1103515245 + 12345;
		data[i] = (char)((seed >> 16) % kinds);
	}
}

static void comes_back(struct bytes message, int window_bits, int level)
{
	struct bytes payload;

	if (!deflater_message(deflater, window_bits, level, message, &payload))
		return;
	assert_true(payload.len < message.len);
	restores(payload, message);
}

static void what_is_compressed_comes_back(void **state)
{
	static const size_t lens[] = {2, 10, 31, 127, 1000, 16384, 16385, 32768, 65535, 65536, 300000, BIG};
	char *data = mem_alloc(BIG);

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (unsigned kinds = 1; kinds <= 128; kinds *= 2) {
			fill(data, lens[i], kinds);
			for (int bits = DEFLATE_BITS_MIN; bits <= DEFLATE_BITS_MAX; bits += 3)
				comes_back((struct bytes){data, lens[i]}, bits, 1);
		}
		for (int level = 1; level <= 9; level++)
			comes_back((struct bytes){data, lens[i]}, DEFLATE_BITS_MAX, level);
	}
	mem_free(data);
}

/* The same bytes twice give the same frame: nothing is taken over from message to message. */
static void messages_do_not_depend_on_each_other(void **state)
{
	static const char text[] = "the quick brown fox jumps over the quick brown dog, the quick brown fox";
	struct bytes message = {text, sizeof(text) - 1};
	struct bytes payload;
	char first[sizeof(text)];
	size_t first_len;

	assert_true(deflater_message(deflater, 15, 1, message, &payload));
	memcpy(first, payload.ptr, payload.len);
	first_len = payload.len;
	assert_true(deflater_message(deflater, 15, 9, message, &payload));
	assert_true(deflater_message(deflater, 15, 1, message, &payload));
	assert_int_equal(payload.len, first_len);
	assert_memory_equal(payload.ptr, first, first_len);
}

static void what_does_not_get_smaller_is_not_compressed(void **state)
{
	char data[4096];
	struct bytes payload;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(rand() >> 8);
	for (size_t len = 0; len < sizeof(data); len += 1 + len / 8)
		assert_false(deflater_message(deflater, 15, 9, (struct bytes){data, len}, &payload));
	assert_false(deflater_message(deflater, 15, 1, BYTES("x"), &payload));
}

/* How a receiver with a window of exactly that size sees it. */
static bool fits_window(struct bytes payload, int window_bits, size_t message_len)
{
	z_stream z = {0};
	Bytef piece[64];
	size_t len = 0;
	int status = Z_OK;

	assert_int_equal(inflateInit2(&z, -window_bits), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)payload.ptr;
	z.avail_in = (uInt)payload.len;
	while (status == Z_OK) {
		z.next_out = piece;
		z.avail_out = sizeof(piece);
		status = inflate(&z, Z_NO_FLUSH);
		len += sizeof(piece) - z.avail_out;
	}
	inflateEnd(&z);
	return len == message_len;
}

static void the_window_of_the_receiver_is_honoured(void **state)
{
	enum { LEN = 60000 };
	char *data = mem_alloc(LEN);
	struct bytes payload;

	fill(data, LEN / 2, 64);
	memcpy(data + LEN / 2, data, LEN / 2);
	for (int bits = DEFLATE_BITS_MIN; bits <= DEFLATE_BITS_MAX; bits++) {
		assert_true(deflater_message(deflater, bits, 6, (struct bytes){data, LEN}, &payload));
		assert_true(fits_window(payload, bits, LEN));
	}
	/* The one with the large window refers farther back than a small one reaches. */
	assert_false(fits_window(payload, DEFLATE_BITS_MIN, LEN));
	mem_free(data);
}

/* With the limit right there, and one byte less. */
static void a_message_is_stopped_at_its_limit(void **state)
{
	static const size_t lens[] = {1, 100, 16383, 16384, 16385, 65536, 100000};
	char *data = mem_alloc(BIG);
	struct bytes message, payload;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		char stored[16] = {0, 1, 0, '\xfe', '\xff', 0};

		payload = (struct bytes){stored, 7};
		message = (struct bytes){data, lens[i]};
		if (lens[i] > 1)
			assert_true(deflater_message(deflater, 15, 1, message, &payload));
		restores(payload, message);
		fails(payload, lens[i] - 1, INFLATE_TOO_BIG);
	}
	mem_free(data);
}

/* 1000:1 and more: what is taken is the limit, whatever would come out. */
static void a_bomb_costs_no_more_than_the_limit(void **state)
{
	enum { BOMB = 64 << 20 };
	struct bytes message = {calloc(1, BOMB), BOMB};
	struct bytes payload;
	char *bomb;

	assert_non_null(message.ptr);
	assert_true(deflater_message(deflater, 15, 9, message, &payload));
	free((void *)(uintptr_t)message.ptr);
	assert_true(payload.len < BOMB / 1000);
	bomb = mem_alloc(payload.len);
	memcpy(bomb, payload.ptr, payload.len);
	assert_int_equal(inflater_message(inflater, (struct bytes){bomb, payload.len}, MAX, &message),
	                 INFLATE_TOO_BIG);
	assert_true(message.len <= MAX);
	assert_true(malloc_usable_size((void *)(uintptr_t)message.ptr) <= MAX + 64);
	mem_free(bomb);
}

/* Any bytes at all give a verdict, and never more than the limit. */
static void random_input_is_survived(void **state)
{
	unsigned seed = 7;
	char data[200];
	struct bytes message;

	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)(round % (int)sizeof(data));

		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245 + 12345;
			data[i] = (char)(seed >> 16);
		}
		data[0] = (char)(data[0] & 7);
		if (inflater_message(inflater, (struct bytes){data, len}, 1000, &message) == INFLATE_OK)
			assert_true(message.len <= 1000);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_examples_of_the_rfc),
		TEST(a_final_block_may_end_the_message_or_be_padded),
		TEST(what_is_no_deflate_is_refused),
		TEST(a_message_that_was_cut_off_is_refused),
		TEST(what_is_compressed_comes_back),
		TEST(messages_do_not_depend_on_each_other),
		TEST(what_does_not_get_smaller_is_not_compressed),
		TEST(the_window_of_the_receiver_is_honoured),
		TEST(a_message_is_stopped_at_its_limit),
		TEST(a_bomb_costs_no_more_than_the_limit),
		TEST(random_input_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
