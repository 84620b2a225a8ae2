/* ws_frame.c: RFC 6455, section 5, rule by rule: headers, masks, control frames, and what is written. */
#include "ws_reader.h"

/* 5.7 */
static void test_examples_of_the_rfc(void **unused)
{
	check_raw(&client, BYTES("\x81\x05Hello"), "text(Hello) ");
	check_raw(&server, BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "text(Hello) ");
	check_raw(&client, BYTES("\x01\x03Hel\x80\x02lo"), "text(Hello) ");
	check_raw(&client, BYTES("\x89\x05Hello"), "ping(Hello) ");
	check_raw(&server, BYTES("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "pong(Hello) ");
}

static void test_messages_follow_each_other(void **unused)
{
	struct buf in = input();

	put_frame(&in, 0x81, BYTES("one"));
	put_frame(&in, 0x82, BYTES("two"));
	put_frame(&in, 0x81, BYTES(""));
	put_frame(&in, 0x89, BYTES("now?"));
	put_frame(&in, 0x82, BYTES("\xff\xfe"));
	put_frame(&in, 0x88,
	          BYTES("\x03\xe8"
	                "bye"));
	check(&server, &in, "text(one) binary(two) text() ping(now?) binary(\xff\xfe) close 1000(bye) ");
}

static void test_every_payload_length_around_the_borders(void **unused)
{
	static const size_t lens[] = {0,  1,   2,   3,   4,   15,  16,    17,    31,
	                              33, 124, 125, 126, 127, 128, 65535, 65536, 70000};
	size_t i;

	for (i = 0; i < ARRAY_LEN(lens); i++) {
		struct buf in = input();
		struct buf expected = input();
		size_t at;

		buf_puts(&expected, "binary(");
		for (at = 0; at < lens[i]; at++)
			buf_putc(&expected, (char)('a' + at % 23));
		put_frame(&in, 0x82, (struct bytes){expected.data + 7, lens[i]});
		buf_put(&expected, ") ", 3);
		assert_true(buf_ok(&expected));
		check(&server, &in, expected.data);
		buf_free(&expected);
	}
}

/* A whole message in one buffer is one piece inside that buffer: nothing is copied. */
static void test_whole_message_is_lent_from_the_buffer(void **unused)
{
	struct buf in = input();
	struct ws_decoder d;
	struct ws_piece piece;
	size_t used;

	put_frame(&in, 0x81, BYTES("lent, not copied"));
	ws_decoder_init(&d, true, 100);
	assert_int_equal(ws_decode(&d, in.data, in.len, &used, &piece), WS_PIECE);
	assert_ptr_equal(piece.payload.ptr, in.data + 6);
	assert_true(piece.start && piece.end);
	assert_int_equal(used, in.len);
	assert_memory_equal(piece.payload.ptr, "lent, not copied", piece.payload.len);
	buf_free(&in);
}

/* 5.2 */
static void test_reserved_bits_and_opcodes(void **unused)
{
	int opcode;

	check_frame(0xc1, BYTES("x"), "failed 1002: reserved bits are set");
	check_frame(0xa1, BYTES("x"), "failed 1002: reserved bits are set");
	check_frame(0x91, BYTES("x"), "failed 1002: reserved bits are set");
	check_frame(0xc9, BYTES("x"), "failed 1002: reserved bits are set");
	for (opcode = 3; opcode <= 7; opcode++)
		check_frame((uint8_t)(0x80 | opcode), BYTES("x"), "failed 1002: reserved opcode");
	for (opcode = 0xb; opcode <= 0xf; opcode++)
		check_frame((uint8_t)(0x80 | opcode), BYTES("x"), "failed 1002: reserved opcode");
	check_raw(&server, BYTES("\x83"), "failed 1002: reserved opcode");
}

/* 5.1 */
static void test_mask_must_be_there_or_not(void **unused)
{
	check_raw(&server, BYTES("\x81\x05Hello"), "failed 1002: frame is not masked");
	check_raw(&server, BYTES("\x89\x00"), "failed 1002: frame is not masked");
	check_raw(&client, BYTES("\x81\x81\x00\x00\x00\x00x"), "failed 1002: frame is masked");
	check_raw(&client, BYTES("\x88\x80"), "failed 1002: frame is masked");
}

/* 5.2: the minimal number of bytes must be used, the most significant bit must be 0. */
static void test_payload_length_encoding(void **unused)
{
	static const char not_minimal[] = "failed 1002: payload length is not minimally encoded";
	static const char top_bit[] = "failed 1002: top bit of the payload length is set";

	check_raw(&server, BYTES("\x82\xfe\x00\x7d"), not_minimal);
	check_raw(&server, BYTES("\x82\xfe\x00\x00"), not_minimal);
	check_raw(&server, BYTES("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff"), not_minimal);
	check_raw(&server, BYTES("\x82\xff\x00\x00\x00\x00\x00\x00\x00\x05"), not_minimal);
	check_raw(&server, BYTES("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00"), top_bit);
	check_raw(&server, BYTES("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"), top_bit);
	check_raw(&server, BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"),
	          "failed 1009: message is too big");
}

/* 5.5 */
static void test_control_frames(void **unused)
{
	static const char zeros[126];

	check_frame(0x89, BYTES(""), "ping() ");
	check_frame(0x8a, BYTES("out of the blue"), "pong(out of the blue) ");
	check_frame(0x88, BYTES(""), "close 1005() ");
	check_frame(0x09, BYTES("x"), "failed 1002: fragmented control frame");
	check_frame(0x0a, BYTES(""), "failed 1002: fragmented control frame");
	check_frame(0x08, BYTES(""), "failed 1002: fragmented control frame");
	check_frame(0x89, (struct bytes){zeros, 126}, "failed 1002: control frame is too long");
	check_frame(0x88, (struct bytes){zeros, 126}, "failed 1002: control frame is too long");
	check_raw(&server, BYTES("\x89\xff"), "failed 1002: control frame is too long");
}

static void test_longest_control_frame(void **unused)
{
	char text[WS_CONTROL_MAX];
	char expected[WS_CONTROL_MAX + 8];

	memset(text, 'p', sizeof(text));
	snprintf(expected, sizeof(expected), "ping(%.*s) ", WS_CONTROL_MAX, text);
	check_frame(0x89, (struct bytes){text, sizeof(text)}, expected);
}

/* 7.4 */
static void test_close_codes(void **unused)
{
	unsigned code;

	for (code = 0; code <= UINT16_MAX; code += code > 1020 && code < 2990 ? 97 : code > 5010 ? 1013 : 1) {
		char payload[2] = {(char)(code >> 8), (char)(code & 0xff)};
		bool valid = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
		             (code >= 3000 && code <= 4999);
		char expected[64] = "failed 1002: invalid close code";

		if (valid)
			snprintf(expected, sizeof(expected), "close %u() ", code);
		check_frame(0x88, (struct bytes){payload, 2}, expected);
	}
	check_frame(0x88, BYTES("\x03"), "failed 1002: close frame with half a code");
}

/* 5.5.1 */
static void test_close_reasons(void **unused)
{
	check_frame(0x88,
	            BYTES("\x0f\xa1"
	                  "see you"),
	            "close 4001(see you) ");
	check_frame(0x88, BYTES("\x03\xe8\xe2\x82\xac"), "close 1000(\xe2\x82\xac) ");
	check_frame(0x88, BYTES("\x03\xe8\xe2\x82"), "failed 1007: close reason is not UTF-8");
	check_frame(0x88, BYTES("\x03\xe8\xff"), "failed 1007: close reason is not UTF-8");
}

static void test_header_encoding(void **unused)
{
	char out[WS_HEADER_MAX];

	assert_int_equal(ws_encode_header(out, WS_TEXT, 125), 2);
	assert_memory_equal(out, "\x81\x7d", 2);
	assert_int_equal(ws_encode_header(out, WS_PING, 0), 2);
	assert_memory_equal(out, "\x89\x00", 2);
	assert_int_equal(ws_encode_header(out, WS_BINARY, 126), 4);
	assert_memory_equal(out, "\x82\x7e\x00\x7e", 4);
	assert_int_equal(ws_encode_header(out, WS_TEXT, 65535), 4);
	assert_memory_equal(out, "\x81\x7e\xff\xff", 4);
	assert_int_equal(ws_encode_header(out, WS_TEXT, 65536), 10);
	assert_memory_equal(out, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
}

static void check_encoded(struct frame *f, const char *expected)
{
	struct buf in = input();

	assert_non_null(f);
	buf_put(&in, f->data, f->len);
	frame_unref(&f);
	check(&client, &in, expected);
}

static void test_encoded_frames_decode(void **unused)
{
	check_encoded(ws_frame_new(WS_TEXT, BYTES("hello")), "text(hello) ");
	check_encoded(ws_frame_new(WS_PONG, BYTES_NONE), "pong() ");
	check_encoded(ws_frame_close(3501, "bad request"), "close 3501(bad request) ");
	check_encoded(ws_frame_close(WS_CLOSE_NORMAL, ""), "close 1000() ");
	check_encoded(ws_frame_close(WS_CLOSE_NO_STATUS, "not sent"), "close 1005() ");
}

static void test_long_close_reason_is_cut_between_characters(void **unused)
{
	char reason[200] = "";
	char expected[256];
	size_t i;

	memset(reason, 'a', 150);
	snprintf(expected, sizeof(expected), "close 1000(%.123s) ", reason);
	check_encoded(ws_frame_close(WS_CLOSE_NORMAL, reason), expected);

	for (i = 120; i <= 123; i++) {
		memset(reason, 'a', i);
		memcpy(reason + i, "\xf0\x9f\x98\x80", 5);
		snprintf(expected, sizeof(expected), "close 1000(%.*s) ", (int)i, reason);
		check_encoded(ws_frame_close(WS_CLOSE_NORMAL, reason), expected);
	}
	memcpy(reason + 119, "\xf0\x9f\x98\x80", 5);
	snprintf(expected, sizeof(expected), "close 1000(%s) ", reason);
	check_encoded(ws_frame_close(WS_CLOSE_NORMAL, reason), expected);
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* A few frames that make sense more often than not, then now and then a byte that is another. */
static void put_random_frames(struct buf *in, uint32_t *random)
{
	static const uint8_t likely[] = {0x81, 0x01, 0x00, 0x80, 0x82, 0x02, 0x89, 0x8a, 0x88};
	static const char text[] =
		"plain \xe2\x82\xac \xf0\x9f\x98\x80 \x03\xe8 text that is longer than what "
		"control frames may hold, and longer than the lengths that fit into seven bits";
	uint32_t count = 1 + next_random(random) % 6;

	while (count-- > 0) {
		size_t from = next_random(random) % sizeof(text);
		size_t len = next_random(random) % (sizeof(text) - from);

		put_frame(in, likely[next_random(random) % sizeof(likely)], (struct bytes){text + from, len});
	}
	if (next_random(random) % 2 == 0)
		in->data[next_random(random) % in->len] ^= (char)(1 << next_random(random) % 8);
}

/* Whatever the bytes, the verdict does not depend on how they came. */
static void test_random_frames_at_every_split(void **unused)
{
	static const struct rules rules = {true, 300, false};
	uint32_t random = 2463534242;
	int round;

	for (round = 0; round < 1000; round++) {
		struct buf in = input();
		struct reader r;

		put_random_frames(&in, &random);
		reader_init(&r, &rules);
		reader_feed(&r, in.data, in.len);
		buf_putc(&r.seen, '\0');
		check(&rules, &in, r.seen.data);
		reader_free(&r);
	}
}

/* 5.3, from every position, at every alignment. */
static void test_masking(void **unused)
{
	static const uint8_t mask[4] = {0x01, 0x82, 0x43, 0xc4};
	char data[80];
	size_t len;
	size_t pos;
	size_t i;

	for (len = 0; len <= 64; len++) {
		for (pos = 0; pos < 8; pos++) {
			memset(data, 0x5a, sizeof(data));
			ws_mask(data + pos, len, mask, pos);
			for (i = 0; i < sizeof(data); i++) {
				bool inside = i >= pos && i < pos + len;

				assert_int_equal((uint8_t)data[i], inside ? 0x5a ^ mask[i & 3] : 0x5a);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples_of_the_rfc),
		cmocka_unit_test(test_messages_follow_each_other),
		cmocka_unit_test(test_every_payload_length_around_the_borders),
		cmocka_unit_test(test_whole_message_is_lent_from_the_buffer),
		cmocka_unit_test(test_reserved_bits_and_opcodes),
		cmocka_unit_test(test_mask_must_be_there_or_not),
		cmocka_unit_test(test_payload_length_encoding),
		cmocka_unit_test(test_control_frames),
		cmocka_unit_test(test_longest_control_frame),
		cmocka_unit_test(test_close_codes),
		cmocka_unit_test(test_close_reasons),
		cmocka_unit_test(test_header_encoding),
		cmocka_unit_test(test_encoded_frames_decode),
		cmocka_unit_test(test_long_close_reason_is_cut_between_characters),
		cmocka_unit_test(test_random_frames_at_every_split),
		cmocka_unit_test(test_masking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
