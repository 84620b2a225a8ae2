/* How much of a turn a channel with history takes, and what waits for the next ones. */
#include "history_world.h"

/* One delivery here is as much as that. */
enum { CROWD = 1000, SHARE = BACKLOG_CHANNEL / CROWD + 1 };

static void what_is_filled_in_is_of_the_share_of_a_turn(void **state)
{
	struct client *c = &t.clients[0];
	unsigned turns = 0;

	t.config.channel.without_namespace.history_size = 2000;
	go_live(c);
	t.crowd = CROWD;
	publish_many(10 * SHARE);
	lose_link();
	publish();
	arrive_all();
	for (bool more = true; more || fake_redis_calls() > 0; turns++) {
		unsigned before = c->count;

		while (fake_redis_calls() > 0)
			answer_in_this_turn();
		assert_true(c->count - before <= SHARE);
		more = hub_end_turn(t.hub);
	}
	assert_in_range(turns, 10, 12);
	assert_int_equal(c->count, 10 * SHARE + 1);
	assert_false(c->lost);
}

/* Others have taken it all, or the channel has: it goes on all the same, by as much as those that wait. */
static void what_is_filled_in_when_a_turn_is_full_is_a_visit(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(50);
	lose_link();
	publish();
	arrive_all();
	t.crowd = CROWD;
	overload();
	answer_in_this_turn();
	assert_in_range(c->count, 1, BACKLOG_VISIT / CROWD + 1);
	assert_int_equal(fake_redis_calls(), 0);
	end_turns();
	answer_all();
	assert_int_equal(c->count, 51);
}

/* Some of it is handed on in this turn, the rest is read in the next. */
static void fill_in_a_part(void)
{
	t.crowd = CROWD;
	overload();
	answer_in_this_turn();
	assert_in_range(t.clients[0].position, 1, t.top - 1);
	assert_false(hub_end_turn(t.hub));
	assert_int_equal(fake_redis_calls(), 1);
}

static void what_comes_between_two_parts_of_a_fill_waits(void **state)
{
	struct client *c = &t.clients[0];
	unsigned count;

	go_live(c);
	publish_many(49);
	lose_link();
	publish();
	arrive_all();
	end_turns();
	fill_in_a_part();
	count = c->count;
	fake_redis_message("pre:news", "1");
	assert_int_equal(c->count, count);
	answer_all();
	assert_int_equal(c->count, 51);
}

static void who_is_ahead_waits_for_all_parts_of_a_fill(void **state)
{
	struct want want = recover(40, "ep1");

	go_live(&t.clients[0]);
	publish_many(50);
	lose_link();
	assert_false(subscribe(&t.clients[1], &want));
	fill_in_a_part();
	assert_false(t.clients[1].told);
	answer_all();
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 10);
}

/* A read asks for no more than can be delivered. */
static void who_has_many_subscribers_reads_little_at_once(void **state)
{
	enum { MANY = 2000 };
	struct subscription *many = mem_alloc(MANY * sizeof(*many));
	const struct want nothing = {0};
	enum error_code error;

	go_live(&t.clients[0]);
	for (int i = 0; i < MANY; i++)
		assert_true(hub_subscribe(t.hub, BYTES_OF_STR(channel), &many[i], &nothing, &error));
	publish_many(50);
	lose_link();
	publish();
	arrive_all();
	assert_int_equal(option("limit"), BACKLOG_CHANNEL / (BACKLOG_MESSAGE + MANY + 1) + 2);
	answer_all();
	assert_int_equal(t.clients[0].position, 51);
	for (int i = 0; i < MANY; i++)
		hub_unsubscribe(t.hub, &many[i]);
	mem_free(many);
}

enum { CHANNELS = 100, IN_FLIGHT = 64 };

static void confirm_all(void)
{
	char name[16];

	for (int i = 0; i < CHANNELS; i++) {
		snprintf(name, sizeof(name), "pre:%d", i);
		fake_redis_confirm(name);
	}
}

/* What they bring beyond that would be read again. It is learned from what they have brought. */
static void reads_on_their_way_bring_no_more_than_a_turn_delivers(void **state)
{
	enum { ENTRIES = 300, WORK = ENTRIES * (BACKLOG_MESSAGE + 1) };
	struct client *many = mem_alloc(CHANNELS * sizeof(*many));
	const struct want nothing = {0};
	enum error_code error;
	unsigned answers = 0;
	char name[8];

	for (int i = 0; i < CHANNELS; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_false(hub_subscribe(t.hub, BYTES_OF_STR(name), &many[i].s, &nothing, &error));
	}
	confirm_all();
	for (int i = 0; i < CHANNELS; i++)
		answer_with(1, 0, false);
	confirm_all();
	assert_int_equal(fake_redis_calls(), IN_FLIGHT);
	publish_many(ENTRIES);
	lose_link();
	t.first = 1;
	for (; fake_redis_calls() > BACKLOG_TURN / WORK + 1; answers++) {
		assert_int_equal(fake_redis_calls(), IN_FLIGHT - answers);
		answer_with(1, ENTRIES, false);
		end_turns();
	}
	t.top = 0;
	for (; fake_redis_calls() > 0; answers++) {
		answer_with(1, 0, false);
		end_turns();
	}
	assert_true(answers >= CHANNELS);
	for (int i = 0; i < CHANNELS; i++)
		hub_unsubscribe(t.hub, &many[i].s);
	mem_free(many);
}

/* Nor is any of those that wait looked at until then; they keep their order. */
static void no_read_is_sent_in_a_turn_that_is_spent(void **state)
{
	struct client *many = mem_alloc(CHANNELS * sizeof(*many));
	const struct want nothing = {0};
	enum error_code error;
	char name[8];

	go_live(&t.clients[0]);
	for (int i = 0; i < CHANNELS; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_false(hub_subscribe(t.hub, BYTES_OF_STR(name), &many[i].s, &nothing, &error));
	}
	overload();
	overload();
	confirm_all();
	assert_int_equal(fake_redis_calls(), 0);
	assert_true(list_empty(&t.hub->reads.later));
	assert_false(hub_end_turn(t.hub));
	assert_true(fake_redis_calls() > 0);
	assert_non_null(strstr(fake_redis_call(), " pre:0 "));
	while (fake_redis_calls() > 0)
		answer_with(1, 0, false);
	for (int i = 0; i < CHANNELS; i++) {
		assert_false(many[i].s.waiting);
		hub_unsubscribe(t.hub, &many[i].s);
	}
	mem_free(many);
}

/* However long the read takes. */
static void what_comes_during_a_read_is_of_the_share_of_a_turn(void **state)
{
	struct client *c = &t.clients[0];
	unsigned turns = 1;

	go_live(c);
	t.crowd = CROWD;
	fake_redis_confirm("pre:news");
	for (int i = 0; i < 5 * SHARE; i++) {
		fake_redis_message("pre:news", "1");
		assert_false(i % 10 == 9 && hub_end_turn(t.hub));
	}
	publish();
	assert_int_equal(c->count, 0);
	answer_in_this_turn();
	for (bool more = true; more; turns++) {
		unsigned before = c->count;

		more = hub_end_turn(t.hub);
		assert_in_range(c->count - before, 1, SHARE);
	}
	assert_in_range(turns, 5, 7);
	assert_int_equal(c->count, 5 * SHARE + 1);
}

enum { LARGE = 1 << 20 };

/* Publications that come, each of that size. What cannot be delivered then waits until it can. */
static void receive_large(unsigned count)
{
	char *large = mem_alloc(LARGE + 200);

	for (unsigned i = 0; i < count; i++) {
		int len;

		publish();
		len = snprintf(large, 200, "{\"fanfare\":1,\"offset\":%llu,\"epoch\":\"ep1\",\"data\":\"",
		               (unsigned long long)t.top);
		memset(large + len, 'x', LARGE);
		memcpy(large + len + LARGE, "\"}", 3);
		fake_redis_message("pre:news", large);
		assert_false(hub_end_turn(t.hub));
	}
	lose_link();
	mem_free(large);
}

/* It is at 0, lacks what came next, and asks for it. */
static void go_live_with_a_gap(struct client *c)
{
	go_live(c);
	publish_many(2);
	lose_link();
	publish();
	arrive_all();
	assert_int_equal(fake_redis_calls(), 1);
}

/* While a read is on its way more comes than is held: it is read from the history, after that. */
static void what_is_too_much_to_hold_is_read_again(void **state)
{
	enum { COUNT = 40 };
	struct client *c = &t.clients[0];

	go_live_with_a_gap(c);
	receive_large(COUNT);
	assert_int_equal(c->count, 0);
	answer_all();
	assert_int_equal(c->count, 3 + COUNT);
	assert_int_equal(c->position, t.top);
	assert_false(c->lost);
}

static void assert_little_is_held(void)
{
	assert_in_range(t.hub->backlog.bytes, BACKLOG_HELD - 2 * LARGE, BACKLOG_HELD);
}

/* However often it is tried. What is not held then is read when it can be, and told if it is gone by then. */
static void what_waits_for_a_history_that_cannot_be_read_is_little(void **state)
{
	struct client *c = &t.clients[0];

	for (unsigned gone = 0; gone <= 1; gone++) {
		go_live_with_a_gap(c);
		for (int i = 0; i < 20; i++) {
			fake_redis_answer(NULL);
			receive_large(2);
			hub_tick(t.hub);
		}
		assert_little_is_held();
		assert_false(c->lost);
		t.first += gone * (t.top - t.first);
		answer_all();
		assert_int_equal(c->lost, gone);
		assert_int_equal(t.hub->backlog.bytes, 0);
		if (!gone)
			assert_int_equal(c->position, t.top);
		hub_unsubscribe(t.hub, &c->s);
	}
}

/* It was more when the history turned out to be one that cannot be read. */
static void what_waits_becomes_little_when_a_history_cannot_be_read(void **state)
{
	struct client *c = &t.clients[0];
	char *plain = mem_alloc(LARGE + 1);

	go_live(c);
	overload();
	memset(plain, ' ', LARGE);
	plain[0] = '1';
	for (int i = 0; i < 20; i++)
		fake_redis_message("pre:news", plain);
	mem_free(plain);
	fake_redis_confirm("pre:news");
	end_turns();
	assert_true(t.hub->backlog.bytes >= 20 * LARGE);
	fake_redis_answer(NULL);
	assert_little_is_held();
	hub_tick(t.hub);
	answer_all();
	assert_in_range(c->count, BACKLOG_HELD / LARGE - 2, BACKLOG_HELD / LARGE);
	assert_false(c->lost);
}

/* So much comes in one turn that the rest waits, and what is beyond its ceiling is dropped; the last messages
 * are, so that nothing that comes would tell. */
static void what_more_comes_than_can_be_delivered_is_read_again(void **state)
{
	enum { SIZE = 1 << 20 };
	struct client *c = &t.clients[0];
	char *plain = mem_alloc(SIZE + 1);
	uint64_t shed;

	go_live(c);
	publish_many(10);
	arrive_all();
	memset(plain, ' ', SIZE);
	plain[0] = '1';
	for (int i = 0; i < BACKLOG_CHANNEL / BACKLOG_MESSAGE; i++)
		fake_redis_message("pre:news", "1");
	for (int i = 0; i < BACKLOG_BYTES / SIZE; i++)
		fake_redis_message("pre:news", plain);
	mem_free(plain);
	shed = metrics_sum(metrics_mine, 1, METRIC_publications_shed);
	publish_many(2000);
	arrive_all();
	assert_true(metrics_sum(metrics_mine, 1, METRIC_publications_shed) > shed);
	assert_true(c->position < t.top);
	end_turns();
	assert_int_equal(fake_redis_calls(), 1);
	t.first = 1;
	answer_all();
	assert_int_equal(c->position, t.top);
	assert_false(c->lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(what_more_comes_than_can_be_delivered_is_read_again),
		TEST(what_is_filled_in_is_of_the_share_of_a_turn),
		TEST(what_is_filled_in_when_a_turn_is_full_is_a_visit),
		TEST(what_comes_between_two_parts_of_a_fill_waits),
		TEST(who_is_ahead_waits_for_all_parts_of_a_fill),
		TEST(who_has_many_subscribers_reads_little_at_once),
		TEST(reads_on_their_way_bring_no_more_than_a_turn_delivers),
		TEST(no_read_is_sent_in_a_turn_that_is_spent),
		TEST(what_comes_during_a_read_is_of_the_share_of_a_turn),
		TEST(what_is_too_much_to_hold_is_read_again),
		TEST(what_waits_for_a_history_that_cannot_be_read_is_little),
		TEST(what_waits_becomes_little_when_a_history_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
