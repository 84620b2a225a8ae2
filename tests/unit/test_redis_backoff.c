/* How long is waited before the next try to connect to Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "redis_backoff.h"

static uint64_t now_ms;

static void pass(uint64_t ms)
{
	now_ms += ms;
	clock_freeze(now_ms, now_ms);
}

static int setup(void **state)
{
	now_ms = 1000000;
	pass(0);
	return 0;
}

/* A try that takes so long and fails; then at least and at most so much is waited. */
static void fails(struct redis_backoff *b, uint64_t after_ms, uint64_t least_ms, uint64_t most_ms)
{
	redis_backoff_try(b);
	pass(after_ms);
	assert_in_range(redis_backoff_next(b, false), least_ms, most_ms);
}

static void each_delay_is_twice_the_last_one_up_to_a_second(void **state)
{
	struct redis_backoff b = {0};

	fails(&b, 0, 25, 50);
	fails(&b, 0, 50, 100);
	fails(&b, 0, 100, 200);
	fails(&b, 0, 200, 400);
	fails(&b, 0, 400, 800);
	for (int i = 0; i < 100; i++)
		fails(&b, 0, 500, 1000);
}

static void what_a_try_took_is_not_waited_again(void **state)
{
	struct redis_backoff b = {.failures = 10};

	fails(&b, 400, 300, 600);
	fails(&b, 2000, 25, 50);
	fails(&b, 0, 500, 1000);
}

static void a_connection_that_was_up_but_shortly_is_waited_for_in_full(void **state)
{
	struct redis_backoff b = {.failures = 10};

	redis_backoff_try(&b);
	redis_backoff_up(&b);
	pass(2000);
	assert_in_range(redis_backoff_next(&b, false), 500, 1000);
}

static void one_that_lasted_is_made_again_at_once(void **state)
{
	struct redis_backoff b = {.failures = 10};

	redis_backoff_try(&b);
	redis_backoff_up(&b);
	pass(REDIS_BACKOFF_LASTED_MS);
	assert_in_range(redis_backoff_next(&b, false), 25, 50);
}

static void who_refuses_is_asked_seldom(void **state)
{
	struct redis_backoff b = {0};

	redis_backoff_try(&b);
	pass(2000);
	assert_in_range(redis_backoff_next(&b, true), REDIS_BACKOFF_REFUSED_MS / 2, REDIS_BACKOFF_REFUSED_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_delay_is_twice_the_last_one_up_to_a_second, setup),
		cmocka_unit_test_setup(what_a_try_took_is_not_waited_again, setup),
		cmocka_unit_test_setup(a_connection_that_was_up_but_shortly_is_waited_for_in_full, setup),
		cmocka_unit_test_setup(one_that_lasted_is_made_again_at_once, setup),
		cmocka_unit_test_setup(who_refuses_is_asked_seldom, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
