/* A worker that lags: what waits for its turn is more than Redis keeps. Nothing of it is lost, so nobody is
 * told that it is; but it is no proof of what another server has. */
#include "history_world.h"

enum { SIZE = 10, BURST = 50 };

static int setup_small(void **state)
{
	int rc = setup(state);

	t.config.channel.without_namespace.history_size = SIZE;
	return rc;
}

static uint64_t filled_before;

static uint64_t filled(void)
{
	return metrics_sum(metrics_mine, 1, METRIC_publications_filled) - filled_before;
}

/* It is at 5, and what follows waits. */
static void go_live_and_lag(struct client *c)
{
	go_live(c);
	publish_many(5);
	arrive_all();
	t.crowd = BACKLOG_CHANNEL / 4;
	overload();
	publish_many(BURST);
	arrive_all();
	assert_int_equal(c->position, 5);
	filled_before += filled();
}

static void come_to_the_top(struct client *c)
{
	do {
		arrive_all();
		end_turns();
		answer_all();
	} while (t.link_from < t.link_to);
	assert_false(c->lost);
	assert_int_equal(c->position, t.top);
}

static void a_position_that_is_checked_includes_what_waits(void **state)
{
	struct client *c = &t.clients[0];

	go_live_and_lag(c);
	pass_time(CHECK_MS);
	hub_tick(t.hub);
	for (bool more = true; more;) {
		more = hub_end_turn(t.hub);
		assert_int_equal(fake_redis_calls(), more ? 0 : 1);
	}
	come_to_the_top(c);
	assert_int_equal(t.reads, 2);
	assert_int_equal(filled(), 0);
}

static void what_comes_while_a_position_is_checked_is_not_lost(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	filled_before += filled();
	pass_time(CHECK_MS);
	hub_tick(t.hub);
	assert_int_equal(fake_redis_calls(), 1);
	t.crowd = BACKLOG_CHANNEL / 4;
	overload();
	publish_many(BURST);
	arrive_all();
	answer_in_this_turn();
	come_to_the_top(c);
	assert_int_equal(filled(), 0);
}

/* Redis tells of it before the link does. */
static void what_is_on_its_way_when_a_position_is_checked_is_not_lost(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(BURST);
	pass_time(CHECK_MS);
	hub_tick(t.hub);
	answer_in_this_turn();
	come_to_the_top(c);
}

/* Also if the link is far behind; nobody has to wait for it. */
static void what_goes_on_when_a_position_is_checked_is_not_lost(void **state)
{
	struct client *c = &t.clients[0];
	struct want ahead = recover(BURST, "ep1");

	go_live(c);
	publish_many(BURST);
	assert_false(subscribe(&t.clients[1], &ahead));
	for (unsigned n = 1; n + SIZE < BURST; n++) {
		assert_int_equal(fake_redis_calls(), 1);
		answer();
		assert_int_equal(fake_redis_calls(), 0);
		assert_true(arrive());
		assert_int_equal(c->position, n);
		hub_tick(t.hub);
	}
	come_to_the_top(c);
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].position, t.top);
}

/* More than Redis keeps, and the stream stands still. */
static void what_is_gone_when_a_position_is_checked_is_told(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(BURST);
	lose_link();
	pass_time(CHECK_MS);
	for (int i = 0; i < 4; i++) {
		assert_false(c->lost);
		hub_tick(t.hub);
		answer();
		assert_int_equal(fake_redis_calls(), 0);
		pass_time(1000);
	}
	assert_true(c->lost);
}

/* A part of the answer was not delivered in that turn, or the answer was only a part: no gap has been seen
 * yet. */
static void what_lags_when_a_position_is_checked_is_not_lost(void **state)
{
	struct client *c = &t.clients[0];

	for (unsigned arrived = 0; arrived <= 4; arrived += 4) {
		t.piece = 2;
		go_live(c);
		publish_many(SIZE / 2);
		arrive_all();
		publish_many(SIZE);
		pass_time(CHECK_MS + 1);
		hub_tick(t.hub);
		answer();
		assert_int_equal(c->position, SIZE / 2 + 2);
		if (arrived > 0)
			fake_redis_answer(NULL);
		for (unsigned i = 0; i < arrived; i++)
			arrive();
		publish_many(BURST);
		hub_tick(t.hub);
		answer_all();
		assert_false(c->lost);
		arrive_all();
		end_turns();
		answer_all();
		assert_false(c->lost);
		assert_int_equal(c->position, t.top);
		teardown(state);
		setup_small(state);
	}
}

/* The answer was asked for before, and says nothing of what is between the two links. */
static void a_link_that_is_confirmed_again_while_a_position_is_checked_loses_nothing(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(5);
	arrive_all();
	pass_time(CHECK_MS + 1);
	hub_tick(t.hub);
	assert_int_equal(fake_redis_calls(), 1);
	overload();
	publish_many(BURST);
	arrive_all();
	assert_int_equal(c->position, 5);
	fake_redis_confirm("pre:news");
	answer_in_this_turn();
	assert_false(c->lost);
	end_turns();
	answer_all();
	assert_false(c->lost);
	assert_int_equal(c->position, 5 + BURST);
}

/* A gap that is found meanwhile is filled at once. */
static void a_gap_does_not_wait_for_a_check(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(BURST);
	pass_time(CHECK_MS);
	hub_tick(t.hub);
	answer();
	while (c->position < BURST)
		assert_true(arrive());
	publish_many(2);
	lose_link();
	publish();
	arrive_all();
	assert_int_equal(fake_redis_calls(), 1);
	come_to_the_top(c);
}

/* Its answer ends before what has come since it was sent. */
static void a_read_that_is_overtaken_tells_of_no_loss(void **state)
{
	struct client *c = &t.clients[0];

	t.config.channel.without_namespace.history_size = 1000;
	go_live(c);
	pass_time(CHECK_MS);
	hub_tick(t.hub);
	publish_many(400);
	arrive_all();
	publish();
	lose_link();
	publish();
	arrive_all();
	assert_int_equal(c->position, 400);
	come_to_the_top(c);
}

static void a_link_that_is_confirmed_again_loses_nothing_of_what_waits(void **state)
{
	struct client *c = &t.clients[0];

	go_live_and_lag(c);
	fake_redis_confirm("pre:news");
	come_to_the_top(c);
	assert_int_equal(filled(), 0);
}

/* What the link has lost stands between what waits from before and what comes since. */
static void what_a_link_lost_comes_behind_what_waits(void **state)
{
	struct client *c = &t.clients[0];

	go_live_and_lag(c);
	publish_many(SIZE / 2);
	lose_link();
	fake_redis_confirm("pre:news");
	publish_many(2);
	arrive_all();
	assert_true(hub_end_turn(t.hub) || fake_redis_calls() == 1);
	answer_in_this_turn();
	publish_many(2 * SIZE);
	come_to_the_top(c);
	assert_int_equal(c->count, t.top);
}

/* Filling a gap reaches what waits behind it; by then Redis has given up what follows. */
static void a_gap_is_filled_up_to_what_waits(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(5);
	arrive_all();
	publish_many(2);
	lose_link();
	t.crowd = BACKLOG_VISIT / 4;
	publish_many(SIZE - 2);
	arrive_all();
	overload();
	answer_in_this_turn();
	assert_in_range(c->position, 8, t.top - 1);
	publish_many(BURST);
	arrive_all();
	come_to_the_top(c);
}

/* The successor has lost some of what waits, and has others there that it has given up since; what comes then
 * fits, but that does not make it the same stream. */
static void what_waits_is_no_proof_of_what_another_server_has(void **state)
{
	struct client *c = &t.clients[0];

	go_live_and_lag(c);
	t.top -= 3;
	t.writes_lost++;
	publish_many(3);
	lose_link();
	fake_redis_confirm("pre:news");
	publish_many(2 * SIZE);
	arrive_all();
	end_turns();
	answer_all();
	assert_true(c->lost);
	assert_true(c->position <= 5 + BURST - 3);
}

/* What the link has lost is more than Redis keeps. */
static void what_is_lost_behind_what_waits_is_told(void **state)
{
	struct client *c = &t.clients[0];

	go_live_and_lag(c);
	publish_many(2 * SIZE);
	lose_link();
	fake_redis_confirm("pre:news");
	end_turns();
	answer_all();
	assert_true(c->lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_small, teardown)
		TEST(a_position_that_is_checked_includes_what_waits),
		TEST(what_comes_while_a_position_is_checked_is_not_lost),
		TEST(what_is_on_its_way_when_a_position_is_checked_is_not_lost),
		TEST(what_goes_on_when_a_position_is_checked_is_not_lost),
		TEST(what_is_gone_when_a_position_is_checked_is_told),
		TEST(what_lags_when_a_position_is_checked_is_not_lost),
		TEST(a_link_that_is_confirmed_again_while_a_position_is_checked_loses_nothing),
		TEST(a_gap_does_not_wait_for_a_check),
		TEST(a_read_that_is_overtaken_tells_of_no_loss),
		TEST(a_link_that_is_confirmed_again_loses_nothing_of_what_waits),
		TEST(what_a_link_lost_comes_behind_what_waits),
		TEST(a_gap_is_filled_up_to_what_waits),
		TEST(what_waits_is_no_proof_of_what_another_server_has),
		TEST(what_is_lost_behind_what_waits_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
