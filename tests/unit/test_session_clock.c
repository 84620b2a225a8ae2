/* Pings and pongs, and who is given up because nothing is heard of him. */
#include "session_world.h"

static void whoever_does_not_connect_is_stale(void **state)
{
	fake_loop_advance(9999);
	assert_true(t.conn.open);
	fake_loop_advance(1);
	assert_closed(DISCONNECT_STALE);
}

static void pings_come_regularly_after_a_random_first(void **state)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (int i = 0; i < 50; i++) {
		uint64_t first;

		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
		connect_client();
		first = wait_for_ping(30000);
		assert_in_range(first, 12500, 25000);
		least = first < least ? first : least;
		most = first > most ? first : most;
		say("{}");
		assert_int_equal(wait_for_ping(30000), 25000);
		say("{}");
	}
	assert_true(most - least > 3000);
}

/* In rounds: the worker is not woken for each. */
static void pings_of_many_go_out_together(void **state)
{
	for (int i = 0; i < 50; i++) {
		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
		fake_loop_advance(7);
		connect_client();
		assert_true(wait_for_ping(30000) > 0);
		assert_int_equal(clock_ms() % 250, 0);
	}
}

static void only_a_pong_is_a_sign_of_life(void **state)
{
	connect_client();
	assert_true(wait_for_ping(25000) > 0);
	fake_loop_advance(7000);
	ask("{\"id\":2,\"rpc\":{}}", ERROR(2, 108, "not available"));
	fake_loop_advance(1000);
	assert_closed(DISCONNECT_NO_PONG);
}

static void one_pong_for_each_ping(void **state)
{
	connect_client();
	assert_true(wait_for_ping(25000) > 0);
	say("{}\n{\"id\":2,\"rpc\":{}}\nnull");
	hear(ERROR(2, 108, "not available"));
	assert_closed(DISCONNECT_BAD_REQUEST);
}

/* The pong is there, but behind a command that waits for Redis: that is not the client's fault. */
static void a_pong_that_is_held_back_is_not_missed(void **state)
{
	t.config.redis.call_timeout_ms = 60000;
	connect_client();
	fake_redis_confirm_at_once(false);
	assert_true(wait_for_ping(25000) > 0);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{}");
	fake_loop_advance(20000);
	assert_true(t.conn.open);
	confirm("a");
	hear("{\"id\":2,\"subscribe\":{}}\n");
	assert_int_equal(wait_for_ping(25000), 5000);
	say("{}");
	fake_loop_advance(10000);
	assert_true(t.conn.open);
}

/* The pong is there, but what came before it was too much for now. */
static void a_pong_that_waits_at_a_limit_is_not_missed(void **state)
{
	connect_client();
	assert_int_not_equal(wait_for_ping(25000), 0);
	t.conn.held_back = true;
	fake_loop_advance(20000);
	assert_true(t.conn.open);
	t.conn.held_back = false;
	say("{}");
	assert_true(t.conn.open);
	assert_int_not_equal(wait_for_ping(25000), 0);
	fake_loop_advance(8000);
	assert_closed(DISCONNECT_NO_PONG);
}

/* The whole process was stopped, over the moment at which the pong was due. */
static void a_pong_is_not_missed_while_we_were_stopped(void **state)
{
	connect_client();
	assert_true(wait_for_ping(25000) > 0);
	clock_freeze(clock_ms() + 60000, clock_unix_ms() + 60000);
	fake_loop_advance(0);
	assert_true(t.conn.open);
	say("{}");
	assert_true(t.conn.open);
	assert_true(wait_for_ping(25000) > 0);
	fake_loop_advance(8000);
	assert_closed(DISCONNECT_NO_PONG);
}

static void native_pings_ask_for_nothing(void **state)
{
	fake_conn_free(&t.conn);
	open_conn(&t.conn, &(struct session_params){.native_ping = true});
	say("{\"id\":1,\"connect\":{}}");
	hear("{\"id\":1,\"connect\":{\"client\":\"<uuid>\",\"version\":\"" FANFARE_VERSION "\"}}\n");
	fake_loop_advance(100000);
	assert_in_range(t.conn.pings, 4, 5);
	assert_true(t.conn.open);
	hear("");
	say("{}");
	assert_closed(DISCONNECT_BAD_REQUEST);
}

static void without_pings_there_is_no_timer(void **state)
{
	t.config.client.ping_interval_ms = 0;
	say("{\"id\":1,\"connect\":{}}");
	assert_int_equal(fake_loop_timers(), 0);
	say("{}");
	assert_closed(DISCONNECT_BAD_REQUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(whoever_does_not_connect_is_stale),
		TEST(pings_come_regularly_after_a_random_first),
		TEST(pings_of_many_go_out_together),
		TEST(only_a_pong_is_a_sign_of_life),
		TEST(one_pong_for_each_ping),
		TEST(a_pong_that_is_held_back_is_not_missed),
		TEST(a_pong_that_waits_at_a_limit_is_not_missed),
		TEST(a_pong_is_not_missed_while_we_were_stopped),
		TEST(native_pings_ask_for_nothing),
		TEST(without_pings_there_is_no_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
