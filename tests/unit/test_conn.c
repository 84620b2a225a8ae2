/* What a connection reads, however it is cut, and what it may wait for meanwhile. */
#include "conn_world.h"

static void frames_behind_the_request_are_not_lost_however_the_bytes_are_cut(void **state)
{
	char input[1024];
	size_t len = strlen(upgrade);

	memcpy(input, upgrade, len);
	len += masked_frame(input + len, WS_TEXT, true, "one", 3);
	len += masked_frame(input + len, WS_TEXT, false, "tw", 2);
	len += masked_frame(input + len, WS_PING, true, "p", 1);
	len += masked_frame(input + len, WS_CONTINUATION, true, "o", 1);
	for (size_t cut = 0; cut <= len; cut++) {
		if (cut > 0) {
			tear_down(state);
			set_up(state);
		}
		write_all(input, cut);
		settle();
		write_all(input + cut, len - cut);
		settle();
		assert_string_equal(heard(), "one|two|");
		assert_false(read_all());
		assert_memory_equal(t.answer + t.answer_len - 3, "\x8a\x01p", 3);
	}
}

static void a_byte_at_a_time_is_the_same_as_all_at_once(void **state)
{
	char input[512];
	size_t len = masked_frame(input, WS_TEXT, true, "hello", 5);

	for (size_t i = 0; i < strlen(upgrade); i++)
		write_all(upgrade + i, 1);
	for (size_t i = 0; i < len; i++)
		write_all(input + i, 1);
	settle();
	assert_string_equal(heard(), "hello|");
}

static void what_was_read_before_a_pause_is_delivered_after_it_and_nothing_meanwhile(void **state)
{
	char input[512];
	size_t len;

	handshake();
	t.pause_after = 1;
	len = masked_frame(input, WS_TEXT, true, "a", 1);
	len += masked_frame(input + len, WS_TEXT, true, "b", 1);
	len += masked_frame(input + len, WS_TEXT, false, "c", 1);
	write_all(input, len);
	settle();
	assert_string_equal(heard(), "a|");
	len = masked_frame(input, WS_CONTINUATION, true, "d", 1);
	assert_int_equal(send(t.peer, input, len, 0), len);
	settle();
	assert_string_equal(heard(), "a|");
	conn_pause(t.conn, false);
	assert_string_equal(heard(), "a|");
	settle();
	assert_string_equal(heard(), "a|b|cd|");
}

/* All of it is there at once, and would be worked off in one turn; pings need not even be told to anybody. */
static void who_sends_much_at_once_has_his_share_of_each_turn(void **state)
{
	enum { FRAMES = 3000, SHARE = 256 };
	char input[FRAMES * 8];
	size_t len = 0;
	unsigned before = 0, turns = 0;

	handshake();
	for (int i = 0; i < FRAMES; i++)
		len += masked_frame(input + len, i % 2 ? WS_PING : WS_TEXT, true, "x", 1);
	assert_int_equal(send(t.peer, input, len, 0), len);
	for (; t.messages < FRAMES / 2; turns++) {
		turn();
		assert_in_range(t.messages - before, 0, SHARE);
		before = t.messages;
	}
	assert_true(turns <= FRAMES / SHARE + 2);
	say(WS_TEXT, "y");
	settle();
	assert_int_equal(t.messages, FRAMES / 2 + 1);
}

/* The messages stay in the sockets, and none is lost. */
static void who_is_read_behind_is_not_closed_for_sending_without_reading(void **state)
{
	char frame[1024];
	size_t len = masked_frame(frame, WS_BINARY, true, t.answer, 1000);
	size_t sent = 0, received = 0;
	ssize_t n;

	t.echo = true;
	net.config.client.queue_max_size = 1000;
	handshake();
	conn_read_behind(t.conn, 5000);
	while ((n = send(t.peer, frame, len, MSG_DONTWAIT)) == (ssize_t)len) {
		sent++;
		settle();
	}
	assert_int_equal(n, -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(sent > t.messages);
	while (received < sent * 1004) {
		n = recv(t.peer, t.answer, sizeof(t.answer), MSG_DONTWAIT);
		assert_int_not_equal(n, 0);
		received += n > 0 ? (size_t)n : 0;
		settle();
	}
	assert_int_equal(t.messages, sent);
	assert_int_equal(t.closed, 0);
}

static void a_peer_that_does_not_read_is_closed_with_3008_and_finds_whole_frames(void **state)
{
	struct frame *f = ws_frame_new(WS_TEXT, (struct bytes){t.answer, 1000});
	size_t pos = 0;
	int sent = 0;

	handshake();
	while (t.closed == 0 && sent++ < 100000) {
		conn_send(t.conn, f);
		turn();
	}
	assert_int_equal(t.closed, 1);
	frame_unref(&f);
	t.answer_len = 0;
	/* Frames of 1004 bytes, whole to the last, then the close frame. */
	for (;;) {
		char frame[1004];
		ssize_t n = recv(t.peer, frame, pos == 0 ? 2 : 1002, MSG_DONTWAIT);

		if (n < 0) {
			settle();
			continue;
		}
		if (pos == 0 && (unsigned char)frame[0] == (0x80 | WS_CLOSE)) {
			assert_int_equal(recv(t.peer, frame + 2, 2, MSG_DONTWAIT), 2);
			assert_int_equal(close_code(frame), 3008);
			return;
		}
		pos += (size_t)n;
		while (pos > 2 && pos < 1004) {
			n = recv(t.peer, frame, 1004 - pos, MSG_DONTWAIT);
			if (n > 0)
				pos += (size_t)n;
			settle();
		}
		if (pos == 1004)
			pos = 0;
	}
}

/* Answers as large as they may be fill the socket; what is pushed behind them has the whole queue. */
static void answers_do_not_count_and_room_is_told(void **state)
{
	static char large[1 << 20];
	struct frame *push = ws_frame_new(WS_TEXT, (struct bytes){t.answer, 1000});
	size_t sent = 0, received = 0;
	uint32_t taken;
	ssize_t n;

	handshake();
	conn_taken(t.conn);
	while (conn_has_room(t.conn)) {
		conn_send_answer(t.conn, WS_TEXT, (struct bytes){large, sizeof(large)});
		sent += sizeof(large) + 10;
		settle();
	}
	assert_true(conn_is_answering(t.conn));
	taken = conn_taken(t.conn);
	assert_true(taken > 0 && taken < sent);
	conn_want_room(t.conn);
	for (size_t i = 0; i < QUEUE_MAX / (1004 + 32) - 1; i++, sent += 1004)
		conn_send(t.conn, push);
	settle();
	assert_int_equal(t.rooms, 0);
	assert_int_equal(t.closed, 0);
	while (received < sent) {
		n = recv(t.peer, t.answer, sizeof(t.answer), MSG_DONTWAIT);
		assert_int_not_equal(n, 0);
		received += n > 0 ? (size_t)n : 0;
		settle();
	}
	assert_int_equal(received, sent);
	assert_int_equal(t.rooms, 1);
	assert_false(conn_is_answering(t.conn));
	assert_int_equal(t.closed, 0);
	/* And no more than that. */
	while (conn_has_room(t.conn)) {
		conn_send_answer(t.conn, WS_TEXT, (struct bytes){large, sizeof(large)});
		settle();
	}
	for (size_t i = 0; i < QUEUE_MAX / 1004 + 1; i++)
		conn_send(t.conn, push);
	assert_int_equal(t.closed, 1);
	frame_unref(&push);
}

static void after_an_error_to_connect_nothing_more_is_read(void **state)
{
	handshake();
	conn_stop_reading(t.conn);
	assert_int_equal(send(t.peer, "garbage", 7, 0), 7);
	settle();
	assert_int_equal(conns_count(net.conns), 1);
	assert_int_equal(t.closed, 0);
	conn_close(t.conn, 3502, "stale", "test");
	settle();
	assert_true(read_all());
	assert_int_equal(close_code(t.answer), 3502);
	assert_int_equal(conns_count(net.conns), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(frames_behind_the_request_are_not_lost_however_the_bytes_are_cut),
		TEST(a_byte_at_a_time_is_the_same_as_all_at_once),
		TEST(what_was_read_before_a_pause_is_delivered_after_it_and_nothing_meanwhile),
		TEST(who_sends_much_at_once_has_his_share_of_each_turn),
		TEST(who_is_read_behind_is_not_closed_for_sending_without_reading),
		TEST(a_peer_that_does_not_read_is_closed_with_3008_and_finds_whole_frames),
		TEST(answers_do_not_count_and_room_is_told),
		TEST(after_an_error_to_connect_nothing_more_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
