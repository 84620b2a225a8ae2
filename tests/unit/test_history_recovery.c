/* Who comes back gets what was missed: from memory, or from reads that are shared and come in pieces. */
#include "history_world.h"

static void recoveries_are_answered_from_memory(void **state)
{
	struct want want = recover(3, "ep1");

	go_live(&t.clients[0]);
	publish_many(10);
	arrive_all();
	for (int i = 1; i < CLIENTS; i++) {
		assert_true(subscribe(&t.clients[i], &want));
		assert_true(begin(&t.clients[i]));
		assert_int_equal(t.clients[i].count, 7);
		assert_int_equal(t.clients[i].position, 10);
	}
	assert_int_equal(fake_redis_calls(), 0);
}

static void recoveries_share_one_read(void **state)
{
	publish_many(10);
	lose_link();
	for (int i = 0; i < CLIENTS; i++) {
		struct want want = recover((uint64_t)i + 2, "ep1");

		assert_false(subscribe(&t.clients[i], &want));
	}
	fake_redis_confirm("pre:news");
	assert_int_equal(fake_redis_calls(), 1);
	assert_int_equal(option("newest"), LIMIT);
	answer();
	assert_int_equal(fake_redis_calls(), 0);
	for (int i = 0; i < CLIENTS; i++) {
		assert_true(begin(&t.clients[i]));
		assert_int_equal(t.clients[i].count, 8 - i);
		assert_int_equal(t.clients[i].position, 10);
	}
}

/* The last begins while the pieces come, and lacks no more than they bring. */
static void what_was_missed_is_read_in_pieces(void **state)
{
	struct want far = recover(1, "ep1"), near = recover(15, "ep1");

	publish_many(20);
	lose_link();
	t.piece = 3;
	assert_false(subscribe(&t.clients[0], &far));
	assert_false(subscribe(&t.clients[1], &near));
	fake_redis_confirm("pre:news");
	assert_int_equal(option("newest"), LIMIT);
	assert_int_equal(option("before"), -1);
	answer();
	assert_int_equal(option("newest"), LIMIT - 3);
	assert_int_equal(option("before"), 18);
	assert_false(subscribe(&t.clients[2], &far));
	publish();
	arrive_all();
	answer();
	assert_true(t.clients[1].told && !t.clients[0].told);
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 6);
	answer_all();
	assert_true(t.clients[0].told && t.clients[2].told);
	assert_true(begin(&t.clients[0]));
	assert_true(begin(&t.clients[2]));
	assert_int_equal(t.clients[0].count, 20);
	assert_int_equal(t.clients[2].count, 20);
	assert_int_equal(t.reads, 7);
}

/* Gaps are filled in between. */
static void no_piece_is_read_twice(void **state)
{
	struct want far = recover(1, "ep1");

	publish_many(19);
	lose_link();
	t.piece = 3;
	go_live(&t.clients[0]);
	t.reads = 0;
	assert_false(subscribe(&t.clients[1], &far));
	for (int fills = 0; fills < 2; fills++) {
		answer();
		publish();
		lose_link();
		fake_redis_confirm("pre:news");
		answer();
	}
	assert_int_equal(t.reads, 4);
	answer_all();
	assert_int_equal(t.clients[0].position, 21);
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 20);
	assert_int_equal(t.reads, 6 + 2);
}

/* What is kept already is longer than the first piece. */
static void pieces_go_on_before_what_is_kept(void **state)
{
	struct want far = recover(2, "ep1");

	publish_many(8);
	lose_link();
	go_live(&t.clients[0]);
	publish_many(8);
	arrive_all();
	t.piece = 3;
	t.reads = 0;
	assert_false(subscribe(&t.clients[1], &far));
	answer();
	assert_int_equal(option("before"), 9);
	answer_all();
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 14);
	assert_int_equal(t.reads, 3);
}

static void pieces_end_where_the_history_does(void **state)
{
	struct want far = recover(1, "ep1");

	publish_many(12);
	lose_link();
	t.first = 6;
	t.piece = 2;
	assert_false(subscribe(&t.clients[0], &far));
	fake_redis_confirm("pre:news");
	answer_all();
	assert_true(t.clients[0].told);
	assert_false(begin(&t.clients[0]));
	assert_int_equal(t.clients[0].position, 12);
	assert_int_equal(t.reads, 4);
}

/* The stream parts, or is removed, between two pieces. */
static void pieces_of_two_streams_are_not_put_together(void **state)
{
	struct want far = recover(1, "ep1");

	publish_many(12);
	lose_link();
	t.piece = 3;
	assert_false(subscribe(&t.clients[0], &far));
	fake_redis_confirm("pre:news");
	answer();
	answer();
	t.stream++;
	t.top = 0;
	t.first = 1;
	publish_many(4);
	lose_link();
	answer_all();
	assert_false(begin(&t.clients[0]));
	assert_int_equal(t.clients[0].stream, 2);
	assert_int_equal(t.clients[0].position, 4);
}

/* The channel is live, but began after what the client missed. */
static void what_is_not_in_memory_is_read(void **state)
{
	struct client *c = &t.clients[1];
	struct want want = recover(4, "");

	publish_many(10);
	lose_link();
	go_live(&t.clients[0]);
	publish_many(2);
	arrive_all();
	assert_false(subscribe(c, &want));
	publish_many(3);
	arrive();
	assert_int_equal(t.clients[0].count, 3);
	answer();
	arrive_all();
	assert_true(c->told);
	assert_true(begin(c));
	assert_int_equal(c->position, t.clients[0].position);
	assert_int_equal(c->position, 15);
	assert_int_equal(c->count, 11);
}

static void a_position_that_cannot_be_reached_is_not_recovered(void **state)
{
	struct want too_far = recover(1, "ep1"), other = recover(9, "ep9"), ahead = recover(99, "ep1");
	struct client *c = t.clients;

	publish_many(40);
	lose_link();
	assert_false(subscribe(&c[0], &too_far));
	fake_redis_confirm("pre:news");
	answer_all();
	assert_false(begin(&c[0]));
	assert_int_equal(c[0].position, 40);
	assert_int_equal(c[0].count, 0);
	assert_true(subscribe(&c[1], &other));
	assert_false(begin(&c[1]));
	assert_int_equal(c[1].position, 40);
	assert_false(subscribe(&c[2], &ahead));
	answer_all();
	assert_false(begin(&c[2]));
	assert_int_equal(c[2].position, 40);
}

/* More waits for its turn than is read of the newest: all of what the client missed stands before that. */
static void who_comes_back_to_a_channel_that_lags_gets_what_it_missed(void **state)
{
	struct want want = recover(8, "ep1");

	t.config.channel.without_namespace.history_size = 1000;
	publish_many(10);
	lose_link();
	go_live(&t.clients[0]);
	t.crowd = BACKLOG_CHANNEL / 4;
	overload();
	publish_many(10 * LIMIT);
	arrive_all();
	assert_false(subscribe(&t.clients[1], &want));
	assert_true(hub_end_turn(t.hub));
	assert_int_equal(option("newest"), LIMIT);
	answer_in_this_turn();
	assert_true(t.clients[1].told);
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].position, t.clients[0].position);
	assert_true(t.clients[0].position < t.top);
	end_turns();
	assert_int_equal(t.clients[0].position, t.top);
	assert_int_equal(t.clients[1].position, t.top);
	assert_int_equal(fake_redis_calls(), 0);
}

/* It came from a worker that was faster. */
static void a_client_may_be_ahead_of_the_worker(void **state)
{
	struct want want = recover(3, "ep1");
	struct client *c = &t.clients[1];

	go_live(&t.clients[0]);
	publish_many(1);
	arrive_all();
	publish_many(3);
	assert_false(subscribe(c, &want));
	answer_all();
	assert_true(begin(c));
	assert_int_equal(c->count, 1);
	assert_int_equal(c->position, 4);
	assert_int_equal(t.clients[0].position, 4);
	arrive_all();
	assert_int_equal(t.clients[0].count, 4);
	assert_int_equal(c->count, 1);
}

/* Redis has forgotten it by then. */
static void memory_does_not_outlive_the_history(void **state)
{
	struct want want = recover(3, "ep1");

	go_live(&t.clients[0]);
	publish_many(10);
	arrive_all();
	pass_time(60001);
	t.first = t.top + 1;
	assert_false(subscribe(&t.clients[1], &want));
	answer_all();
	assert_false(begin(&t.clients[1]));
}

static void a_cache_gives_the_newest(void **state)
{
	struct want want = recover(0, "");
	struct want same = recover(5, "ep1");

	t.config.channel.without_namespace.force_recovery_mode = RECOVERY_CACHE;
	publish_many(5);
	lose_link();
	subscribe(&t.clients[0], &want);
	fake_redis_confirm("pre:news");
	answer_all();
	assert_true(begin(&t.clients[0]));
	assert_int_equal(t.clients[0].count, 1);
	assert_int_equal(t.clients[0].position, 5);
	assert_true(subscribe(&t.clients[1], &same));
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(recoveries_are_answered_from_memory),
		TEST(recoveries_share_one_read),
		TEST(what_was_missed_is_read_in_pieces),
		TEST(no_piece_is_read_twice),
		TEST(pieces_go_on_before_what_is_kept),
		TEST(pieces_end_where_the_history_does),
		TEST(pieces_of_two_streams_are_not_put_together),
		TEST(what_is_not_in_memory_is_read),
		TEST(a_position_that_cannot_be_reached_is_not_recovered),
		TEST(who_comes_back_to_a_channel_that_lags_gets_what_it_missed),
		TEST(a_client_may_be_ahead_of_the_worker),
		TEST(memory_does_not_outlive_the_history),
		TEST(a_cache_gives_the_newest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
