/* ws_frame.c: how frames become messages: fragments, limits, compression (RFC 7692), text that is UTF-8. */
#include "ws_reader.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_empty_fragments),
		cmocka_unit_test(test_close_between_fragments),
		cmocka_unit_test(test_fragments_out_of_order),
		cmocka_unit_test(test_message_limit),
		cmocka_unit_test(test_compressed_messages),
		cmocka_unit_test(test_utf8_of_compressed_text_is_not_looked_at),
		cmocka_unit_test(test_limit_of_compressed_messages),
		cmocka_unit_test(test_text_is_utf8),
		cmocka_unit_test(test_bad_text_fails_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
