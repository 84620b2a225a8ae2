/* census.c: against a plain array of counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "census.h"

static uint64_t key_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(BYTES_OF_STR(text), &ip));
	return census_key(&ip);
}

static void ipv4_counts_by_address_and_ipv6_by_64_bits(void **state)
{
	assert_true(key_of("192.0.2.1") == key_of("::ffff:192.0.2.1"));
	assert_false(key_of("192.0.2.1") == key_of("192.0.2.2"));
	assert_true(key_of("2001:db8:0:1::1") == key_of("2001:db8:0:1:ffff:ffff:ffff:ffff"));
	assert_false(key_of("2001:db8:0:1::1") == key_of("2001:db8:0:2::1"));
	assert_false(key_of("::1") == key_of("0.0.0.0"));
	assert_false(key_of("::1") == key_of("127.0.0.1"));
}

enum { KEYS = 500, STEPS = 200000 };

static void counts_are_right_however_they_came_about(void **state)
{
	static uint32_t expected[KEYS];
	struct census c = {0};
	size_t used = 0;

	srand(4);
	for (int step = 0; step < STEPS; step++) {
		/* First many come, then all go. */
		uint64_t key = (uint64_t)rand() % KEYS;
		bool add = rand() % STEPS > step || c.used == 0;

		if (add) {
			census_add(&c, key << 40);
			used += expected[key]++ == 0;
		} else if (expected[key] > 0) {
			census_remove(&c, key << 40);
			used -= --expected[key] == 0;
		}
		assert_int_equal(census_count(&c, key << 40), expected[key]);
		assert_int_equal(c.used, used);
	}
	for (uint64_t key = 0; key < KEYS; key++) {
		assert_int_equal(census_count(&c, key << 40), expected[key]);
		while (expected[key]-- > 0)
			census_remove(&c, key << 40);
	}
	assert_null(c.entries);
	census_free(&c);
}

static void an_empty_one_knows_nobody_and_holds_nothing(void **state)
{
	struct census c = {0};

	assert_int_equal(census_count(&c, 0), 0);
	census_add(&c, 0);
	assert_int_equal(census_count(&c, 0), 1);
	assert_int_equal(census_count(&c, 1), 0);
	census_remove(&c, 0);
	assert_null(c.entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_counts_by_address_and_ipv6_by_64_bits),
		cmocka_unit_test(counts_are_right_however_they_came_about),
		cmocka_unit_test(an_empty_one_knows_nobody_and_holds_nothing),
	};

	return cmocka_run_group_tests_name("census", tests, NULL, NULL);
}
