/* gate.c: on whose behalf load balancers and proxies speak, and that only those are believed that are
 * trusted. */
#include "gate_world.h"

static char any_unix[] = "unix";
static char lan[] = "10.0.0.0/8";
static char *via_unix[] = {any_unix, NULL};
static char *via_lan[] = {lan, NULL};

static void a_proxy_header_names_the_client_however_it_is_cut(void **state)
{
	static const char header[] =
		"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
	size_t len = sizeof(header) - 1;

	open_door(via_lan, nobody);
	for (size_t cut = 1; cut < len; cut++) {
		int peer = arrive("10.0.0.1:1", NULL);

		t.name[0] = '\0';
		say_bytes(peer, header, cut);
		say_bytes(peer, header + cut, len - cut);
		assert_string_equal(t.name, "192.0.2.1:4711");
		assert_begins(hear(peer), "HTTP/1.1 200 OK\r\n");
		close(peer);
		t.peer_count--;
		settle();
	}
}

static void a_proxy_header_may_come_byte_by_byte(void **state)
{
	static const char header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x9c\x40\1\xbb"
				     "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	int peer;

	open_door(via_unix, nobody);
	peer = arrive("unix", NULL);
	for (size_t i = 0; i < sizeof(header) - 1; i++)
		say_bytes(peer, header + i, 1);
	assert_string_equal(t.name, "192.0.2.1:40000");
}

static void a_load_balancer_that_speaks_for_itself_stays_who_it_is(void **state)
{
	int peer;

	open_door(via_lan, nobody);
	peer = arrive("10.0.0.1:99", NULL);
	say(peer, "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(t.name, "10.0.0.1:99");
}

static void who_must_say_for_whom_and_does_not_is_broken_off(void **state)
{
	uint64_t refused = metric(METRIC_proxy_headers_refused);
	int peer;

	open_door(via_lan, nobody);
	peer = arrive("10.0.0.1:1", NULL);
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(hear(peer), "|END");
	assert_int_equal(t.requests, 0);
	assert_int_equal(metric(METRIC_proxy_headers_refused), refused + 1);
}

static void who_says_for_whom_and_is_not_trusted_is_taken_at_nothing(void **state)
{
	int peer;

	open_door(via_lan, via_lan);
	peer = arrive("192.0.2.7:1", NULL);
	say(peer, "PROXY TCP4 127.0.0.1 10.0.0.1 4711 443\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_begins(hear(peer), "HTTP/1.1 400 Bad Request\r\n");
	peer = arrive("192.0.2.7:2", NULL);
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n");
	assert_string_equal(t.name, "192.0.2.7:2");
}

static void a_proxy_header_has_its_time(void **state)
{
	int silent, slow;

	open_door(via_lan, nobody);
	silent = arrive("10.0.0.1:1", NULL);
	slow = arrive("10.0.0.1:2", NULL);
	pass(5000);
	say(slow, "PROXY TCP4 ");
	pass(4900);
	assert_string_equal(hear(silent), "");
	pass(200);
	assert_string_equal(hear(silent), "|END");
	assert_string_equal(hear(slow), "|END");
}

static void connections_that_wait_for_a_header_count_and_are_dropped_at_the_end(void **state)
{
	int peer;

	net.config.client.connection_limit = 1;
	open_door(via_lan, nobody);
	peer = arrive("10.0.0.1:1", NULL);
	say(peer, "PROXY ");
	assert_refused(arrive("192.0.2.1:1", NULL), STATUS_503);
	hang_up(peer);
	assert_in(arrive("192.0.2.1:1", NULL));
}

static void the_limit_of_an_address_is_that_of_the_client_behind_the_header(void **state)
{
	net.config.limits.connections_per_address = 1;
	open_door(via_lan, nobody);
	for (int i = 0; i < 2; i++) {
		int peer = arrive("10.0.0.1:1", NULL);

		say(peer, "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n");
		if (i == 0)
			assert_string_equal(hear(peer), "");
		else
			assert_refused(peer, STATUS_429);
	}
}

static void forwarded_for_names_the_client_of_each_request(void **state)
{
	int peer;

	open_door(nobody, via_unix);
	peer = arrive("unix", NULL);
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.1.1.1, 192.0.2.1\r\n\r\n");
	assert_string_equal(t.name, "192.0.2.1");
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: [2001:db8::1]:80\r\n\r\n");
	assert_string_equal(t.name, "[2001:db8::1]:80");
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
	assert_string_equal(t.name, "unix");
	say(peer, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
	          "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: unknown\r\n\r\n");
	assert_string_equal(t.name, "unix");
}

static void an_upgrade_counts_for_the_client_behind_the_proxy(void **state)
{
	int first, second;

	net.config.limits.connections_per_address = 1;
	open_door(nobody, via_unix);
	first = arrive("unix", NULL);
	say(first, UPGRADE("X-Forwarded-For: 192.0.2.1\r\n"));
	assert_begins(hear(first), "HTTP/1.1 101 ");
	second = arrive("unix", NULL);
	say(second, UPGRADE("X-Forwarded-For: 192.0.2.1\r\n"));
	assert_begins(hear(second), STATUS_429);
	/* The connection of the proxy lives on, and is of use for others. */
	say(second, UPGRADE("X-Forwarded-For: 192.0.2.2\r\n"));
	assert_begins(hear(second), "HTTP/1.1 101 ");
	hang_up(first);
	first = arrive("unix", NULL);
	say(first, UPGRADE("X-Forwarded-For: 192.0.2.1\r\n"));
	assert_begins(hear(first), "HTTP/1.1 101 ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_proxy_header_names_the_client_however_it_is_cut),
		TEST(a_proxy_header_may_come_byte_by_byte),
		TEST(a_load_balancer_that_speaks_for_itself_stays_who_it_is),
		TEST(who_must_say_for_whom_and_does_not_is_broken_off),
		TEST(who_says_for_whom_and_is_not_trusted_is_taken_at_nothing),
		TEST(a_proxy_header_has_its_time),
		TEST(connections_that_wait_for_a_header_count_and_are_dropped_at_the_end),
		TEST(the_limit_of_an_address_is_that_of_the_client_behind_the_header),
		TEST(forwarded_for_names_the_client_of_each_request),
		TEST(an_upgrade_counts_for_the_client_behind_the_proxy),
	};

	return cmocka_run_group_tests_name("gate_trust", tests, NULL, NULL);
}
