/* The stream of a channel with history: gaps are filled in before what follows, whatever a link loses;
 * nothing comes twice. */
#include "history_world.h"

static void the_first_subscriber_learns_the_position(void **state)
{
	struct client *c = &t.clients[0];

	publish_many(5);
	lose_link();
	assert_false(subscribe(c, &positioned));
	assert_int_equal(fake_redis_calls(), 0);
	fake_redis_confirm("pre:news");
	assert_int_equal(option("limit"), 0);
	assert_int_equal(option("meta_ttl"), 600);
	assert_false(c->told);
	answer();
	assert_true(c->told);
	assert_false(begin(c));
	assert_int_equal(c->position, 5);
	publish_many(3);
	arrive_all();
	assert_int_equal(c->count, 3);
	assert_int_equal(fake_redis_calls(), 0);
}

static void what_comes_during_the_first_read_is_delivered_once(void **state)
{
	struct client *c = &t.clients[0];

	publish_many(2);
	lose_link();
	assert_false(subscribe(c, &positioned));
	fake_redis_confirm("pre:news");
	publish_many(2);
	arrive_all();
	answer();
	begin(c);
	assert_int_equal(c->position, 4);
	publish();
	arrive_all();
	assert_int_equal(c->count, 1);
}

static void a_repeated_publication_is_dropped(void **state)
{
	struct client *c = &t.clients[0];
	char *again;

	go_live(c);
	publish_many(2);
	again = payload_of(1);
	arrive_all();
	fake_redis_message("pre:news", again);
	mem_free(again);
	assert_int_equal(c->count, 2);
	assert_int_equal(fake_redis_calls(), 0);
}

static void a_gap_is_filled_before_what_follows(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(1);
	arrive_all();
	publish_many(4);
	lose_link();
	publish_many(2);
	arrive_all();
	assert_int_equal(c->count, 1);
	assert_int_equal(option("since"), 0);
	answer_all();
	assert_int_equal(c->count, 7);
	assert_int_equal(c->position, 7);
	assert_false(c->lost);
}

static void a_quiet_channel_is_read_after_a_loss_of_the_link(void **state)
{
	struct client *c = &t.clients[0];

	publish_many(3);
	lose_link();
	go_live(c);
	publish_many(2);
	lose_link();
	fake_redis_confirm("pre:news");
	assert_int_equal(c->count, 0);
	answer_all();
	assert_int_equal(c->count, 2);
	assert_int_equal(c->position, 5);
}

static void a_link_lost_during_a_read_is_followed_by_another_read(void **state)
{
	struct client *c = &t.clients[0];

	publish_many(3);
	lose_link();
	go_live(c);
	fake_redis_confirm("pre:news");
	answer_all();
	fake_redis_confirm("pre:news");
	publish_many(1);
	lose_link();
	fake_redis_confirm("pre:news");
	assert_int_equal(fake_redis_calls(), 1);
	answer();
	assert_int_equal(fake_redis_calls(), 1);
	answer();
	assert_int_equal(fake_redis_calls(), 0);
	assert_int_equal(c->position, 4);
}

static void a_long_gap_is_read_in_pieces(void **state)
{
	struct client *c = &t.clients[0];

	t.config.channel.without_namespace.history_size = 2000;
	go_live(c);
	publish_many(1000);
	lose_link();
	publish_many(1);
	arrive_all();
	answer();
	assert_int_equal(fake_redis_calls(), 1);
	answer_all();
	assert_int_equal(c->position, 1001);
	assert_int_equal(c->count, 1001);
}

static void publications_without_an_offset_keep_their_place(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	fake_redis_message("pre:news", "1");
	assert_int_equal(c->count, 1);
	publish_many(2);
	lose_link();
	publish();
	arrive_all();
	fake_redis_message("pre:news", "2");
	assert_int_equal(c->count, 1);
	answer_all();
	assert_int_equal(c->count, 5);
}

static void a_read_that_fails_is_tried_again(void **state)
{
	struct client *c = &t.clients[0];
	const struct redis_reply error = {.type = REDIS_ERROR, .text = BYTES("NOPERM")};

	subscribe(c, &positioned);
	fake_redis_confirm("pre:news");
	fake_redis_answer(NULL);
	assert_int_equal(fake_redis_calls(), 0);
	hub_tick(t.hub);
	fake_redis_answer(&error);
	hub_tick(t.hub);
	answer_all();
	begin(c);
	publish();
	arrive_all();
	assert_int_equal(c->count, 1);
}

/* A message that a link lost without a word. */
static void an_old_position_is_checked(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(2);
	lose_link();
	pass_time(CHECK_MS - 1);
	hub_tick(t.hub);
	assert_int_equal(fake_redis_calls(), 0);
	pass_time(1);
	hub_tick(t.hub);
	hub_tick(t.hub);
	assert_int_equal(fake_redis_calls(), 1);
	answer_all();
	assert_int_equal(c->position, 2);
	assert_false(c->lost);
}

static void whoever_leaves_during_a_read_takes_it_along(void **state)
{
	subscribe(&t.clients[0], &positioned);
	fake_redis_confirm("pre:news");
	assert_int_equal(fake_redis_calls(), 1);
	hub_unsubscribe(t.hub, &t.clients[0].s);
	assert_int_equal(fake_redis_calls(), 0);
	assert_int_equal(hub_channel_count(t.hub), 0);
}

static void an_answer_of_another_kind_is_none(void **state)
{
	struct redis_reply epoch = {.type = REDIS_STRING, .text = BYTES("")};
	struct redis_reply top = {.type = REDIS_INTEGER, .integer = -4};
	struct redis_reply none = {.type = REDIS_ARRAY};
	struct redis_reply more = {.type = REDIS_INTEGER};
	const struct redis_reply *const four[] = {&epoch, &top, &none, &more};
	struct redis_reply reply = {.type = REDIS_ARRAY, .elements = four, .count = 4};

	subscribe(&t.clients[0], &positioned);
	fake_redis_confirm("pre:news");
	fake_redis_answer(&reply);
	hub_tick(t.hub);
	epoch.text = BYTES("a-very-long-epoch-of-more-than-thirty-two-bytes");
	fake_redis_answer(&reply);
	hub_tick(t.hub);
	epoch.text = BYTES("e");
	fake_redis_answer(&reply);
	hub_tick(t.hub);
	epoch.text = BYTES("e");
	top = (struct redis_reply){.type = REDIS_STRING, .text = BYTES("18446744073709551615")};
	fake_redis_answer(&reply);
	hub_tick(t.hub);
	top = (struct redis_reply){.type = REDIS_INTEGER, .integer = 4};
	reply.count = 3;
	fake_redis_answer(&reply);
	hub_tick(t.hub);
	reply.count = 4;
	more.type = REDIS_ARRAY;
	fake_redis_answer(&reply);
	hub_tick(t.hub);
	assert_false(t.clients[0].told);
	answer_all();
	assert_true(t.clients[0].told);
}

/* Somebody else has written into the stream: the same offset again, and one that nobody was told of. */
static void what_others_put_into_the_stream_is_left_out(void **state)
{
	struct redis_reply epoch = {.type = REDIS_STRING, .text = BYTES("ep1")};
	struct redis_reply top = {.type = REDIS_INTEGER, .integer = 1};
	struct redis_reply one = {.type = REDIS_INTEGER, .integer = 1};
	struct redis_reply far = {.type = REDIS_INTEGER, .integer = 900000000000000};
	struct redis_reply garbage = {.type = REDIS_STRING, .text = BYTES("x")};
	struct redis_reply good = {.type = REDIS_STRING};
	const struct redis_reply *const six[] = {&one, &good, &one, &garbage, &far, &garbage};
	struct redis_reply entries = {.type = REDIS_ARRAY, .elements = six, .count = ARRAY_LEN(six)};
	struct redis_reply more = {.type = REDIS_INTEGER};
	const struct redis_reply *const four[] = {&epoch, &top, &entries, &more};
	const struct redis_reply reply = {.type = REDIS_ARRAY, .elements = four, .count = 4};
	struct client *c = &t.clients[0];
	char *payload;

	go_live(c);
	publish();
	lose_link();
	payload = payload_of(1);
	good.text = BYTES_OF_STR(payload);
	fake_redis_confirm("pre:news");
	fake_redis_answer(&reply);
	assert_int_equal(fake_redis_calls(), 0);
	assert_int_equal(c->position, 1);
	assert_int_equal(c->count, 1);
	assert_false(c->lost);
	mem_free(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(the_first_subscriber_learns_the_position),
		TEST(what_comes_during_the_first_read_is_delivered_once),
		TEST(a_repeated_publication_is_dropped),
		TEST(a_gap_is_filled_before_what_follows),
		TEST(a_quiet_channel_is_read_after_a_loss_of_the_link),
		TEST(a_link_lost_during_a_read_is_followed_by_another_read),
		TEST(a_long_gap_is_read_in_pieces),
		TEST(publications_without_an_offset_keep_their_place),
		TEST(a_read_that_fails_is_tried_again),
		TEST(an_old_position_is_checked),
		TEST(whoever_leaves_during_a_read_takes_it_along),
		TEST(an_answer_of_another_kind_is_none),
		TEST(what_others_put_into_the_stream_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
