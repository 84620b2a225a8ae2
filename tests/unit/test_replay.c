/* The publications that are sent to those who come back, made once for all of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "codec.h"
#include "mem.h"
#include "recent.h"
#include "replay.h"

enum { MOST = 10 };

static struct recent_pool pool;
static struct replays all;
static struct recent recent;
static struct replay replay;
static unsigned encoded;

static void put_publication(struct buf *out, const struct publication *p)
{
	encoded++;
	buf_putf(out, "%llu=%.*s,", (unsigned long long)p->offset, BYTES_FMT(p->data));
}

static const struct codec codec = {.put_publication = put_publication};

static void keep(uint64_t offset, struct bytes payload)
{
	recent_append(&recent, offset, payload);
}

static void keep_all(uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n <= to; n++) {
		char text[64];

		snprintf(text, sizeof(text), "{\"fanfare\":1,\"offset\":%llu,\"data\":%llu}",
		         (unsigned long long)n, (unsigned long long)(n * n));
		keep(n, BYTES_OF_STR(text));
	}
}

/* What came, and how often something was encoded for it. */
static void gives(uint64_t first, uint64_t last, const char *want, unsigned want_encoded)
{
	struct buf out;

	encoded = 0;
	buf_init(&out, 1000);
	buf_puts(&out, "|");
	replay_put(&replay, &codec, &recent, first, last, &out);
	buf_putc(&out, '\0');
	assert_true(buf_ok(&out));
	assert_string_equal(out.data + 1, want);
	assert_int_equal(encoded, want_encoded);
	buf_free(&out);
}

static int set_up(void **state)
{
	recent_pool_init(&pool, 128 << 20);
	recent_init(&recent, &pool, MOST);
	replays_init(&all);
	replay_init(&replay, &all);
	return 0;
}

static int tear_down(void **state)
{
	recent_clear(&recent);
	replay_forget(&replay);
	assert_int_equal(all.bytes, 0);
	return 0;
}

static void each_is_encoded_once_for_all(void **state)
{
	keep_all(1, 4);
	gives(2, 4, "2=4,3=9,4=16,", 3);
	gives(2, 4, "2=4,3=9,4=16,", 0);
	gives(3, 4, "3=9,4=16,", 0);
	gives(4, 4, "4=16,", 0);
	gives(2, 3, "2=4,3=9,", 0);
	gives(5, 4, "", 0);
}

static void what_comes_later_is_added(void **state)
{
	keep_all(1, 2);
	gives(1, 2, "1=1,2=4,", 2);
	keep_all(3, 4);
	gives(2, 4, "2=4,3=9,4=16,", 2);
	gives(1, 4, "1=1,2=4,3=9,4=16,", 0);
	keep_all(5, 5);
	gives(5, 5, "5=25,", 1);
}

static void who_was_away_for_longer_gets_all_of_it(void **state)
{
	keep_all(1, 4);
	gives(3, 4, "3=9,4=16,", 2);
	gives(1, 4, "1=1,2=4,3=9,4=16,", 4);
}

static void after_a_gap_it_begins_anew(void **state)
{
	keep_all(1, 2);
	gives(1, 2, "1=1,2=4,", 2);
	keep_all(8, 9);
	gives(8, 9, "8=64,9=81,", 2);
}

static void what_is_no_publication_is_left_out(void **state)
{
	keep_all(1, 1);
	keep(2, BYTES("\xff"));
	keep_all(3, 3);
	gives(1, 3, "1=1,3=9,", 2);
	gives(2, 3, "3=9,", 0);
	gives(2, 2, "", 0);
}

static void what_is_older_than_what_is_kept_goes(void **state)
{
	keep_all(1, 1);
	gives(1, 1, "1=1,", 1);
	for (uint64_t n = 2; n < 1000; n++) {
		char want[64];

		keep_all(n, n);
		snprintf(want, sizeof(want), "%llu=%llu,", (unsigned long long)n,
		         (unsigned long long)(n * n));
		gives(n, n, want, 1);
	}
	assert_true(replay.ends.len / sizeof(uint64_t) <= 3 * MOST);
}

static void what_nobody_needs_is_forgotten(void **state)
{
	clock_freeze(0, 0);
	keep_all(1, 2);
	gives(1, 2, "1=1,2=4,", 2);
	clock_freeze(1000, 0);
	replays_tick(&all);
	gives(1, 2, "1=1,2=4,", 0);
	clock_freeze(11000, 0);
	replays_tick(&all);
	assert_int_equal(all.bytes, 0);
	gives(1, 2, "1=1,2=4,", 2);
}

static void all_channels_together_have_a_limit(void **state)
{
	enum { CHANNELS = 40, LARGE = 1 << 20, LIMIT = 16 << 20 };
	static struct recent recents[CHANNELS];
	static struct replay replays[CHANNELS];
	char *large = mem_alloc(LARGE);
	struct buf out;

	memset(large, '1', LARGE);
	buf_init(&out, 2 * LARGE);
	for (int i = 0; i < CHANNELS; i++) {
		recent_init(&recents[i], &pool, MOST);
		replay_init(&replays[i], &all);
		recent_append(&recents[i], 1, (struct bytes){large, LARGE});
		buf_reset(&out);
		replay_put(&replays[i], &codec, &recents[i], 1, 1, &out);
		assert_true(buf_ok(&out) && out.len > LARGE);
		assert_true(all.bytes <= LIMIT);
		assert_true(replays[i].bytes > 0);
	}
	assert_int_equal(replays[0].bytes, 0);
	for (int i = 0; i < CHANNELS; i++) {
		recent_clear(&recents[i]);
		replay_forget(&replays[i]);
	}
	buf_free(&out);
	mem_free(large);
}

/* Each piece in a turn of its own; what comes meanwhile is made, too. Others who are answered between the
 * pieces do not have it begin anew, however much they get. */
static void a_large_one_is_made_in_pieces(void **state)
{
	enum { LARGE = REPLAY_PIECE / 2, COUNT = 8, OTHERS = 24 };
	static struct recent others;
	static struct replay other[OTHERS];
	char *large = mem_alloc(LARGE);
	unsigned pieces = 0, sum = 0;
	struct buf out;

	memset(large, '1', LARGE);
	recent_init(&others, &pool, MOST);
	recent_append(&others, 1, (struct bytes){large, LARGE});
	for (uint64_t n = 1; n <= COUNT; n++)
		recent_append(&recent, n, (struct bytes){large, LARGE});
	buf_init(&out, 2 * COUNT * LARGE);
	for (bool done = false; !done; pieces++) {
		uint64_t last = pieces < 3 ? COUNT : COUNT + 1;

		if (pieces == 3)
			recent_append(&recent, COUNT + 1, (struct bytes){large, LARGE});
		encoded = 0;
		done = replay_prepare(&replay, &codec, &recent, 2, last);
		assert_in_range(encoded, 1, 2);
		sum += encoded;
		for (int i = 0; i < OTHERS && !done; i++) {
			replay_init(&other[i], &all);
			buf_reset(&out);
			replay_put(&other[i], &codec, &others, 1, 1, &out);
		}
		for (int i = 0; i < OTHERS && !done; i++)
			replay_forget(&other[i]);
	}
	assert_int_equal(sum, COUNT);
	assert_int_equal(pieces, COUNT / 2);
	encoded = 0;
	buf_reset(&out);
	replay_put(&replay, &codec, &recent, 2, COUNT + 1, &out);
	assert_true(buf_ok(&out) && out.len > COUNT * LARGE);
	assert_int_equal(encoded, 0);
	assert_true(replay_prepare(&replay, &codec, &recent, 2, COUNT + 1));
	assert_true(replay_prepare(&replay, &codec, &recent, COUNT + 2, COUNT + 1));
	recent_clear(&others);
	buf_free(&out);
	mem_free(large);
}

/* Larger than what all together may be: kept all the same, until another is used. */
static void the_last_one_is_kept_however_large(void **state)
{
	enum { LARGE = 1 << 20, COUNT = 20 };
	static struct recent few;
	static struct replay other;
	char *large = mem_alloc(LARGE);
	struct buf out;

	memset(large, '1', LARGE);
	recent.most = COUNT;
	for (uint64_t n = 1; n <= COUNT; n++)
		recent_append(&recent, n, (struct bytes){large, LARGE});
	buf_init(&out, 2 * COUNT * LARGE);
	for (int i = 0; i < 3; i++) {
		encoded = 0;
		buf_reset(&out);
		replay_put(&replay, &codec, &recent, 1, COUNT, &out);
		assert_true(buf_ok(&out));
		assert_int_equal(encoded, i == 0 ? COUNT : 0);
	}
	recent_init(&few, &pool, MOST);
	replay_init(&other, &all);
	recent_append(&few, 1, BYTES("1"));
	replay_put(&other, &codec, &few, 1, 1, &out);
	assert_int_equal(replay.bytes, 0);
	recent_clear(&few);
	replay_forget(&other);
	buf_free(&out);
	mem_free(large);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_is_encoded_once_for_all),           TEST(what_comes_later_is_added),
		TEST(who_was_away_for_longer_gets_all_of_it), TEST(after_a_gap_it_begins_anew),
		TEST(what_is_no_publication_is_left_out),     TEST(what_is_older_than_what_is_kept_goes),
		TEST(what_nobody_needs_is_forgotten),         TEST(all_channels_together_have_a_limit),
		TEST(a_large_one_is_made_in_pieces),          TEST(the_last_one_is_kept_however_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
