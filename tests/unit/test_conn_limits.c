/* conn_limits.c: how much a client sends, and how fast. */
#include "gate_world.h"

/* An empty frame with a mask of zeros. */
#define PING      "\x89\x80\0\0\0\0"
#define TEXT      "\x81\x80\0\0\0\0"
#define BEGIN     "\x01\x80\0\0\0\0"
#define CONTINUED "\x00\x80\0\0\0\0"

enum { EMPTY_FRAME = 6 };

static int upgraded(void)
{
	int peer;

	open_door(nobody, nobody);
	peer = arrive("unix", NULL);
	say(peer, UPGRADE(""));
	assert_begins(hear(peer), "HTTP/1.1 101 ");
	return peer;
}

static void say_often(int peer, const char frame[EMPTY_FRAME], size_t count)
{
	char data[65536];

	assert_true(count * EMPTY_FRAME <= sizeof(data));
	for (size_t i = 0; i < count; i++)
		memcpy(data + i * EMPTY_FRAME, frame, EMPTY_FRAME);
	say_bytes(peer, data, count * EMPTY_FRAME);
}

static void who_sends_too_many_messages_waits_and_loses_none(void **state)
{
	uint64_t held_back = metric(METRIC_held_back_commands);
	int peer;

	net.config.limits.commands_per_second = 20;
	peer = upgraded();
	say_often(peer, TEXT, 20 * BURST);
	assert_int_equal(t.messages, 20 * BURST);
	assert_false(conn_held_back(t.conn));
	say_often(peer, TEXT, 50);
	assert_true(conn_held_back(t.conn));
	assert_int_equal(t.messages, 20 * BURST + 1);
	assert_int_equal(metric(METRIC_held_back_commands), held_back + 1);
	pass(1000);
	assert_in_range(t.messages, 20 * BURST + 2, 20 * BURST + 21);
	for (int i = 0; i < 20; i++)
		pass(150);
	assert_int_equal(t.messages, 20 * BURST + 50);
	assert_false(conn_held_back(t.conn));
}

static void pings_and_empty_fragments_count_as_commands_do(void **state)
{
	static const char *const frames[] = {PING, CONTINUED};

	for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
		int peer;

		if (i > 0) {
			tear_down(state);
			set_up(state);
		}
		net.config.limits.commands_per_second = 20;
		peer = upgraded();
		say_bytes(peer, BEGIN, EMPTY_FRAME);
		say_often(peer, frames[i], 20 * BURST - 1);
		assert_false(conn_held_back(t.conn));
		say_often(peer, frames[i], 1);
		assert_true(conn_held_back(t.conn));
		pass(120);
		assert_false(conn_held_back(t.conn));
	}
}

static void who_would_wait_too_long_is_told_so(void **state)
{
	uint64_t disconnects = metric(METRIC_rate_disconnects);
	const char *answer;
	int peer;

	net.config.limits.commands_per_second = 20;
	peer = upgraded();
	say_bytes(peer, BEGIN, EMPTY_FRAME);
	say_often(peer, CONTINUED, 2 * 20 * BURST + 1);
	answer = hear(peer);
	assert_memory_equal(answer, "\x88\x13\x0b\xc5too many requests", 21);
	assert_int_equal(metric(METRIC_rate_disconnects), disconnects + 1);
}

static void who_sends_too_many_bytes_waits_and_loses_none(void **state)
{
	char frame[] = "\x82\xfe\3\xe8\0\0\0\0";
	char data[1008] = {0};
	uint64_t held_back = metric(METRIC_held_back_bytes);
	size_t sent = 0;
	int peer;

	net.config.limits.bytes_per_second = 16 << 10;
	peer = upgraded();
	memcpy(data, frame, 8);
	while (!conn_held_back(t.conn)) {
		say_bytes(peer, data, sizeof(data));
		sent++;
		assert_true(sent < 1000);
	}
	assert_in_range(sent, (16 << 10) * BURST / sizeof(data), (16 << 10) * BURST / sizeof(data) + 1);
	assert_int_equal(t.messages, sent);
	say_bytes(peer, data, sizeof(data));
	assert_int_equal(t.messages, sent);
	assert_int_equal(metric(METRIC_held_back_bytes), held_back + 1);
	pass(200);
	assert_int_equal(t.messages, sent + 1);
}

static void who_is_held_back_can_be_closed_and_closes(void **state)
{
	int peer;

	net.config.limits.commands_per_second = 20;
	peer = upgraded();
	say_often(peer, TEXT, 20 * BURST + 1);
	assert_true(conn_held_back(t.conn));
	conn_close(t.conn, 3001, "shutdown", "test");
	assert_false(conn_held_back(t.conn));
	settle();
	assert_begins(hear(peer), "\x88\x0a\x0b\xb9shutdown");
	say_bytes(peer, "\x88\x82\0\0\0\0\x0b\xb9", 8);
	assert_string_equal(hear(peer), "|END");
	assert_int_equal(conns_count(net.conns), 0);
}

static void without_limits_there_are_none(void **state)
{
	int peer = upgraded();

	for (int i = 0; i < 5; i++) {
		say_often(peer, TEXT, 10000);
		assert_false(conn_held_back(t.conn));
	}
	for (int i = 0; i < 20; i++) /* a turn has its share, and no time passes */
		settle();
	assert_false(conn_held_back(t.conn));
	assert_int_equal(t.messages, 50000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_sends_too_many_messages_waits_and_loses_none),
		TEST(pings_and_empty_fragments_count_as_commands_do),
		TEST(who_would_wait_too_long_is_told_so),
		TEST(who_sends_too_many_bytes_waits_and_loses_none),
		TEST(who_is_held_back_can_be_closed_and_closes),
		TEST(without_limits_there_are_none),
	};

	return cmocka_run_group_tests_name("conn_limits", tests, NULL, NULL);
}
