/* rate.c: a bucket that leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rate.h"

static uint64_t taken(struct rate *r, uint64_t now_ms, uint64_t per_s, uint32_t burst_s)
{
	uint64_t count = 0;

	while (rate_take(r, now_ms, per_s, burst_s))
		count++;
	return count;
}

static void a_burst_may_come_at_once_and_then_the_rate(void **state)
{
	struct rate r = {0};
	uint64_t now = 5000000;

	assert_int_equal(taken(&r, now, 100, 10), 1000);
	assert_int_equal(taken(&r, now + 9, 100, 10), 0);
	assert_int_equal(taken(&r, now + 10, 100, 10), 1);
	assert_int_equal(taken(&r, now + 1000, 100, 10), 99);
	assert_int_equal(taken(&r, now + 1000000, 100, 10), 1000);
}

static void nothing_is_lost_between_the_looks(void **state)
{
	struct rate r = {0};
	uint64_t now = 5000000, count = taken(&r, now, 3, 1);

	for (uint64_t ms = 1; ms <= 100000; ms++)
		count += taken(&r, now + ms, 3, 1);
	assert_in_range(count, 3 + 300 - 1, 3 + 300);
}

static void the_wait_is_exact(void **state)
{
	struct rate r = {0};

	rate_add(&r, 1000, 64 << 10, 16 << 10);
	assert_int_equal(rate_wait_ms(&r, 1000, 4), 0);
	rate_add(&r, 1000, 16, 16 << 10);
	assert_int_equal(rate_wait_ms(&r, 1000, 4), 1);
	rate_add(&r, 1000, 16 << 10, 16 << 10);
	assert_int_equal(rate_wait_ms(&r, 1000, 4), 1001);
	assert_int_equal(rate_wait_ms(&r, 2000, 4), 1);
	assert_int_equal(rate_wait_ms(&r, 2001, 4), 0);
}

static void more_than_can_be_counted_is_the_most_that_can(void **state)
{
	struct rate r = {0};

	rate_add(&r, 1, UINT32_MAX, 1);
	assert_int_equal(r.debt_us, UINT32_MAX);
	rate_add(&r, 1, 1, 1);
	assert_int_equal(r.debt_us, UINT32_MAX);
}

static void a_clock_that_comes_round_gives_nothing_away(void **state)
{
	struct rate r = {0};
	uint64_t before = UINT32_MAX - 499;

	assert_int_equal(taken(&r, before, 100, 10), 1000);
	assert_int_equal(taken(&r, before + 1000, 100, 10), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_may_come_at_once_and_then_the_rate),
		cmocka_unit_test(nothing_is_lost_between_the_looks),
		cmocka_unit_test(the_wait_is_exact),
		cmocka_unit_test(more_than_can_be_counted_is_the_most_that_can),
		cmocka_unit_test(a_clock_that_comes_round_gives_nothing_away),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
