/* Addresses of Redis: what parses to what, what does not, and that no password is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mem.h"
#include "redis_url.h"

struct wanted {
	bool is_unix, tls;
	const char *host, *port, *path, *user, *password;
	int db;
};

static void equal_or_both_null(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		assert_ptr_equal(a, b);
	else
		assert_string_equal(a, b);
}

static void check(const char *text, struct wanted wanted)
{
	struct redis_url url;
	const char *reason;

	assert_true(redis_url_parse(text, &url, &reason));
	assert_int_equal(url.is_unix, wanted.is_unix);
	assert_int_equal(url.tls, wanted.tls);
	equal_or_both_null(url.host, wanted.host);
	equal_or_both_null(url.port, wanted.port);
	equal_or_both_null(url.path, wanted.path);
	equal_or_both_null(url.user, wanted.user);
	equal_or_both_null(url.password, wanted.password);
	assert_int_equal(url.db, wanted.db);
	redis_url_free(&url);
	assert_null(url.host);
	redis_url_free(&url);
}

static void good_addresses_parse(void **state)
{
	check("redis://h", (struct wanted){.host = "h", .port = "6379"});
	check("redis://h/", (struct wanted){.host = "h", .port = "6379"});
	check("redis://redis.example.com:1/15",
	      (struct wanted){.host = "redis.example.com", .port = "1", .db = 15});
	check("redis://10.0.0.5:65535/0", (struct wanted){.host = "10.0.0.5", .port = "65535"});
	check("redis://[::1]", (struct wanted){.host = "::1", .port = "6379"});
	check("redis://[fe80::1%eth0]:6380/2",
	      (struct wanted){.host = "fe80::1%eth0", .port = "6380", .db = 2});
	check("redis://:pw@h", (struct wanted){.host = "h", .port = "6379", .password = "pw"});
	check("redis://u:p:w@h",
	      (struct wanted){.host = "h", .port = "6379", .user = "u", .password = "p:w"});
	check("redis://u:p@w@h",
	      (struct wanted){.host = "h", .port = "6379", .user = "u", .password = "p@w"});
	check("redis://%75:%40%2f%3A%25@h",
	      (struct wanted){.host = "h", .port = "6379", .user = "u", .password = "@/:%"});
	check("rediss://h", (struct wanted){.tls = true, .host = "h", .port = "6379"});
	check("rediss://u:p@[::1]:6380/2",
	      (struct wanted){
		      .tls = true, .host = "::1", .port = "6380", .user = "u", .password = "p", .db = 2});
	check("unix:/run/redis.sock", (struct wanted){.is_unix = true, .path = "/run/redis.sock"});
	check("unix:///run/redis.sock", (struct wanted){.is_unix = true, .path = "/run/redis.sock"});
	check("unix:/a@b:c?d", (struct wanted){.is_unix = true, .path = "/a@b:c?d"});
}

static void bad_addresses_do_not(void **state)
{
	static const char *const bad[] = {
		"",
		"h:6379",
		"redis:",
		"redis://",
		"redis:///0",
		"redis://:6379",
		"redis://h:",
		"redis://h:0",
		"redis://h:65536",
		"redis://h:x",
		"redis://h:1:2",
		"redis://::1",
		"redis://[::1",
		"redis://[]",
		"redis://[::1]x",
		"redis://h o",
		"redis://h/x",
		"redis://h/0/1",
		"redis://h/-1",
		"redis://h/99999999999",
		"redis://h?db=1",
		"redis://h?",
		"redis://h#",
		"redis://pw@h",
		"redis://u:@h",
		"redis://:%4@h",
		"redis://:%zz@h",
		"redis://:%00@h",
		"redis://:a%@h",
		"redis://:p/w@h",
		"redis://@h",
		"rediss://",
		"rediss:h",
		"redisss://h",
		"rediss://h:x",
		"REDIS://h",
		"unix:",
		"unix:run",
		"unix://run",
	};
	struct redis_url url;
	const char *reason;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		reason = NULL;
		assert_false(redis_url_parse(bad[i], &url, &reason));
		assert_non_null(reason);
		assert_null(url.host);
		assert_null(url.password);
	}
}

static void check_mask(const char *text, const char *wanted)
{
	char *masked = redis_url_mask(text);

	assert_string_equal(masked, wanted);
	mem_free(masked);
}

static void a_password_is_masked(void **state)
{
	check_mask("redis://h:1/2", "redis://h:1/2");
	check_mask("redis://:pw@h:1/2", "redis://:***@h:1/2");
	check_mask("redis://u:pw@h", "redis://u:***@h");
	check_mask("rediss://u:pw@h:1/2", "rediss://u:***@h:1/2");
	check_mask("redis://u:p@w:x@h", "redis://u:***@h");
	/* Not right, but perhaps a password all the same. */
	check_mask("redis://pw@h", "redis://***@h");
	check_mask("redis://:p/w@h", "redis://:***@h");
	check_mask("unix:/a@b", "unix:/a@b");
	check_mask("", "");
	check_mask("@://", "@://");
}

static void no_bytes_crash(void **state)
{
	static const char alphabet[] = "redis:/unix@[]%09.?#a\xff";
	uint32_t seed = 42;
	char text[40] = "redis://";

	for (int i = 0; i < 50000; i++) {
		size_t from = i % 2 == 0 ? 8 : 0, len;
		struct redis_url url;
		const char *reason;

		seed = seed * 1664525 + 1013904223;
		len = from + (seed >> 16) % 20;
		memcpy(text, "redis://", 8);
		for (size_t j = from; j < len; j++) {
			seed = seed * 1664525 + 1013904223;
			text[j] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
		}
		text[len] = '\0';
		if (redis_url_parse(text, &url, &reason))
			assert_true(url.is_unix ? url.path != NULL : url.host != NULL && url.port != NULL);
		redis_url_free(&url);
		mem_free(redis_url_mask(text));
	}
}

static void hosts_stand_alone_too(void **state)
{
	static const char *const bad[] = {"",    ":1",   "h:",  "h:0", "h:65536", "h:1/0",
	                                  "u@h", "[::1", "::1", "h h", "/s"};
	struct redis_url url;
	const char *reason;

	assert_true(redis_url_parse_host("sentinel.example.com", "26379", &url, &reason));
	assert_string_equal(url.host, "sentinel.example.com");
	assert_string_equal(url.port, "26379");
	redis_url_free(&url);
	assert_true(redis_url_parse_host("[::1]:5", "26379", &url, &reason));
	assert_string_equal(url.host, "::1");
	assert_string_equal(url.port, "5");
	redis_url_free(&url);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(redis_url_parse_host(bad[i], "26379", &url, &reason));
}

static void a_host_is_a_name_or_an_address(void **state)
{
	static const char *const good[] = {"h", "10.0.0.5", "a-b_c.example.com", "::1", "fe80::1%eth0"};
	static const char *const bad[] = {"", "a b", "a/b", "a@b", "[::1]", "a\r\nb", "a%20b", "h\xc3\xa9"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(redis_url_is_host(BYTES_OF_STR(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(redis_url_is_host(BYTES_OF_STR(bad[i])));
	assert_false(redis_url_is_host((struct bytes){"a\0b", 3}));
	assert_false(redis_url_is_host(BYTES_NONE));
	assert_true(redis_url_is_port(BYTES("1")) && redis_url_is_port(BYTES("65535")));
	assert_false(redis_url_is_port(BYTES("0")) || redis_url_is_port(BYTES("65536")) ||
	             redis_url_is_port(BYTES("")) || redis_url_is_port(BYTES("1x")) ||
	             redis_url_is_port(BYTES("-1")) || redis_url_is_port(BYTES_NONE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_addresses_parse),  cmocka_unit_test(bad_addresses_do_not),
		cmocka_unit_test(a_password_is_masked),  cmocka_unit_test(no_bytes_crash),
		cmocka_unit_test(hosts_stand_alone_too), cmocka_unit_test(a_host_is_a_name_or_an_address),
	};

	return cmocka_run_group_tests_name("redis_url", tests, NULL, NULL);
}
