/* What is kept of channels with history, and what is given up when all of them want more than there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler.h"
#include "mem.h"
#include "recent.h"

static struct recent_pool pool;

static struct bytes text(uint64_t n)
{
	static char out[32];

	return (struct bytes){out,
	                      (size_t)snprintf(out, sizeof(out), "publication %llu", (unsigned long long)n)};
}

static void append(struct recent *r, uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n <= to; n++)
		recent_append(r, n, text(n));
}

static void holds(const struct recent *r, uint64_t first, uint64_t last)
{
	assert_int_equal(recent_first(r), first);
	assert_int_equal(r->last, last);
	for (uint64_t n = first; n <= last; n++)
		assert_true(bytes_eq(recent_get(r, n), text(n)));
}

static void the_newest_are_kept(void **state)
{
	struct recent r;

	recent_pool_init(&pool, 1 << 20);
	recent_init(&r, &pool, 10);
	assert_int_equal(recent_first(&r), 0);
	assert_false(recent_reaches(&r, 0));
	append(&r, 5, 40);
	holds(&r, 31, 40);
	assert_true(recent_reaches(&r, 40));
	assert_true(recent_reaches(&r, 30));
	assert_false(recent_reaches(&r, 29));
	assert_false(recent_reaches(&r, 41));
	recent_clear(&r);
	assert_int_equal(pool.bytes, 0);
	assert_int_equal(pool.run_count, 0);
}

static void a_gap_forgets_what_was_before(void **state)
{
	struct recent r;

	recent_pool_init(&pool, 1 << 20);
	recent_init(&r, &pool, 10);
	append(&r, 1, 3);
	append(&r, 7, 8);
	holds(&r, 7, 8);
	append(&r, 3, 3);
	holds(&r, 3, 3);
	recent_clear(&r);
}

static void older_ones_can_be_added_in_front(void **state)
{
	struct recent r;

	recent_pool_init(&pool, 1 << 20);
	recent_init(&r, &pool, 6);
	recent_prepend(&r, 9, text(9));
	assert_int_equal(r.count, 0);
	append(&r, 10, 12);
	recent_prepend(&r, 8, text(8));
	holds(&r, 10, 12);
	for (uint64_t n = 9; n > 0; n--)
		recent_prepend(&r, n, text(n));
	holds(&r, 7, 12);
	recent_clear(&r);
}

static void a_busy_channel_does_not_push_out_the_quiet_ones(void **state)
{
	enum { QUIET = 20 };
	struct recent quiet[QUIET], busy;

	recent_pool_init(&pool, 20000);
	recent_init(&busy, &pool, 300);
	for (int i = 0; i < QUIET; i++) {
		recent_init(&quiet[i], &pool, 300);
		append(&quiet[i], 1, 3);
	}
	append(&busy, 1, 5000);
	assert_true(pool.bytes <= pool.limit);
	assert_int_equal(busy.last, 5000);
	assert_true(busy.count > 20);
	for (int i = 0; i < QUIET; i++) {
		holds(&quiet[i], 1, 3);
		recent_clear(&quiet[i]);
	}
	recent_clear(&busy);
	assert_int_equal(pool.bytes, 0);
}

/* A quiet channel finds room in a pool that a busy one has filled. */
static void the_quiet_take_from_the_busy(void **state)
{
	struct recent busy, quiet;

	recent_pool_init(&pool, 20000);
	recent_init(&busy, &pool, 3000);
	recent_init(&quiet, &pool, 3000);
	append(&busy, 1, 3000);
	append(&quiet, 1, 2);
	holds(&quiet, 1, 2);
	assert_true(pool.bytes <= pool.limit);
	recent_clear(&busy);
	recent_clear(&quiet);
}

static void what_is_too_large_is_not_kept(void **state)
{
	struct recent r;
	char *large = mem_alloc(30000);

	recent_pool_init(&pool, 20000);
	recent_init(&r, &pool, 300);
	append(&r, 1, 5);
	recent_append(&r, 6, (struct bytes){large, 30000});
	assert_int_equal(r.count, 0);
	append(&r, 7, 8);
	holds(&r, 7, 8);
	recent_clear(&r);
	mem_free(large);
}

static void nothing_is_given_up_while_pinned(void **state)
{
	struct recent pinned, other;

	recent_pool_init(&pool, 2000);
	recent_init(&pinned, &pool, 5);
	recent_init(&other, &pool, 5);
	recent_pin(&pinned);
	append(&pinned, 1, 9);
	append(&other, 1, 200);
	holds(&pinned, 1, 9);
	/* But not without an end. */
	append(&pinned, 10, 200);
	holds(&pinned, 191, 200);
	recent_unpin(&pinned);
	append(&pinned, 201, 201);
	assert_true(pinned.count <= 5);
	append(&other, 201, 201);
	assert_true(pool.bytes <= pool.limit);
	recent_clear(&pinned);
	recent_clear(&other);
}

static void who_waits_for_much_takes_nothing_from_who_waits_for_little(void **state)
{
	enum { SMALL = 40 };
	struct recent small[SMALL], large, other;

	recent_pool_init(&pool, 20000);
	for (size_t i = 0; i < SMALL; i++) {
		recent_init(&small[i], &pool, 5);
		recent_pin(&small[i]);
		append(&small[i], 1, 1);
	}
	recent_init(&large, &pool, 5000);
	recent_pin(&large);
	for (uint64_t n = 1; pool.bytes < 2 * pool.limit; n++)
		append(&large, n, n);
	recent_init(&other, &pool, 5);
	append(&other, 1, 2);
	for (size_t i = 0; i < SMALL; i++) {
		holds(&small[i], 1, 1);
		recent_unpin(&small[i]);
		recent_clear(&small[i]);
	}
	recent_unpin(&large);
	recent_clear(&large);
	recent_clear(&other);
	assert_int_equal(pool.bytes, 0);
}

static void a_million_channels_stay_within_the_limit(void **state)
{
	enum { CHANNELS = 1000000, LIMIT = 16 << 20 };
	struct recent *all = mem_alloc(CHANNELS * sizeof(*all));
	size_t kept = 0;

	recent_pool_init(&pool, LIMIT);
	for (int i = 0; i < CHANNELS; i++) {
		recent_init(&all[i], &pool, 300);
		recent_append(&all[i], 1, text((uint64_t)i));
		assert_true(pool.bytes <= LIMIT);
	}
	for (int i = 0; i < CHANNELS; i++) {
		kept += all[i].count;
		recent_clear(&all[i]);
	}
	assert_true(kept > LIMIT / 100);
	assert_int_equal(pool.bytes, 0);
	mem_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_are_kept),
		cmocka_unit_test(a_gap_forgets_what_was_before),
		cmocka_unit_test(older_ones_can_be_added_in_front),
		cmocka_unit_test(a_busy_channel_does_not_push_out_the_quiet_ones),
		cmocka_unit_test(the_quiet_take_from_the_busy),
		cmocka_unit_test(what_is_too_large_is_not_kept),
		cmocka_unit_test(nothing_is_given_up_while_pinned),
		cmocka_unit_test(who_waits_for_much_takes_nothing_from_who_waits_for_little),
		cmocka_unit_test(a_million_channels_stay_within_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
