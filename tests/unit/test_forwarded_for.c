/* forwarded_for.c: who is the client, seen from the right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "forwarded_for.h"

static struct peer_set trusted;

static int set_up(void **state)
{
	char *items[] = {(char *)"10.0.0.0/8", (char *)"2001:db8:1::/48"};
	const struct strings list = {items, ARRAY_LEN(items)};

	peer_set_init(&trusted, &list);
	return 0;
}

static int tear_down(void **state)
{
	peer_set_free(&trusted);
	return 0;
}

/* The client, "none" or "bad". Each line is a header line. */
static const char *client_of(const char *lines)
{
	static char text[IP_TEXT_MAX];
	static struct http1_request req;
	char head[2048] = "GET / HTTP/1.1\r\nHost: x\r\n";
	struct ip ip;
	uint16_t port;

	snprintf(head + strlen(head), sizeof(head) - strlen(head), "%s\r\n", lines);
	req = (struct http1_request){0};
	assert_int_equal(http1_parse(BYTES_OF_STR(head), &req), HTTP1_COMPLETE);
	switch (forwarded_for(&req, &trusted, &ip, &port)) {
	case FORWARDED_NONE: return "none";
	case FORWARDED_BAD: return "bad";
	case FORWARDED_FOUND: break;
	}
	ip_format(&ip, port, text);
	return text;
}

#define FOR(list) client_of("X-Forwarded-For: " list "\r\n")

static void the_first_from_the_right_that_is_not_trusted_is_the_client(void **state)
{
	assert_string_equal(FOR("192.0.2.1"), "192.0.2.1");
	assert_string_equal(FOR("192.0.2.1, 10.0.0.1"), "192.0.2.1");
	assert_string_equal(FOR("192.0.2.1,10.0.0.1,10.0.0.2"), "192.0.2.1");
	assert_string_equal(FOR("1.1.1.1, 192.0.2.1"), "192.0.2.1");
	assert_string_equal(FOR("1.1.1.1, 192.0.2.1, 2001:db8:1::7"), "192.0.2.1");
	assert_string_equal(FOR("2001:db8:2::1, 10.0.0.1"), "2001:db8:2::1");
}

static void what_the_client_says_himself_is_not_even_looked_at(void **state)
{
	assert_string_equal(FOR("127.0.0.1, 10.0.0.7, 192.0.2.1, 10.0.0.1"), "192.0.2.1");
	assert_string_equal(FOR("<script>, '; drop, 192.0.2.1"), "192.0.2.1");
}

static void if_all_are_trusted_it_is_the_one_furthest_away(void **state)
{
	assert_string_equal(FOR("10.0.0.9, 10.0.0.1"), "10.0.0.9");
}

static void several_lines_are_one_list(void **state)
{
	assert_string_equal(client_of("X-Forwarded-For: 1.1.1.1\r\nX: y\r\nx-forwarded-for: 192.0.2.1\r\n"
	                              "X-FORWARDED-FOR: 10.0.0.1, 10.0.0.2\r\n"),
	                    "192.0.2.1");
	assert_string_equal(client_of("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For:\r\n"), "192.0.2.1");
}

static void ports_brackets_and_blanks_are_taken(void **state)
{
	assert_string_equal(FOR("192.0.2.1:4711"), "192.0.2.1:4711");
	assert_string_equal(FOR("[2001:db8::1]"), "2001:db8::1");
	assert_string_equal(FOR("[2001:db8::1]:4711"), "[2001:db8::1]:4711");
	assert_string_equal(FOR("2001:db8::1"), "2001:db8::1");
	assert_string_equal(FOR("::ffff:192.0.2.1 , 10.0.0.1:99"), "192.0.2.1");
	assert_string_equal(FOR(" \t192.0.2.1\t , ,, "), "192.0.2.1");
}

static void nothing_of_it_is_used_if_an_element_on_the_way_is_no_address(void **state)
{
	static const char *const bad[] = {
		"unknown",
		"192.0.2.1, unknown",
		"192.0.2.1, _hidden, 10.0.0.1",
		"192.0.2.1:",
		"192.0.2.1:x",
		"192.0.2.1:65536",
		"[2001:db8::1",
		"[2001:db8::1]x",
		"[::1]:123456",
		"[192.0.2",
		"\"192.0.2.1\"",
		"192.0.2.1 10.0.0.1",
		"for=1.1.1.1",
		":80",
		"[]",
		"192.0.2.256",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char line[200];

		snprintf(line, sizeof(line), "X-Forwarded-For: %s\r\n", bad[i]);
		assert_string_equal(client_of(line), "bad");
	}
}

static void without_a_value_there_is_none(void **state)
{
	assert_string_equal(client_of(""), "none");
	assert_string_equal(FOR(""), "none");
	assert_string_equal(FOR(" , ,"), "none");
	assert_string_equal(client_of("Forwarded: for=192.0.2.1\r\nX-Real-IP: 192.0.2.1\r\n"), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_from_the_right_that_is_not_trusted_is_the_client),
		cmocka_unit_test(what_the_client_says_himself_is_not_even_looked_at),
		cmocka_unit_test(if_all_are_trusted_it_is_the_one_furthest_away),
		cmocka_unit_test(several_lines_are_one_list),
		cmocka_unit_test(ports_brackets_and_blanks_are_taken),
		cmocka_unit_test(nothing_of_it_is_used_if_an_element_on_the_way_is_no_address),
		cmocka_unit_test(without_a_value_there_is_none),
	};

	return cmocka_run_group_tests_name("forwarded_for", tests, set_up, tear_down);
}
