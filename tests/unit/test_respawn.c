/* The policy for starting children again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "respawn.h"

static void healthy_child_is_started_at_once(void **state)
{
	struct respawn r = {0};

	for (int i = 0; i < 5; i++)
		assert_int_equal(respawn_delay_ms(&r, true, UINT32_MAX), 0);
}

static void delay_doubles_up_to_the_limit(void **state)
{
	const uint64_t full_ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
	struct respawn r = {0};

	for (size_t i = 0; i < sizeof(full_ms) / sizeof(full_ms[0]); i++) {
		struct respawn same = r;

		/* The smallest chance gives half, the largest remainder all. */
		assert_int_equal(respawn_delay_ms(&same, false, 0), full_ms[i] / 2);
		assert_int_equal(respawn_delay_ms(&r, false, (uint32_t)(full_ms[i] / 2)), full_ms[i]);
	}
}

static void chance_stays_between_half_and_all(void **state)
{
	for (uint64_t random = 0; random <= UINT32_MAX; random += 104729) {
		struct respawn r = {.young_deaths = 3};
		uint64_t delay_ms = respawn_delay_ms(&r, false, (uint32_t)random);

		assert_in_range(delay_ms, 400, 800);
	}
}

static void health_forgives(void **state)
{
	struct respawn r = {0};

	for (int i = 0; i < 8; i++)
		assert_true(respawn_delay_ms(&r, false, 0) > 0);
	assert_int_equal(respawn_delay_ms(&r, true, 0), 0);
	assert_int_equal(respawn_delay_ms(&r, false, 0), RESPAWN_FIRST_MS / 2);
}

static void dying_for_ever_does_not_overflow(void **state)
{
	struct respawn r = {0};

	for (int i = 0; i < 200000; i++)
		assert_in_range(respawn_delay_ms(&r, false, 7), 1, RESPAWN_MAX_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(healthy_child_is_started_at_once),
		cmocka_unit_test(delay_doubles_up_to_the_limit),
		cmocka_unit_test(chance_stays_between_half_and_all),
		cmocka_unit_test(health_forgives),
		cmocka_unit_test(dying_for_ever_does_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
