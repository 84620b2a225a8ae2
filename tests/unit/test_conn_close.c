/* How a connection ends: by the peer, by us, by a drain. */
#include "conn_world.h"

static void the_peer_that_closes_is_answered_with_its_code_and_then_the_socket_ends(void **state)
{
	handshake();
	say(WS_CLOSE, "\x03\xe8");
	settle();
	assert_true(read_all());
	assert_int_equal(close_code(t.answer), 1000);
	assert_int_equal(t.closed, 1);
	assert_int_equal(conns_count(net.conns), 0);
}

static void our_close_waits_for_the_answer_and_delivers_nothing_more(void **state)
{
	handshake();
	conn_close(t.conn, 3501, "bad request", "test");
	assert_int_equal(t.closed, 1);
	settle();
	assert_false(read_all());
	assert_int_equal(close_code(t.answer), 3501);
	assert_memory_equal(t.answer + 4, "bad request", 11);
	say(WS_TEXT, "late");
	assert_int_equal(conns_count(net.conns), 1);
	say(WS_CLOSE, "\x0d\xad");
	settle();
	assert_true(read_all());
	assert_string_equal(heard(), "");
	assert_int_equal(t.closed, 1);
}

static void the_last_word_of_the_app_stands_before_the_close_frame(void **state)
{
	t.goodbye = true;
	handshake();
	conn_close(t.conn, 3001, "shutdown", "test");
	settle();
	assert_false(read_all());
	assert_memory_equal(t.answer,
	                    "\x81\x03"
	                    "bye",
	                    5);
	assert_int_equal(close_code(t.answer + 5), 3001);
	assert_int_equal(t.closing, 1);
	assert_int_equal(t.closed, 1);
}

static void a_last_word_that_does_not_fit_any_more_ends_nothing_twice(void **state)
{
	struct frame *f = ws_frame_new(WS_TEXT, (struct bytes){t.answer, 1000});

	t.goodbye = true;
	handshake();
	net.config.client.queue_max_size = 1004;
	while (t.closed == 0) {
		conn_send(t.conn, f);
		turn();
	}
	assert_int_equal(t.closing, 1);
	assert_int_equal(t.closed, 1);
	frame_unref(&f);
}

static void a_peer_that_never_answers_a_close_is_dropped_after_five_seconds(void **state)
{
	handshake();
	conn_close(t.conn, 3501, "bad request", "test");
	settle();
	clock_freeze(1000000 + 4900, 1000000);
	settle();
	assert_int_equal(conns_count(net.conns), 1);
	clock_freeze(1000000 + 5100, 1000000);
	settle();
	assert_int_equal(conns_count(net.conns), 0);
}

static void a_message_over_the_limit_gets_1009_though_the_rest_of_it_is_still_coming(void **state)
{
	char head[WS_HEADER_MAX + 4] = {0};
	char noise[4096] = {0};
	size_t len = ws_encode_header(head, WS_TEXT, 100000);

	handshake();
	head[1] = (char)((unsigned char)head[1] | 0x80);
	write_all(head, len + 4);
	for (int i = 0; i < 24; i++)
		write_all(noise, sizeof(noise));
	settle();
	assert_true(read_all());
	assert_int_equal(close_code(t.answer), WS_CLOSE_TOO_BIG);
	assert_string_equal(heard(), "");
	assert_int_equal(t.closed, 1);
	close(t.peer);
	settle();
	assert_int_equal(conns_count(net.conns), 0);
	t.peer = -1;
}

static void a_close_behind_what_a_pause_held_back_is_found_when_we_close(void **state)
{
	char input[512];
	size_t len;

	handshake();
	t.pause_after = 1;
	len = masked_frame(input, WS_TEXT, true, "a", 1);
	len += masked_frame(input + len, WS_TEXT, true, "b", 1);
	len += masked_frame(input + len, WS_CLOSE, true, "\x03\xe8", 2);
	write_all(input, len);
	settle();
	conn_close(t.conn, 3001, "shutdown", "test");
	settle();
	assert_true(read_all());
	assert_int_equal(close_code(t.answer), 3001);
	assert_string_equal(heard(), "a|");
	assert_int_equal(t.closed, 1);
	assert_int_equal(conns_count(net.conns), 0);
}

static void a_drain_closes_with_3001_and_then_says_so(void **state)
{
	handshake();
	conns_drain(net.conns, 0);
	assert_int_equal(net.drained, 0);
	clock_freeze(1000000 + 20, 1000000);
	settle();
	assert_int_equal(t.closed, 1);
	assert_false(read_all());
	assert_int_equal(close_code(t.answer), 3001);
	say(WS_CLOSE, "\x0b\xb9");
	settle();
	assert_int_equal(net.drained, 1);
}

/* One of those that were there leaves on his own, so that the drain is behind its plan. */
static void who_comes_during_a_drain_is_upgraded_and_told(void **state)
{
	int other = another_client();
	int late;

	handshake();
	conns_drain(net.conns, 1000);
	close(other);
	clock_freeze(1000000 + 20, 1000000);
	settle();
	assert_int_equal(t.closed, 1);
	late = another_client();
	clock_freeze(1000000 + 900, 1000000);
	settle();
	close(t.peer);
	t.peer = late;
	t.opened = 0;
	handshake();
	assert_int_equal(t.closed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(the_peer_that_closes_is_answered_with_its_code_and_then_the_socket_ends),
		TEST(our_close_waits_for_the_answer_and_delivers_nothing_more),
		TEST(the_last_word_of_the_app_stands_before_the_close_frame),
		TEST(a_last_word_that_does_not_fit_any_more_ends_nothing_twice),
		TEST(a_peer_that_never_answers_a_close_is_dropped_after_five_seconds),
		TEST(a_message_over_the_limit_gets_1009_though_the_rest_of_it_is_still_coming),
		TEST(a_close_behind_what_a_pause_held_back_is_found_when_we_close),
		TEST(a_drain_closes_with_3001_and_then_says_so),
		TEST(who_comes_during_a_drain_is_upgraded_and_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
