/* ip.c: addresses, ranges, and sets of peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ip.h"

static struct ip ip(const char *text)
{
	struct ip out;

	assert_true(ip_parse(BYTES_OF_STR(text), &out));
	return out;
}

static bool has(const char *range, const char *text)
{
	struct ip_range parsed;
	struct ip one = ip(text);
	const char *reason;

	assert_true(ip_range_parse(range, &parsed, &reason));
	return ip_range_has(&parsed, &one);
}

static void ipv4_is_the_same_however_it_is_written(void **state)
{
	struct ip a = ip("10.1.2.3"), b = ip("::ffff:10.1.2.3"), c = ip("::ffff:a01:203");

	assert_true(ip_eq(&a, &b) && ip_eq(&a, &c));
	assert_true(ip_is_4(&a));
	c = ip("::10.1.2.3");
	assert_false(ip_is_4(&c));
	assert_false(ip_eq(&a, &c));
}

static void what_is_no_numeric_address_does_not_parse(void **state)
{
	static const char *const bad[] = {
		"",           "localhost",  "10.0.0",
		"10.0.0.256", "10.0.0.1 ",  "010.0.0.1",
		"::1%lo",     "[::1]",      "1:2:3:4:5:6:7:8:9",
		":::",        "0x7f.0.0.1", "1111:2222:3333:4444:5555:6666:123.123.123.1234567"};
	struct ip out;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(ip_parse(BYTES_OF_STR(bad[i]), &out));
	assert_false(ip_parse(BYTES("10.0.0.1\0"), &out));
	assert_false(ip_parse(BYTES_NONE, &out));
}

static void addresses_are_written_with_their_port_if_they_have_one(void **state)
{
	static const struct {
		const char *ip;
		uint16_t port;
		const char *text;
	} cases[] = {
		{"10.1.2.3", 80, "10.1.2.3:80"},
		{"10.1.2.3", 0, "10.1.2.3"},
		{"2001:db8::1", 65535, "[2001:db8::1]:65535"},
		{"::1", 0, "::1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ip one = ip(cases[i].ip), back;
		char text[IP_TEXT_MAX], longer[ADDRESS_TEXT_MAX];
		struct address address;
		uint16_t port;

		ip_format(&one, cases[i].port, text);
		assert_string_equal(text, cases[i].text);
		ip_to_address(&one, cases[i].port, &address);
		assert_true(ip_of_address(&address, &back, &port));
		assert_true(ip_eq(&one, &back));
		assert_int_equal(port, cases[i].port);
		address_format(&address, longer);
		if (port != 0)
			assert_string_equal(longer, text);
	}
}

static void an_address_of_a_socket_is_known(void **state)
{
	struct address address;
	struct ip one, expected = ip("127.0.0.1");
	const char *reason;
	uint16_t port;

	assert_true(address_parse("127.0.0.1:4711", &address, &reason));
	assert_true(ip_of_address(&address, &one, &port));
	assert_true(ip_eq(&one, &expected));
	assert_int_equal(port, 4711);
	assert_true(address_parse("unix:/x", &address, &reason));
	assert_false(ip_of_address(&address, &one, &port));
}

static void a_range_has_what_begins_with_its_bits(void **state)
{
	assert_true(has("10.0.0.0/8", "10.255.0.1"));
	assert_false(has("10.0.0.0/8", "11.0.0.0"));
	assert_true(has("192.168.6.0/23", "192.168.7.255"));
	assert_false(has("192.168.6.0/23", "192.168.8.0"));
	assert_true(has("192.168.7.1", "192.168.7.1"));
	assert_true(has("192.168.7.1/32", "192.168.7.1"));
	assert_false(has("192.168.7.1", "192.168.7.2"));
	assert_true(has("2001:db8::/32", "2001:db8:ffff::1"));
	assert_false(has("2001:db8::/32", "2001:db9::"));
	assert_true(has("2001:db8::8/125", "2001:db8::f"));
	assert_false(has("2001:db8::8/125", "2001:db8::10"));
	assert_true(has("::1", "::1"));
}

static void ipv6_and_ipv4_do_not_hold_each_other(void **state)
{
	assert_true(has("0.0.0.0/0", "1.2.3.4"));
	assert_false(has("0.0.0.0/0", "2001:db8::1"));
	assert_true(has("::/0", "2001:db8::1"));
	assert_false(has("::/0", "1.2.3.4"));
	assert_false(has("::/64", "1.2.3.4"));
	assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
	assert_true(has("::ffff:10.0.0.0/104", "10.1.2.3"));
	assert_false(has("::ffff:10.0.0.0/104", "11.1.2.3"));
}

static void bad_ranges_are_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {
		"",           "10.0.0.0/33", "10.0.0.0/",  "10.0.0.0/-1",  "10.0.0.0/8/8",
		"10.0.0.0/x", "::/129",      "10.0.0.1/8", "::1/64",       "unix:/x",
		"10/8",       "example.com", "*",          "10.0.0.0/0008"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *reason = NULL;
		struct ip_range range;

		assert_false(ip_range_parse(bad[i], &range, &reason));
		assert_non_null(reason);
		assert_false(peer_set_check(bad[i], &reason));
	}
}

static void a_set_has_what_one_of_its_items_has(void **state)
{
	char *items[] = {(char *)"10.0.0.0/8", (char *)"unix", (char *)"::1"};
	const struct strings list = {items, ARRAY_LEN(items)}, none = {0};
	struct ip inside = ip("10.9.9.9"), outside = ip("9.9.9.9"), six = ip("::1");
	struct peer_set set;
	const char *reason;

	for (size_t i = 0; i < list.count; i++)
		assert_true(peer_set_check(items[i], &reason));
	peer_set_init(&set, &list);
	assert_true(set.unix_sockets);
	assert_true(peer_set_has(&set, &inside));
	assert_true(peer_set_has(&set, &six));
	assert_false(peer_set_has(&set, &outside));
	peer_set_free(&set);
	peer_set_init(&set, &none);
	assert_false(set.unix_sockets);
	assert_false(peer_set_has(&set, &inside));
	peer_set_free(&set);
}

static void the_host_itself_is_known(void **state)
{
	static const struct {
		const char *ip;
		bool loopback;
	} cases[] = {{"127.0.0.1", true},  {"127.255.0.9", true}, {"::1", true},
	             {"128.0.0.1", false}, {"::2", false},        {"::", false}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ip one = ip(cases[i].ip);

		assert_int_equal(ip_is_loopback(&one), cases[i].loopback);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_is_the_same_however_it_is_written),
		cmocka_unit_test(what_is_no_numeric_address_does_not_parse),
		cmocka_unit_test(addresses_are_written_with_their_port_if_they_have_one),
		cmocka_unit_test(an_address_of_a_socket_is_known),
		cmocka_unit_test(a_range_has_what_begins_with_its_bits),
		cmocka_unit_test(ipv6_and_ipv4_do_not_hold_each_other),
		cmocka_unit_test(bad_ranges_are_refused_with_a_reason),
		cmocka_unit_test(a_set_has_what_one_of_its_items_has),
		cmocka_unit_test(the_host_itself_is_known),
	};

	return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
