/* The timing wheel: never early, late by at most a tick, whatever is armed, moved and stopped meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wheel.h"

static uint64_t now_ms;
static unsigned fired;

static void check_moment(struct timer *t)
{
	fired++;
	assert_true(now_ms >= t->due_ms);
}

static void arm(struct wheel *w, struct timer *t, uint64_t due_ms)
{
	t->fire = check_moment;
	t->due_ms = due_ms;
	wheel_add(w, t);
}

/* Goes from one moment that wheel_next_ms() names to the next, as a loop does. */
static void run_until(struct wheel *w, uint64_t end_ms)
{
	while (wheel_next_ms(w) <= end_ms) {
		now_ms = wheel_next_ms(w);
		wheel_advance(w, now_ms);
	}
	now_ms = end_ms;
	wheel_advance(w, now_ms);
}

static void fires_each_timer_within_a_tick_at_any_distance(void **state)
{
	static const uint64_t delays[] = {0,       1,        7,        8,        9,     100,   504,
	                                  505,     512,      513,      4096,     32767, 32768, 32769,
	                                  60000,   2097151,  2097152,  2097153,  86400, 25000, 3600000,
	                                  9000000, 86400000, 99999999, 134217727};
	struct wheel w;

	for (uint64_t start = 0; start < 70000; start += 997) {
		for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
			struct timer t = {0};

			wheel_init(&w, start);
			fired = 0;
			arm(&w, &t, start + delays[i]);
			if (delays[i] > 0) {
				run_until(&w, start + delays[i] - 1);
				assert_int_equal(fired, 0);
			}
			run_until(&w, start + delays[i] + 2 * TIMER_TICK_MS);
			assert_int_equal(fired, 1);
			assert_int_equal(wheel_next_ms(&w), UINT64_MAX);
		}
	}
}

static void a_timer_beyond_the_reach_of_the_wheel_fires_when_it_is_due(void **state)
{
	uint64_t month = UINT64_C(30) * 24 * 3600 * 1000;
	struct timer t = {0};
	struct wheel w;

	wheel_init(&w, 12345);
	fired = 0;
	arm(&w, &t, 12345 + month);
	run_until(&w, 12345 + month - 1);
	assert_int_equal(fired, 0);
	run_until(&w, 12345 + month + 2 * TIMER_TICK_MS);
	assert_int_equal(fired, 1);
}

static void agrees_with_a_plain_list_of_timers_over_random_operations(void **state)
{
	enum { TIMERS = 64, STEPS = 20000 };
	struct timer timers[TIMERS] = {0};
	uint64_t due[TIMERS] = {0}; /* 0: not armed */
	struct wheel w;

	srand(1);
	now_ms = 1000;
	wheel_init(&w, now_ms);
	for (int step = 0; step < STEPS; step++) {
		int i = rand() % TIMERS;
		uint64_t delay = (uint64_t)rand() % (rand() % 4 == 0 ? 5000000 : 2000);

		list_remove(&timers[i].node);
		due[i] = 0;
		if (rand() % 3 > 0) {
			due[i] = now_ms + delay;
			arm(&w, &timers[i], due[i]);
		}
		now_ms += (uint64_t)(rand() % 50 == 0 ? rand() % 700000 : rand() % 40);
		wheel_advance(&w, now_ms);
		for (int k = 0; k < TIMERS; k++) {
			if (due[k] == 0)
				continue;
			if (due[k] + TIMER_TICK_MS <= now_ms)
				assert_false(list_linked(&timers[k].node));
			if (due[k] > now_ms)
				assert_true(list_linked(&timers[k].node));
			if (!list_linked(&timers[k].node))
				due[k] = 0;
		}
	}
}

static struct wheel *rearming_wheel;
static struct timer victim;

static void rearm_and_stop(struct timer *t)
{
	fired++;
	list_remove(&victim.node);
	if (fired < 5) {
		t->due_ms = now_ms;
		wheel_add(rearming_wheel, t);
	}
}

static void a_timer_may_arm_itself_and_stop_another_that_is_due_in_the_same_tick(void **state)
{
	struct timer t = {.due_ms = 1000, .fire = rearm_and_stop};
	struct wheel w;

	wheel_init(&w, 0);
	rearming_wheel = &w;
	fired = 0;
	wheel_add(&w, &t);
	arm(&w, &victim, 1000);
	run_until(&w, 2000);
	assert_int_equal(fired, 5);
	assert_false(list_linked(&victim.node));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_each_timer_within_a_tick_at_any_distance),
		cmocka_unit_test(a_timer_beyond_the_reach_of_the_wheel_fires_when_it_is_due),
		cmocka_unit_test(agrees_with_a_plain_list_of_timers_over_random_operations),
		cmocka_unit_test(a_timer_may_arm_itself_and_stop_another_that_is_due_in_the_same_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
