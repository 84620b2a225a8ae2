/* ws_frame.c: RFC 6455, section 5, rule by rule. Each input is given whole, byte by byte and at every split,
 * and must give the same messages, control frames and failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "ws_frame.h"

enum { BIG = 1 << 20 };

/* A connection in small: keeps unconsumed bytes and presents them again, puts the pieces of a message
 * together, and writes down what it saw. */
struct reader {
	struct ws_decoder decoder;
	struct buf pending;
	struct buf message;
	struct buf seen;
	bool in_message;
	bool failed;
};

struct rules {
	bool expect_mask;
	uint64_t max_message;
	bool deflate;
};

static void reader_init(struct reader *r, const struct rules *rules)
{
	ws_decoder_init(&r->decoder, rules->expect_mask, rules->max_message);
	if (rules->deflate)
		ws_decoder_take_compressed(&r->decoder);
	buf_init(&r->pending, BIG);
	buf_init(&r->message, BIG);
	buf_init(&r->seen, BIG);
	r->in_message = false;
	r->failed = false;
}

static void reader_free(struct reader *r)
{
	buf_free(&r->pending);
	buf_free(&r->message);
	buf_free(&r->seen);
}

static const char *opcode_name(enum ws_opcode opcode)
{
	switch (opcode) {
	case WS_TEXT: return "text";
	case WS_BINARY: return "binary";
	case WS_CLOSE: return "close";
	case WS_PING: return "ping";
	case WS_PONG: return "pong";
	default: return "?";
	}
}

static void note_piece(struct reader *r, const struct ws_piece *piece)
{
	assert_int_equal(piece->start, !r->in_message);
	r->in_message = !piece->end;
	buf_put_bytes(&r->message, piece->payload);
	if (!piece->end)
		return;
	buf_putf(&r->seen, "%s%s(", piece->compressed ? "compressed " : "", opcode_name(piece->opcode));
	buf_put_bytes(&r->seen, buf_bytes(&r->message));
	buf_puts(&r->seen, ") ");
	buf_reset(&r->message);
}

static void note_control(struct reader *r, const struct ws_piece *piece)
{
	buf_puts(&r->seen, opcode_name(piece->opcode));
	if (piece->opcode == WS_CLOSE)
		buf_putf(&r->seen, " %u", piece->code);
	buf_puts(&r->seen, "(");
	buf_put_bytes(&r->seen, piece->payload);
	buf_puts(&r->seen, ") ");
}

static bool read_one(struct reader *r)
{
	struct ws_piece piece;
	size_t used;
	enum ws_event event = ws_decode(&r->decoder, r->pending.data, r->pending.len, &used, &piece);

	assert_true(used <= r->pending.len);
	switch (event) {
	case WS_NEED_MORE: break;
	case WS_PIECE: note_piece(r, &piece); break;
	case WS_CONTROL: note_control(r, &piece); break;
	case WS_FAILED:
		buf_putf(&r->seen, "failed %u: %s", piece.code, piece.error);
		r->failed = true;
		break;
	}
	buf_consume(&r->pending, used);
	return event == WS_PIECE || event == WS_CONTROL;
}

static void reader_feed(struct reader *r, const char *data, size_t len)
{
	if (r->failed)
		return;
	buf_put(&r->pending, data, len);
	while (read_one(r))
		;
}

static void check_seen(struct reader *r, const char *expected)
{
	buf_putc(&r->seen, '\0');
	assert_true(buf_ok(&r->seen) && buf_ok(&r->message) && buf_ok(&r->pending));
	assert_string_equal(r->seen.data, expected);
	reader_free(r);
}

static const struct rules server = {true, BIG, false};
static const struct rules client = {false, BIG, false};
static const struct rules compressing = {true, 1000, true};

static void check_split(const struct rules *rules, struct bytes in, size_t at, const char *expected)
{
	struct reader r;

	reader_init(&r, rules);
	reader_feed(&r, in.ptr, at);
	reader_feed(&r, in.ptr + at, in.len - at);
	check_seen(&r, expected);
}

static void check_bytewise(const struct rules *rules, struct bytes in, const char *expected)
{
	struct reader r;
	size_t i;

	reader_init(&r, rules);
	for (i = 0; i < in.len; i++)
		reader_feed(&r, in.ptr + i, 1);
	check_seen(&r, expected);
}

/* Takes the input and frees it. */
static void check(const struct rules *rules, struct buf *in, const char *expected)
{
	size_t i;

	assert_true(buf_ok(in));
	check_bytewise(rules, buf_bytes(in), expected);
	for (i = 0; i <= in->len; i += i >= 512 && i + 64 < in->len ? 997 : 1)
		check_split(rules, buf_bytes(in), i < in->len ? i : in->len, expected);
	buf_free(in);
}

static struct buf input(void)
{
	struct buf in;

	buf_init(&in, BIG);
	return in;
}

static void put_len(struct buf *in, uint8_t mask_bit, uint64_t len)
{
	char header[WS_HEADER_MAX];
	size_t header_len = ws_encode_header(header, WS_TEXT, len);

	header[1] = (char)(header[1] | mask_bit);
	buf_put(in, header + 1, header_len - 1);
}

/* A masked frame with a first byte of any kind. */
static void put_frame(struct buf *in, uint8_t byte0, struct bytes payload)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

	buf_putc(in, (char)byte0);
	put_len(in, 0x80, payload.len);
	buf_put(in, mask, sizeof(mask));
	buf_put_bytes(in, payload);
	if (payload.len > 0)
		ws_mask(in->data + in->len - payload.len, payload.len, mask, 0);
}

static void check_frame(uint8_t byte0, struct bytes payload, const char *expected)
{
	struct buf in = input();

	put_frame(&in, byte0, payload);
	check(&server, &in, expected);
}

static void check_raw(const struct rules *rules, struct bytes raw, const char *expected)
{
	struct buf in = input();

	buf_put_bytes(&in, raw);
	check(rules, &in, expected);
}

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

/* 5.4 */
static void test_fragments(void **unused)
{
	struct buf in = input();

	put_frame(&in, 0x01, BYTES("a"));
	put_frame(&in, 0x00, BYTES("b"));
	put_frame(&in, 0x89, BYTES("between"));
	put_frame(&in, 0x8a, BYTES(""));
	put_frame(&in, 0x00, BYTES("c"));
	put_frame(&in, 0x80, BYTES("d"));
	put_frame(&in, 0x82, BYTES("next"));
	check(&server, &in, "ping(between) pong() text(abcd) binary(next) ");
}

static void test_empty_fragments(void **unused)
{
	struct buf in = input();

	put_frame(&in, 0x01, BYTES(""));
	put_frame(&in, 0x00, BYTES(""));
	put_frame(&in, 0x00, BYTES("x"));
	put_frame(&in, 0x00, BYTES(""));
	put_frame(&in, 0x80, BYTES(""));
	put_frame(&in, 0x02, BYTES(""));
	put_frame(&in, 0x80, BYTES(""));
	check(&server, &in, "text(x) binary() ");
}

static void test_close_between_fragments(void **unused)
{
	struct buf in = input();

	put_frame(&in, 0x01, BYTES("never ends"));
	put_frame(&in, 0x88, BYTES("\x03\xe9"));
	check(&server, &in, "close 1001() ");
}

static void test_fragments_out_of_order(void **unused)
{
	struct buf in = input();

	check_frame(0x80, BYTES("x"), "failed 1002: continuation of no message");
	check_frame(0x00, BYTES("x"), "failed 1002: continuation of no message");

	put_frame(&in, 0x81, BYTES("whole"));
	put_frame(&in, 0x80, BYTES("x"));
	check(&server, &in, "text(whole) failed 1002: continuation of no message");

	put_frame(&in, 0x01, BYTES("a"));
	put_frame(&in, 0x81, BYTES("b"));
	check(&server, &in, "failed 1002: new message inside a fragmented one");

	put_frame(&in, 0x02, BYTES(""));
	put_frame(&in, 0x02, BYTES("b"));
	check(&server, &in, "failed 1002: new message inside a fragmented one");
}

static void test_message_limit(void **unused)
{
	static const struct rules ten = {true, 10, false};
	static const char too_big[] = "failed 1009: message is too big";
	struct buf in = input();

	put_frame(&in, 0x81, BYTES("0123456789"));
	put_frame(&in, 0x01, BYTES("01234"));
	put_frame(&in, 0x89, BYTES("control frames do not count"));
	put_frame(&in, 0x80, BYTES("56789"));
	check(&ten, &in, "text(0123456789) ping(control frames do not count) text(0123456789) ");

	put_frame(&in, 0x01, BYTES("01234"));
	put_frame(&in, 0x80, BYTES("567890"));
	check(&ten, &in, too_big);

	/* Told by the header alone: neither mask nor payload have come. */
	check_raw(&ten, BYTES("\x81\x8b"), too_big);
	check_raw(&ten, BYTES("\x82\xfe\xff\xff"), too_big);
	check_raw(&ten, BYTES("\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00"), too_big);
}

/* RFC 7692, 6: RSV1 stands in the first frame of a message and nowhere else, whatever is agreed on. */
static void test_compressed_messages(void **unused)
{
	static const char reserved[] = "failed 1002: reserved bits are set";
	struct buf in = input();

	put_frame(&in, 0xc1, BYTES("a"));
	put_frame(&in, 0x81, BYTES("b"));
	put_frame(&in, 0x42, BYTES("c"));
	put_frame(&in, 0x89, BYTES("p"));
	put_frame(&in, 0x00, BYTES("d"));
	put_frame(&in, 0x80, BYTES("e"));
	put_frame(&in, 0x82, BYTES("f"));
	check(&compressing, &in, "compressed text(a) text(b) ping(p) compressed binary(cde) binary(f) ");

	put_frame(&in, 0x41, BYTES("a"));
	put_frame(&in, 0xc0, BYTES("b"));
	check(&compressing, &in, reserved);
	put_frame(&in, 0x01, BYTES("a"));
	put_frame(&in, 0xc0, BYTES("b"));
	check(&compressing, &in, reserved);
	check_raw(&compressing, BYTES("\xc8"), reserved);
	check_raw(&compressing, BYTES("\xc9"), reserved);
	check_raw(&compressing, BYTES("\xca"), reserved);
	check_raw(&compressing, BYTES("\xa1"), reserved);
	check_raw(&compressing, BYTES("\xd1"), reserved);
	check_raw(&compressing, BYTES("\xf1"), reserved);
}

/* What is compressed is not text yet; what follows uncompressed is. */
static void test_utf8_of_compressed_text_is_not_looked_at(void **unused)
{
	struct buf in = input();

	put_frame(&in, 0xc1, BYTES("\xff\xfe"));
	put_frame(&in, 0x81, BYTES("\xff"));
	check(&compressing, &in, "compressed text(\xff\xfe) failed 1007: text is not UTF-8");
}

/* 1000 bytes and what compressing may add to them; all frames together. */
static void test_limit_of_compressed_messages(void **unused)
{
	static const char too_big[] = "failed 1009: message is too big";
	struct buf in = input();

	check_raw(&compressing, BYTES("\xc1\xfe\x04\xa5\1\2\3\4"), "");
	check_raw(&compressing, BYTES("\xc1\xfe\x04\xa6"), too_big);
	check_raw(&compressing, BYTES("\x81\xfe\x03\xe8\1\2\3\4"), "");
	check_raw(&compressing, BYTES("\x81\xfe\x03\xe9"), too_big);
	put_frame(&in, 0x41, BYTES("0123456789"));
	buf_put(&in, "\x80\xfe\x04\x9c", 4);
	check(&compressing, &in, too_big);
	put_frame(&in, 0x01, BYTES("0123456789"));
	buf_put(&in, "\x80\xfe\x03\xdf", 4);
	check(&compressing, &in, too_big);
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

/* 8.1 */
static void test_text_is_utf8(void **unused)
{
	static const char bad[] = "failed 1007: text is not UTF-8";
	struct buf in = input();

	check_frame(0x81, BYTES("\xce\xba\xf0\x9f\x98\x80"), "text(\xce\xba\xf0\x9f\x98\x80) ");
	check_frame(0x81, BYTES("ab\x80"), bad);
	check_frame(0x81, BYTES("cut\xe2\x82"), bad);
	check_frame(0x81, BYTES("\xed\xa0\x80"), bad);
	check_frame(0x82, BYTES("ab\x80"), "binary(ab\x80) ");

	put_frame(&in, 0x01, BYTES("\xf0"));
	put_frame(&in, 0x00, BYTES("\x9f\x98"));
	put_frame(&in, 0x8a, BYTES("\xff"));
	put_frame(&in, 0x00, BYTES(""));
	put_frame(&in, 0x80, BYTES("\x80."));
	check(&server, &in, "pong(\xff) text(\xf0\x9f\x98\x80.) ");

	put_frame(&in, 0x01, BYTES("\xe2\x82"));
	put_frame(&in, 0x80, BYTES(""));
	check(&server, &in, bad);

	/* A cut character of one message does not leak into the next. */
	put_frame(&in, 0x82, BYTES("\xe2\x82"));
	put_frame(&in, 0x81, BYTES("\xac"));
	check(&server, &in, "binary(\xe2\x82) failed 1007: text is not UTF-8");
}

/* The frame is announced longer than what has come; the byte that cannot be is told at once. */
static void test_bad_text_fails_fast(void **unused)
{
	struct buf in = input();

	put_frame(&in, 0x01, BYTES("abc\xf4\x90 and a lot more"));
	in.len -= sizeof(" and a lot more") - 1;
	check(&server, &in, "failed 1007: text is not UTF-8");
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
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_empty_fragments),
		cmocka_unit_test(test_close_between_fragments),
		cmocka_unit_test(test_fragments_out_of_order),
		cmocka_unit_test(test_message_limit),
		cmocka_unit_test(test_compressed_messages),
		cmocka_unit_test(test_utf8_of_compressed_text_is_not_looked_at),
		cmocka_unit_test(test_limit_of_compressed_messages),
		cmocka_unit_test(test_close_codes),
		cmocka_unit_test(test_close_reasons),
		cmocka_unit_test(test_text_is_utf8),
		cmocka_unit_test(test_bad_text_fails_fast),
		cmocka_unit_test(test_header_encoding),
		cmocka_unit_test(test_encoded_frames_decode),
		cmocka_unit_test(test_long_close_reason_is_cut_between_characters),
		cmocka_unit_test(test_random_frames_at_every_split),
		cmocka_unit_test(test_masking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
