/* Addresses: what parses, what does not, and how they are written. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "address.h"

static void check_writing(const char *text, const char *written)
{
	char out[ADDRESS_TEXT_MAX];
	struct address address;
	const char *reason;

	assert_true(address_parse(text, &address, &reason));
	address_format(&address, out);
	assert_string_equal(out, written);
}

static void good_addresses_parse(void **state)
{
	check_writing("127.0.0.1:8080", "127.0.0.1:8080");
	check_writing("0.0.0.0:1", "0.0.0.0:1");
	check_writing("localhost:8080", "127.0.0.1:8080");
	check_writing("[::1]:65535", "[::1]:65535");
	check_writing("[2001:DB8:0:0::1]:80", "[2001:db8::1]:80");
	check_writing(":8080", "[::]:8080");
	check_writing("unix:/run/x.sock", "unix:/run/x.sock");
	check_writing("unix:///run/x.sock", "unix:/run/x.sock");
}

static void bad_addresses_do_not(void **state)
{
	static const char *const bad[] = {"",
	                                  ":",
	                                  "8080",
	                                  "127.0.0.1",
	                                  "127.0.0.1:",
	                                  "127.0.0.1:65536",
	                                  "127.0.0.1:x",
	                                  "127.0.0.1:-1",
	                                  "127.0.0.1: 80",
	                                  "127.1:80",
	                                  "1:80",
	                                  "LOCALHOST:80",
	                                  "localhost",
	                                  "localhost.:80",
	                                  "[localhost]:80",
	                                  "otherhost:80",
	                                  "::1:80",
	                                  "[::1]",
	                                  "[::1]80",
	                                  "[::1:80",
	                                  "::1]:80",
	                                  "[]:80",
	                                  "[127.0.0.1]:80",
	                                  "[::1%lo]:80",
	                                  "unix:",
	                                  "unix:run/x",
	                                  "unix://run/x",
	                                  "http://127.0.0.1:80",
	                                  "[:80",
	                                  "[",
	                                  "]:80",
	                                  "127.0.0.1:000080"};
	struct address address;
	const char *reason;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		reason = NULL;
		assert_false(address_parse(bad[i], &address, &reason));
		assert_non_null(reason);
	}
}

static void a_unix_path_has_a_limit(void **state)
{
	char text[5 + 109];
	struct address address;
	const char *reason;

	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:/", 6);
	text[5 + 107] = '\0';
	assert_true(address_parse(text, &address, &reason));
	assert_int_equal(address.len, sizeof(struct sockaddr_un));
	text[5 + 107] = 'a';
	text[5 + 108] = '\0';
	assert_false(address_parse(text, &address, &reason));
}

/* The longest there is fits into the text. */
static void any_address_can_be_written(void **state)
{
	struct address address = {.len = sizeof(struct sockaddr_un)};
	char out[ADDRESS_TEXT_MAX];

	address.sa.un.sun_family = AF_UNIX;
	memset(address.sa.un.sun_path, 'p', sizeof(address.sa.un.sun_path));
	address_format(&address, out);
	assert_int_equal(strlen(out), 5 + sizeof(address.sa.un.sun_path));
	address.len = sizeof(sa_family_t);
	address_format(&address, out);
	assert_string_equal(out, "unix:");
	address = (struct address){0};
	address_format(&address, out);
	assert_string_equal(out, "unknown");
}

static void an_ipv4_peer_of_an_ipv6_socket_is_written_as_ipv4(void **state)
{
	char out[ADDRESS_TEXT_MAX];
	struct address address;
	const char *reason;

	assert_true(address_parse("[::ffff:10.1.2.3]:80", &address, &reason));
	address_format(&address, out);
	assert_string_equal(out, "10.1.2.3:80");
}

static void check_manner(const char *text, bool tls, bool deflate, const char *rest)
{
	struct address_manner manner;

	assert_string_equal(address_manner(text, &manner), rest);
	assert_int_equal(manner.tls, tls);
	assert_int_equal(manner.deflate, deflate);
}

static void words_before_an_address_to_listen_on_say_how_it_is_spoken_there(void **state)
{
	check_manner(":80", false, false, ":80");
	check_manner("tls::443", true, false, ":443");
	check_manner("deflate:unix:/x", false, true, "unix:/x");
	check_manner("tls:deflate:[::1]:443", true, true, "[::1]:443");
	check_manner("deflate:tls:[::1]:443", true, true, "[::1]:443");
	check_manner("tls:tls::443", true, false, "tls::443");
	check_manner("TLS::443", false, false, "TLS::443");
	check_manner("", false, false, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses_parse),
		cmocka_unit_test(bad_addresses_do_not),
		cmocka_unit_test(a_unix_path_has_a_limit),
		cmocka_unit_test(any_address_can_be_written),
		cmocka_unit_test(an_ipv4_peer_of_an_ipv6_socket_is_written_as_ipv4),
		cmocka_unit_test(words_before_an_address_to_listen_on_say_how_it_is_spoken_there),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
