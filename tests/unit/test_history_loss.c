/* What Redis has lost: it is told to those who watch their position, and never mixed with what came instead.
 */
#include "history_world.h"

static void what_cannot_be_filled_is_told_to_those_who_watch(void **state)
{
	struct client *watches = &t.clients[0], *does_not = &t.clients[1];
	const struct want nothing = {0};

	go_live(watches);
	assert_true(subscribe(does_not, &nothing));
	begin(does_not);
	publish_many(150);
	lose_link();
	publish();
	arrive_all();
	answer_all();
	assert_true(watches->lost);
	assert_false(does_not->lost);
	assert_int_equal(does_not->count, 100);
	assert_int_equal(does_not->position, 151);
	go_live(watches);
	publish();
	arrive_all();
	assert_int_equal(watches->position, 152);
}

static void a_history_that_has_timed_out_is_a_loss(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(5);
	lose_link();
	t.first = t.top + 1;
	fake_redis_confirm("pre:news");
	answer_all();
	assert_true(c->lost);
}

static void another_epoch_is_a_loss(void **state)
{
	struct client *c = &t.clients[0];

	publish_many(5);
	lose_link();
	go_live(c);
	t.stream++;
	t.top = 0;
	t.first = 1;
	publish();
	arrive_all();
	assert_false(c->lost);
	answer_all();
	assert_true(c->lost);
	go_live(c);
	assert_int_equal(c->position, 1);
}

/* Redis is asked before anything is believed. */
static void a_made_up_publication_harms_nobody(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(2);
	arrive_all();
	fake_redis_message("pre:news", "{\"fanfare\":1,\"offset\":1,\"epoch\":\"evil\",\"data\":1}");
	fake_redis_message("pre:news", "{\"fanfare\":1,\"offset\":77,\"epoch\":\"ep1\",\"data\":1}");
	answer_all();
	publish();
	arrive_all();
	answer_all();
	assert_false(c->lost);
	assert_int_equal(c->count, 3);
	assert_int_equal(c->position, 3);
}

static void a_redis_that_fell_back_is_a_loss(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(5);
	arrive_all();
	t.top = 3;
	t.writes_lost++;
	fake_redis_confirm("pre:news");
	answer_all();
	assert_true(c->lost);
}

/* What waits for its turn was heard from the server before: its successor may have lost it. */
static void what_waits_when_a_server_is_replaced_is_what_its_successor_has(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(5);
	arrive_all();
	overload();
	publish_many(5);
	arrive_all();
	assert_int_equal(c->position, 5);
	t.top = 7;
	fake_redis_confirm("pre:news");
	end_turns();
	assert_int_equal(fake_redis_calls(), 1);
	t.writes_lost++;
	publish();
	arrive_all();
	t.top--;
	answer();
	t.top++;
	answer_all();
	assert_int_equal(c->position, 8);
	publish();
	arrive_all();
	assert_int_equal(c->position, 9);
	assert_false(c->lost);
}

/* It has seen five publications, the last of which the successor has not. */
static void go_live_and_part(struct client *c, unsigned behind)
{
	go_live(c);
	publish_many(5);
	arrive_all();
	t.top -= behind;
	t.writes_lost++;
}

/* After a failover that lost writes others came under the same offsets. */
static void a_stream_that_parted_is_a_loss(void **state)
{
	struct client *c = &t.clients[0];

	go_live_and_part(c, 2);
	publish_many(4);
	lose_link();
	fake_redis_confirm("pre:news");
	answer_all();
	assert_true(c->lost);
}

/* Its offsets are those of others now: before anybody is told, the epoch ends, so that nobody who comes back
 * with one of them is taken for one who has what stands there. */
static void a_stream_that_parted_gets_another_epoch(void **state)
{
	struct client *c = &t.clients[0];
	struct want want = recover(5, "ep1");

	go_live_and_part(c, 2);
	publish_many(4);
	lose_link();
	fake_redis_confirm("pre:news");
	assert_int_equal(t.parted, 0);
	answer_in_this_turn();
	assert_false(c->lost);
	answer_in_this_turn();
	assert_int_equal(t.parted, 1);
	assert_int_equal(t.stream, 2);
	assert_true(c->lost);
	assert_false(subscribe(c, &want));
	fake_redis_confirm_next();
	answer_all();
	assert_false(begin(c));
	assert_int_equal(c->position, 7);
	assert_int_equal(c->stream, 2);
	publish();
	arrive_all();
	assert_int_equal(c->position, 8);
	assert_int_equal(t.parted, 1);
}

/* What was found of a server that is left again is not true of the next one. */
static void an_epoch_ends_only_where_it_was_seen_to_part(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(5);
	arrive_all();
	t.top = 3;
	fake_redis_confirm("pre:news");
	answer_in_this_turn();
	fake_redis_answer(NULL);
	t.top = 5;
	fake_redis_confirm("pre:news");
	hub_tick(t.hub);
	answer_all();
	assert_int_equal(t.parted, 0);
	assert_false(c->lost);
	publish();
	arrive_all();
	assert_int_equal(c->position, 6);
}

/* A master that has a successor and does not know it yet may tell of one more publication, which comes
 * through the successor. What that one tells later of the same offset must not be taken for a repetition. */
static void a_stream_that_parts_before_our_eyes_is_a_loss(void **state)
{
	struct client *c = &t.clients[0];

	for (unsigned behind = 1; behind <= 2; behind++) {
		go_live_and_part(c, behind);
		publish();
		assert_int_equal(fake_redis_calls(), 0);
		arrive_all();
		assert_int_equal(fake_redis_calls(), 1);
		answer_all();
		assert_true(c->lost);
	}
}

/* The same when the successor has told of more than the other one had before Redis has answered: what comes
 * then fits, and must not hide that what was before it is another. */
static void a_stream_that_parts_is_a_loss_however_fast_it_goes_on(void **state)
{
	struct client *c = &t.clients[0];

	for (unsigned behind = 1; behind <= 2; behind++) {
		go_live_and_part(c, behind);
		publish_many(behind + 1);
		arrive_all();
		answer_all();
		assert_true(c->lost);
	}
}

/* The same the other way round: it is the old master's that comes late. */
static void a_stray_of_another_master_is_dropped(void **state)
{
	struct client *c = &t.clients[0];
	char *stray;

	go_live(c);
	publish_many(5);
	arrive_all();
	t.writes_lost++;
	t.written_by[4] = t.writes_lost;
	stray = payload_of(4);
	t.written_by[4] = 0;
	fake_redis_message("pre:news", stray);
	mem_free(stray);
	answer_all();
	publish();
	arrive_all();
	assert_false(c->lost);
	assert_int_equal(c->count, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(what_cannot_be_filled_is_told_to_those_who_watch),
		TEST(a_history_that_has_timed_out_is_a_loss),
		TEST(another_epoch_is_a_loss),
		TEST(a_made_up_publication_harms_nobody),
		TEST(a_redis_that_fell_back_is_a_loss),
		TEST(what_waits_when_a_server_is_replaced_is_what_its_successor_has),
		TEST(a_stream_that_parted_is_a_loss),
		TEST(a_stream_that_parted_gets_another_epoch),
		TEST(an_epoch_ends_only_where_it_was_seen_to_part),
		TEST(a_stream_that_parts_before_our_eyes_is_a_loss),
		TEST(a_stream_that_parts_is_a_loss_however_fast_it_goes_on),
		TEST(a_stray_of_another_master_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
