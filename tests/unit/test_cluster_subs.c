/* cluster_subs.c: a subscription is where its slot is, and a canary on each node shows that it is heard
 * there. */
#include "cluster_world.h"

static void move_slot(const char *key, int to)
{
	owner[slot_of(key)] = claimed[slot_of(key)] = (uint8_t)to;
}

static int publish(const char *channel, const char *payload)
{
	return publish_at(owner[slot_of(channel)], channel, payload);
}

static void hear(struct listener_sub *l, const char *channel)
{
	listen_on(&world, l, channel);
	WAIT_FOR(&world, 2000, l->confirmed == 1);
}

static void subscriptions_are_where_their_slot_is(void **state)
{
	struct listener_sub a, b;

	start();
	listen_on(&world, &a, low);
	listen_on(&world, &b, high);
	WAIT_FOR(&world, 2000, a.confirmed == 1 && b.confirmed == 1);
	assert_true(redis_sub_confirmed(a.sub));
	assert_int_equal(publish(low, "1"), 1);
	assert_int_equal(publish(high, "1"), 1);
	WAIT_FOR(&world, 2000, a.messages == 1 && b.messages == 1);
	redis_sub_close(&a.sub);
	redis_sub_close(&b.sub);
	WAIT_FOR(&world, 2000, publish(low, "2") == 0 && publish(high, "2") == 0);
}

static void what_is_published_here_is_heard_here(void **state)
{
	struct listener_sub l;
	struct answer a = {.count = 0};

	start();
	hear(&l, high);
	redis_publish(world.redis, BYTES_OF_STR(high), BYTES("7"), on_answer, &a);
	WAIT_FOR(&world, 2000, a.count == 1 && l.last == 7);
	redis_sub_close(&l.sub);
}

static void a_subscription_that_is_ended_by_redis_moves(void **state)
{
	struct listener_sub l;

	start_and_settle();
	hear(&l, low);
	move_slot(low, 1);
	drop_channel(mock_subscriber(&nodes[0].mock, low), low);
	WAIT_FOR(&world, SETTLED_MS, l.confirmed == 2);
	assert_int_equal(publish(low, "1"), 1);
	WAIT_FOR(&world, 2000, l.messages == 1);
	assert_true(is_ready(&world));
	redis_sub_close(&l.sub);
}

/* What is not heard until then is lost, for channels without history. */
static void a_subscription_that_is_ended_by_redis_does_not_wait_for_the_map(void **state)
{
	struct listener_sub l;

	start_and_settle();
	hear(&l, low);
	instead = "-ERR not now\r\n";
	owner[slot_of(low)] = 1;
	drop_channel(mock_subscriber(&nodes[0].mock, low), low);
	WAIT_FOR(&world, 2000, l.confirmed == 2);
	assert_non_null(mock_subscriber(&nodes[1].mock, low));
	STAYS_SO(&world, 300, l.confirmed == 2);
	redis_sub_close(&l.sub);
}

static void a_subscription_is_led_away_by_moved(void **state)
{
	struct listener_sub l;

	start_and_settle();
	move_slot(low, 1);
	listen_on(&world, &l, low);
	WAIT_FOR(&world, SETTLED_MS, l.confirmed == 1);
	assert_non_null(mock_subscriber(&nodes[1].mock, low));
	redis_sub_close(&l.sub);
}

static void a_subscription_follows_the_map_without_being_told(void **state)
{
	struct listener_sub l;

	start_and_settle();
	hear(&l, low);
	move_slot(low, 1);
	assert_got(low); /* MOVED: the map is asked for */
	WAIT_FOR(&world, SETTLED_MS, l.confirmed == 2);
	assert_int_equal(publish(low, "1"), 1);
	WAIT_FOR(&world, 2000, l.messages == 1);
	redis_sub_close(&l.sub);
}

static void a_subscription_that_is_led_in_circles_waits_every_now_and_then(void **state)
{
	struct listener_sub l;

	start_and_settle();
	in_circles = true;
	listen_on(&world, &l, low);
	STAYS_SO(&world, 500, l.confirmed == 0);
	/* Six in each 100 ms. */
	assert_in_range(count_said(), 6, 60);
	in_circles = false;
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	redis_sub_close(&l.sub);
}

static void a_subscription_waits_while_nobody_takes_it(void **state)
{
	struct listener_sub l;

	start();
	down = true;
	listen_on(&world, &l, low);
	STAYS_SO(&world, 300, l.confirmed == 0);
	down = false;
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	redis_sub_close(&l.sub);
}

static void an_unsubscription_may_meet_the_end_that_redis_makes(void **state)
{
	struct listener_sub l, other;
	unsigned accepted;

	start();
	listen_on(&world, &l, low);
	listen_on(&world, &other, "{t:bar}x");
	WAIT_FOR(&world, 2000, l.confirmed == 1 && other.confirmed == 1);
	accepted = nodes[0].mock.accepted;
	/* Both ends come, and MOVED for the second one. */
	owner[slot_of(low)] = 1;
	drop_channel(mock_subscriber(&nodes[0].mock, low), low);
	redis_sub_close(&l.sub);
	WAIT_FOR(&world, 2000, strstr(nodes[0].said, "SUNSUBSCRIBE t:bar") != NULL || other.confirmed >= 1);
	claimed[slot_of(low)] = 1;
	drop_channel(mock_subscriber(&nodes[0].mock, "{t:bar}x"), "{t:bar}x");
	WAIT_FOR(&world, 2000, other.confirmed == 2);
	STAYS_SO(&world, 200, nodes[0].mock.accepted == accepted);
	redis_sub_close(&other.sub);
}

static void a_closed_subscription_that_moves_tells_nobody(void **state)
{
	struct listener_sub l;

	start();
	hear(&l, low);
	redis_sub_close(&l.sub);
	move_slot(low, 1);
	drop_channel(mock_subscriber(&nodes[0].mock, low), low);
	STAYS_SO(&world, 300, l.confirmed == 1);
	hear(&l, low);
	assert_int_equal(publish(low, "1"), 1);
	redis_sub_close(&l.sub);
}

/* --- canaries --- */

static void every_node_has_a_canary_in_a_slot_of_its_own(void **state)
{
	start();
	for (int i = 0; i < NODES; i++) {
		assert_non_null(canary_at(i));
		assert_int_equal(owner[slot_of(canary_at(i))], i);
	}
}

static void a_canary_whose_slot_moves_gets_another_channel(void **state)
{
	unsigned long before;
	char old[64];

	start_and_settle();
	snprintf(old, sizeof(old), "%s", canary_at(0));
	move_slot(old, 1);
	drop_channel(mock_subscriber(&nodes[0].mock, old), old);
	WAIT_FOR(&world, SETTLED_MS, canary_at(0) != NULL && strcmp(canary_at(0), old) != 0);
	before = metrics_mine->values[METRIC_redis_canaries_missed];
	STAYS_SO(&world, 800, is_ready(&world));
	assert_int_equal(metrics_mine->values[METRIC_redis_canaries_missed], before);
}

static bool hears_nothing(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "SPUBLISH"))
		return do_command(c, command);
	mock_send(c, ":1\r\n");
	return true;
}

static void a_node_that_is_not_heard_is_named(void **state)
{
	start();
	nodes[1].mock.on_command = hears_nothing;
	WAIT_FOR(&world, 3000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), nodes[1].port));
	assert_null(strstr(reason(&world), nodes[0].port));
	nodes[1].mock.on_command = do_command;
	WAIT_FOR(&world, 3000, is_ready(&world));
}

static void a_node_that_is_not_heard_does_not_silence_the_others(void **state)
{
	struct listener_sub l;

	start();
	assert_true(redis_hears(world.redis, BYTES_OF_STR(low)) &&
	            redis_hears(world.redis, BYTES_OF_STR(high)));
	nodes[1].mock.on_command = hears_nothing;
	WAIT_FOR(&world, 3000, !is_ready(&world));
	assert_true(redis_hears(world.redis, BYTES_OF_STR(low)));
	assert_false(redis_hears(world.redis, BYTES_OF_STR(high)));
	hear(&l, low);
	redis_sub_close(&l.sub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(subscriptions_are_where_their_slot_is),
		TEST(what_is_published_here_is_heard_here),
		TEST(a_subscription_that_is_ended_by_redis_moves),
		TEST(a_subscription_that_is_ended_by_redis_does_not_wait_for_the_map),
		TEST(a_subscription_is_led_away_by_moved),
		TEST(a_subscription_follows_the_map_without_being_told),
		TEST(a_subscription_that_is_led_in_circles_waits_every_now_and_then),
		TEST(a_subscription_waits_while_nobody_takes_it),
		TEST(an_unsubscription_may_meet_the_end_that_redis_makes),
		TEST(a_closed_subscription_that_moves_tells_nobody),
		TEST(every_node_has_a_canary_in_a_slot_of_its_own),
		TEST(a_canary_whose_slot_moves_gets_another_channel),
		TEST(a_node_that_is_not_heard_is_named),
		TEST(a_node_that_is_not_heard_does_not_silence_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
