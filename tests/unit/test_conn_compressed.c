/* Compressed messages of a connection. */
#include "conn_world.h"

#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00" /* RFC 7692, 7.2.3.1 */

static void handshake_compressed(void)
{
	static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

	net.config.websocket.compression = (struct compression_options){true, 1, 20};
	write_all(upgrade, strlen(upgrade) - 2);
	write_all(offer, sizeof(offer) - 1);
	settle();
	assert_false(read_all());
	assert_non_null(strstr(t.answer, "Sec-WebSocket-Extensions: permessage-deflate; "));
}

static void say_frame(uint8_t byte0, struct bytes payload)
{
	char frame[2048];
	size_t len = masked_frame(frame, WS_TEXT, true, payload.ptr, payload.len);

	frame[0] = (char)byte0;
	write_all(frame, len);
}

static void compressed_messages_are_restored_whole_or_in_fragments(void **state)
{
	handshake_compressed();
	say_frame(0xc1, BYTES(HELLO));
	say_frame(0x42, (struct bytes){HELLO, 3});
	say_frame(0x89, BYTES("p"));
	say_frame(0x80, (struct bytes){&HELLO[3], 4});
	say_frame(0x81, BYTES("plain"));
	settle();
	assert_string_equal(heard(), "Hello|Hello|plain|");
	assert_false(read_all());
	assert_memory_equal(t.answer, "\x8a\x01p", 3);
}

static void long_messages_are_sent_compressed_and_short_ones_are_not(void **state)
{
	static const char text[] = "abcabcabcabcabcabcabcabcabcabcabcabc";
	struct bytes message;

	t.echo = true;
	handshake_compressed();
	say_frame(0x81, BYTES("abcabcabcabcabcabca"));
	settle();
	assert_false(read_all());
	assert_int_equal(t.answer_len, 2 + 19);
	assert_memory_equal(t.answer, "\x81\x13", 2);
	say_frame(0x82, BYTES(text));
	settle();
	assert_false(read_all());
	assert_int_equal((unsigned char)t.answer[0], 0xc2);
	assert_int_equal(inflater_message(net.inflater, (struct bytes){t.answer + 2, t.answer_len - 2}, 1000,
	                                  &message),
	                 INFLATE_OK);
	assert_int_equal(message.len, sizeof(text) - 1);
	assert_memory_equal(message.ptr, text, message.len);
}

static void check_compressed_is_refused(struct bytes payload, uint16_t code)
{
	handshake_compressed();
	say_frame(0xc1, payload);
	settle();
	read_all();
	assert_int_equal(close_code(t.answer), code);
	assert_string_equal(heard(), "");
	assert_int_equal(t.closed, 1);
}

static void a_message_that_cannot_be_decompressed_gets_1007(void **state)
{
	check_compressed_is_refused(BYTES("Hello"), WS_CLOSE_INVALID_DATA);
}

static void compressed_text_that_is_not_utf8_gets_1007(void **state)
{
	check_compressed_is_refused(BYTES("\x00\x02\x00\xfd\xff\xff\xfe\x00"), WS_CLOSE_INVALID_DATA);
}

static void a_bomb_gets_1009(void **state)
{
	char *zeros = mem_alloc(MAX_MESSAGE * 100);
	struct bytes bomb;
	char copy[MAX_MESSAGE];

	assert_true(deflater_message(net.deflater, 15, 9, (struct bytes){zeros, MAX_MESSAGE * 100}, &bomb));
	memcpy(copy, bomb.ptr, bomb.len);
	check_compressed_is_refused((struct bytes){copy, bomb.len}, WS_CLOSE_TOO_BIG);
	mem_free(zeros);
}

static void compression_that_was_not_agreed_on_gets_1002(void **state)
{
	handshake();
	say_frame(0xc1, BYTES(HELLO));
	settle();
	read_all();
	assert_int_equal(close_code(t.answer), WS_CLOSE_PROTOCOL_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(compressed_messages_are_restored_whole_or_in_fragments),
		TEST(long_messages_are_sent_compressed_and_short_ones_are_not),
		TEST(a_message_that_cannot_be_decompressed_gets_1007),
		TEST(compressed_text_that_is_not_utf8_gets_1007),
		TEST(a_bomb_gets_1009),
		TEST(compression_that_was_not_agreed_on_gets_1002),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
