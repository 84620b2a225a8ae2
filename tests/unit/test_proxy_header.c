/* proxy_header.c: both versions, each in every cut, and what follows the header stays out of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mem.h"
#include "proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TCP4      "\xc0\0\2\1\xc0\0\2\2\x9c\x40\1\xbb" /* 192.0.2.1:40000 to 192.0.2.2:443 */
#define TCP6                                                             \
	"\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\xd\xb8\0\0\0\0\0\0" \
	"\0\0\0\0\0\2\x9c\x40\1\xbb"

/* In memory of exactly its size. */
static enum proxy_result parse(struct bytes data, struct proxy_header *h)
{
	char *copy = mem_try_alloc(data.len + (data.len == 0));
	enum proxy_result result;

	assert_non_null(copy);
	if (data.len > 0)
		memcpy(copy, data.ptr, data.len);
	result = proxy_header_parse((struct bytes){copy, data.len}, h);
	mem_free(copy);
	return result;
}

/* Every beginning of it is partial, and takes nothing of what follows. */
static void check_cuts(struct bytes header, const struct proxy_header *whole)
{
	struct proxy_header h;
	char more[8192];

	assert_int_equal(whole->len, header.len);
	for (size_t cut = 0; cut < header.len; cut++) {
		assert_int_equal(parse(bytes_first(header, cut), &h), PROXY_PARTIAL);
		assert_int_equal(h.len, cut);
	}
	memcpy(more, header.ptr, header.len);
	memcpy(more + header.len, "\x16\3\1 GET /\r\n", 11);
	assert_int_equal(parse((struct bytes){more, header.len + 11}, &h), PROXY_COMPLETE);
	assert_int_equal(h.len, header.len);
	assert_int_equal(h.local, whole->local);
	assert_true(ip_eq(&h.source, &whole->source));
	assert_int_equal(h.source_port, whole->source_port);
}

static void check_source(struct bytes header, const char *expected)
{
	struct proxy_header h;
	char text[IP_TEXT_MAX];

	assert_int_equal(parse(header, &h), PROXY_COMPLETE);
	assert_false(h.local);
	ip_format(&h.source, h.source_port, text);
	assert_string_equal(text, expected);
	check_cuts(header, &h);
}

static void check_local(struct bytes header)
{
	struct proxy_header h;

	assert_int_equal(parse(header, &h), PROXY_COMPLETE);
	assert_true(h.local);
	check_cuts(header, &h);
}

/* Bad as soon as it can be told, and however it is cut. */
static void check_bad(struct bytes header, const char *error)
{
	struct proxy_header h;
	size_t cut = 0;

	while (cut < header.len && parse(bytes_first(header, cut), &h) == PROXY_PARTIAL)
		cut++;
	for (; cut <= header.len; cut++) {
		assert_int_equal(parse(bytes_first(header, cut), &h), PROXY_BAD);
		assert_string_equal(h.error, error);
	}
}

static void a_line_names_the_client(void **state)
{
	check_source(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 40000 443\r\n"), "192.0.2.1:40000");
	check_source(BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 1 0\r\n"), "[2001:db8::1]:1");
	check_source(BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	                   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n"),
	             "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
	check_source(BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 65535 1\r\n"), "192.0.2.1:65535");
}

static void a_line_may_say_that_nothing_is_known(void **state)
{
	check_local(BYTES("PROXY UNKNOWN\r\n"));
	check_local(BYTES("PROXY UNKNOWN ffff:: ffff:: 1 2\r\n"));
}

static void a_line_that_is_not_exact_is_bad(void **state)
{
	char text[200];

	check_bad(BYTES("GET / HTTP/1.1\r\n"), "is none");
	check_bad(BYTES("PROXX"), "is none");
	check_bad(BYTES("proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), "is none");
	check_bad(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), "line ends without CR");
	check_bad(BYTES("PROXY \n"), "line ends without CR");
	check_bad(BYTES("PROXY \r\n"), "unknown kind of connection");
	check_bad(BYTES("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"), "unknown kind of connection");
	check_bad(BYTES("PROXY UNKNOWNX\r\n"), "unknown kind of connection");
	check_bad(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), "line is too short");
	check_bad(BYTES("PROXY TCP4 \r\n"), "line is too short");
	check_bad(BYTES("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"), "bad address");
	check_bad(BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"), "bad address");
	check_bad(BYTES("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"), "bad address");
	check_bad(BYTES("PROXY TCP4 192.0.2.1 nobody 1 2\r\n"), "bad address");
	check_bad(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"), "bad port");
	check_bad(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"), "bad port");
	check_bad(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"), "bad port");
	check_bad(BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n"), "bad port");
	snprintf(text, sizeof(text), "PROXY UNKNOWN %100s", "");
	check_bad((struct bytes){text, PROXY_LINE_MAX}, "line is too long");
	text[PROXY_LINE_MAX - 2] = '\r';
	text[PROXY_LINE_MAX - 1] = '\n';
	check_local((struct bytes){text, PROXY_LINE_MAX});
}

static void a_binary_header_names_the_client(void **state)
{
	check_source(BYTES(SIGNATURE "\x21\x11\0\x0c" TCP4), "192.0.2.1:40000");
	check_source(BYTES(SIGNATURE "\x21\x21\0\x24" TCP6), "[2001:db8::1]:40000");
	/* With extensions, and with an empty one at the end. */
	check_source(BYTES(SIGNATURE "\x21\x11\0\x15" TCP4 "\1\0\3h11\4\0\0"), "192.0.2.1:40000");
}

static void a_binary_header_may_say_that_nothing_is_known(void **state)
{
	char unix_sockets[16 + 216] = SIGNATURE "\x21\x31\0\xd8/from";

	check_local(BYTES(SIGNATURE "\x20\0\0\0"));
	/* Whatever LOCAL carries is ignored. */
	check_local(BYTES(SIGNATURE "\x20\xff\0\3abc"));
	check_local(BYTES(SIGNATURE "\x21\0\0\0"));
	check_local(BYTES(SIGNATURE "\x21\0\0\6\4\0\3abc"));
	check_local((struct bytes){unix_sockets, sizeof(unix_sockets)});
}

static void a_binary_header_that_is_not_exact_is_bad(void **state)
{
	check_bad(BYTES("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" TCP4), "is none");
	check_bad(BYTES("\r\n\r\nGET / HTTP/1.1"), "is none");
	check_bad(BYTES("\x16\3\1"), "is none");
	check_bad(BYTES(SIGNATURE "\x11\x11\0\x0c" TCP4), "unknown version or command");
	check_bad(BYTES(SIGNATURE "\x22\x11\0\x0c" TCP4), "unknown version or command");
	check_bad(BYTES(SIGNATURE "\x21\x12\0\x0c" TCP4), "unknown kind of connection");
	check_bad(BYTES(SIGNATURE "\x21\x41\0\x0c" TCP4), "unknown kind of connection");
	check_bad(BYTES(SIGNATURE "\x21\x11\0\x0b" TCP4), "too short for its addresses");
	check_bad(BYTES(SIGNATURE "\x21\x21\0\x0c" TCP4), "too short for its addresses");
	check_bad(BYTES(SIGNATURE "\x21\x11\x0f\xf1"), "too long");
	check_bad(BYTES(SIGNATURE "\x21\x11\xff\xff"), "too long");
	check_bad(BYTES(SIGNATURE "\x21\x11\0\x0e" TCP4 "\1\0"), "extension is cut off");
	check_bad(BYTES(SIGNATURE "\x21\x11\0\x10" TCP4 "\1\0\2a"), "extension is longer than the header");
}

static void the_longest_binary_header_is_taken(void **state)
{
	static char header[PROXY_HEADER_MAX] = SIGNATURE "\x21\x11\x0f\xf0" TCP4 "\x04\x0f\xe1";

	check_source((struct bytes){header, sizeof(header)}, "192.0.2.1:40000");
}

/* The checksum was computed by another implementation. */
static void a_checksum_must_be_right(void **state)
{
	char header[] = SIGNATURE "\x21\x11\0\x17" TCP4 "\3\0\4CRCC\4\0\1x";
	struct bytes data = {header, sizeof(header) - 1};

	memcpy(header + 31, "\x4f\x8e\x08\x3d", 4);
	check_source(data, "192.0.2.1:40000");
	for (size_t i = 31; i < 35; i++) {
		header[i] = (char)(header[i] ^ 1);
		check_bad(data, "checksum is wrong");
		header[i] = (char)(header[i] ^ 1);
	}
	header[16] = (char)(header[16] ^ 0x80);
	check_bad(data, "checksum is wrong");
	check_bad(BYTES(SIGNATURE "\x21\x11\0\x12" TCP4 "\3\0\3abc"), "checksum is wrong");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_names_the_client),
		cmocka_unit_test(a_line_may_say_that_nothing_is_known),
		cmocka_unit_test(a_line_that_is_not_exact_is_bad),
		cmocka_unit_test(a_binary_header_names_the_client),
		cmocka_unit_test(a_binary_header_may_say_that_nothing_is_known),
		cmocka_unit_test(a_binary_header_that_is_not_exact_is_bad),
		cmocka_unit_test(the_longest_binary_header_is_taken),
		cmocka_unit_test(a_checksum_must_be_right),
	};

	return cmocka_run_group_tests_name("proxy_header", tests, NULL, NULL);
}
