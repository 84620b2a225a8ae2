/* gate.c: how many come in, how fast, and what is said to the others. */
#include "gate_world.h"

/* --- how many --- */

static void in_all_there_is_a_limit(void **state)
{
	uint64_t refused = metric(METRIC_connections_refused);
	int first;

	net.config.client.connection_limit = 2;
	open_door(nobody, nobody);
	first = arrive("unix", NULL);
	assert_in(arrive("192.0.2.1:1", NULL));
	assert_refused(arrive("192.0.2.2:1", NULL), STATUS_503);
	assert_int_equal(metric(METRIC_connections_refused), refused + 1);
	hang_up(first);
	assert_in(arrive("192.0.2.2:1", NULL));
}

static void each_address_has_its_limit_and_ipv6_has_it_for_64_bits(void **state)
{
	uint64_t refused = metric(METRIC_refused_address);
	int first;

	net.config.limits.connections_per_address = 2;
	open_door(nobody, nobody);
	first = arrive("192.0.2.1:1", NULL);
	arrive("[::ffff:192.0.2.1]:2", NULL);
	assert_refused(arrive("192.0.2.1:3", NULL), STATUS_429);
	assert_in(arrive("192.0.2.2:1", NULL));
	arrive("[2001:db8::1]:1", NULL);
	arrive("[2001:db8::2]:1", NULL);
	assert_refused(arrive("[2001:db8::3]:1", NULL), STATUS_429);
	assert_in(arrive("[2001:db8:0:1::1]:1", NULL));
	assert_int_equal(metric(METRIC_refused_address), refused + 2);
	hang_up(first);
	assert_in(arrive("192.0.2.1:4", NULL));
	assert_refused(arrive("192.0.2.1:5", NULL), STATUS_429);
}

static void what_stands_for_many_is_not_limited(void **state)
{
	static char range[] = "10.0.0.0/8";
	char *proxies[] = {range, NULL};

	net.config.limits.connections_per_address = 1;
	net.config.limits.connection_rate_per_address = 1;
	open_door(nobody, proxies);
	for (int i = 0; i < 15; i++) {
		assert_in(arrive("unix", NULL));
		assert_in(arrive("127.0.0.1:1", NULL));
		assert_in(arrive("10.1.2.3:1", NULL));
	}
}

/* --- how fast --- */

static void new_connections_have_a_rate(void **state)
{
	uint64_t refused = metric(METRIC_refused_rate);

	net.config.client.connection_rate_limit = 4;
	open_door(nobody, nobody);
	for (int i = 0; i < 4; i++)
		assert_in(arrive("unix", NULL));
	assert_refused(arrive("192.0.2.9:1", NULL), STATUS_503);
	assert_int_equal(metric(METRIC_refused_rate), refused + 1);
	pass(250);
	assert_in(arrive("192.0.2.9:1", NULL));
	assert_refused(arrive("192.0.2.9:1", NULL), STATUS_503);
}

static void new_connections_of_one_address_have_a_rate_of_their_own(void **state)
{
	uint64_t refused = metric(METRIC_refused_address_rate);

	net.config.limits.connection_rate_per_address = 1;
	open_door(nobody, nobody);
	for (int i = 0; i < BURST; i++)
		hang_up(arrive("192.0.2.1:1", NULL));
	assert_refused(arrive("192.0.2.1:1", NULL), STATUS_429);
	assert_int_equal(metric(METRIC_refused_address_rate), refused + 1);
	assert_in(arrive("192.0.2.2:1", NULL));
	pass(1000);
	assert_in(arrive("192.0.2.1:1", NULL));
	assert_refused(arrive("192.0.2.1:1", NULL), STATUS_429);
}

/* --- through which door --- */

static void who_would_speak_tls_is_told_in_the_language_of_tls(void **state)
{
	const struct conns_door door = {.tls = (struct tls_server *)&t};
	int peer;

	net.config.client.connection_limit = 1;
	open_door(nobody, nobody);
	arrive("unix", NULL);
	peer = arrive("192.0.2.1:1", &door);
	assert_int_equal(recv(peer, t.answer, sizeof(t.answer), 0), 7);
	/* An alert record of TLS, fatal, internal_error. */
	assert_memory_equal(t.answer, "\x15\3\3\0\2\2\x50", 7);
	assert_int_equal(recv(peer, t.answer, sizeof(t.answer), 0), 0);
}

static void compression_may_be_had_at_one_door_only(void **state)
{
	const struct conns_door deflate = {.deflate = true};
	int plain, packed;

	open_door(nobody, nobody);
	plain = arrive("unix", NULL);
	packed = arrive("unix", &deflate);
	say(plain, UPGRADE("Sec-WebSocket-Extensions: permessage-deflate\r\n"));
	assert_null(strstr(hear(plain), "permessage-deflate"));
	say(packed, UPGRADE("Sec-WebSocket-Extensions: permessage-deflate\r\n"));
	assert_non_null(strstr(hear(packed), "permessage-deflate"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_all_there_is_a_limit),
		TEST(each_address_has_its_limit_and_ipv6_has_it_for_64_bits),
		TEST(what_stands_for_many_is_not_limited),
		TEST(new_connections_have_a_rate),
		TEST(new_connections_of_one_address_have_a_rate_of_their_own),
		TEST(who_would_speak_tls_is_told_in_the_language_of_tls),
		TEST(compression_may_be_had_at_one_door_only),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
