/* worker/redis against a server that does not confirm what is subscribed to, or does not bring what is
 * published: a subscriber connection is believed only while it proves that it hears. */
#include "mocked_world.h"
#include "redis_handover.h"

/* --- confirmations --- */

/* Confirms what it is asked for, but forgets one channel. */
static const char *forgotten;

static bool forget_one(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "SUBSCRIBE") || forgotten == NULL)
		return false;
	for (size_t i = 1; i < command->elements; i++) {
		if (forgotten != NULL && strcmp(command->element[i]->str, forgotten) == 0)
			forgotten = NULL;
		else
			mock_subscribe(c, command->element[i]->str);
	}
	return true;
}

static void a_lost_confirmation_in_the_middle_is_noticed_by_the_next(void **state)
{
	struct listener_sub l[3];

	start();
	mock.on_command = forget_one;
	forgotten = "t:b";
	listen_on(&world, &l[0], "t:a");
	listen_on(&world, &l[1], "t:b");
	listen_on(&world, &l[2], "t:c");
	for (int i = 0; i < 3; i++)
		WAIT_FOR(&world, 3000, redis_sub_confirmed(l[i].sub));
	assert_null(forgotten);
	assert_int_equal(mock_publish(&mock, "t:b", "1"), 1);
	WAIT_FOR(&world, 1000, l[1].messages == 1);
	for (int i = 0; i < 3; i++)
		redis_sub_close(&l[i].sub);
}

static void a_lost_last_confirmation_is_noticed_in_time_and_costs_nothing(void **state)
{
	struct listener_sub a;
	struct listener_sub b;

	start();
	listen_on(&world, &a, "t:a");
	WAIT_FOR(&world, 2000, a.confirmed == 1);
	mock.on_command = forget_one;
	forgotten = "t:b";
	listen_on(&world, &b, "t:b");
	mock_publish(&mock, "t:a", "1");
	WAIT_FOR(&world, 1000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), "does not confirm"));
	mock_publish(&mock, "t:a", "2");
	WAIT_FOR(&world, 2000, b.confirmed == 1 && is_ready(&world));
	mock_publish(&mock, "t:a", "3");
	mock_publish(&mock, "t:b", "1");
	WAIT_FOR(&world, 1000, a.last == 3 && b.last == 1);
	assert_int_equal(a.lost + a.doubled + b.doubled, 0);
	assert_int_equal(a.confirmed, 1);
	redis_sub_close(&a.sub);
	redis_sub_close(&b.sub);
}

/* Does not answer when it is asked for t:b, alone or among others. */
static bool silent_about_b(struct mock_conn *c, const redisReply *command)
{
	for (size_t i = 1; is_command(command, "SUBSCRIBE") && i < command->elements; i++)
		if (strcmp(command->element[i]->str, "t:b") == 0)
			return true;
	return false;
}

static void a_confirmation_that_never_comes_is_noticed_also_after_one_that_came_late(void **state)
{
	struct listener_sub a;
	struct listener_sub b;
	struct listener_sub c;
	struct mock_conn *old;

	start();
	listen_on(&world, &a, "t:a");
	WAIT_FOR(&world, 2000, a.confirmed == 1);
	old = mock_subscriber(&mock, "t:a");
	mock.on_command = silent_about_b;
	listen_on(&world, &b, "t:b");
	listen_on(&world, &c, "t:c");
	WAIT_FOR(&world, 1000, !is_ready(&world));
	mock_subscribe(old, "t:b");
	WAIT_FOR(&world, 1000, is_ready(&world) && b.confirmed == 1);
	WAIT_FOR(&world, 1000, !is_ready(&world));
	mock.on_command = NULL;
	WAIT_FOR(&world, 3000, c.confirmed == 1 && is_ready(&world));
	redis_sub_close(&a.sub);
	redis_sub_close(&b.sub);
	redis_sub_close(&c.sub);
}

static bool forbid_most(struct mock_conn *c, const redisReply *command)
{
	for (size_t i = 1; is_command(command, "SUBSCRIBE") && i < command->elements; i++) {
		if (strncmp(command->element[i]->str, "t:no", 4) == 0) {
			mock_send(c, "-NOPERM no\r\n");
			return true;
		}
	}
	return false;
}

/* More of them than confirmations may be under way. */
static void behind_many_refusals_the_others_have_their_turn(void **state)
{
	enum { FORBIDDEN = 4600 };
	struct listener_sub *forbidden = mem_alloc(FORBIDDEN * sizeof(*forbidden));
	struct listener_sub allowed;
	char name[32];

	world.config.redis.call_timeout_ms = 2000;
	world.config.redis.canary_timeout_ms = 2000;
	start();
	mock.on_command = forbid_most;
	for (int i = 0; i < FORBIDDEN; i++) {
		snprintf(name, sizeof(name), "t:no%d", i);
		listen_on(&world, &forbidden[i], name);
	}
	listen_on(&world, &allowed, "t:yes");
	WAIT_FOR(&world, 5000, allowed.confirmed == 1);
	assert_true(is_ready(&world));
	for (int i = 0; i < FORBIDDEN; i++) {
		assert_false(redis_sub_confirmed(forbidden[i].sub));
		redis_sub_close(&forbidden[i].sub);
	}
	redis_sub_close(&allowed.sub);
	mem_free(forbidden);
}

/* --- canaries --- */

/* Says that it published, but does not: every connection is deaf. */
static bool swallow_publications(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "PUBLISH"))
		return false;
	mock_send(c, ":1\r\n");
	return true;
}

static void a_deaf_redis_is_never_ready_and_not_hammered(void **state)
{
	struct listener_sub l;
	unsigned accepted;
	uint64_t missed;

	start();
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	accepted = mock.accepted;
	missed = metrics_mine->values[METRIC_redis_canaries_missed];
	mock.on_command = swallow_publications;
	WAIT_FOR(&world, 1000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), "not heard"));
	STAYS_SO(&world, 3000, !is_ready(&world));
	WAIT_FOR(&world, 10000, metrics_mine->values[METRIC_redis_canaries_missed] - missed >= 4);
	assert_true(mock.accepted - accepted <= metrics_mine->values[METRIC_redis_canaries_missed] - missed);
	/* What comes all the same is delivered. */
	mock_publish(&mock, "t:a", "1");
	WAIT_FOR(&world, 1000, l.messages == 1);
	mock.on_command = NULL;
	WAIT_FOR(&world, 5000, is_ready(&world));
	redis_sub_close(&l.sub);
}

static char marker[64];

/* One connection brings no canary and no marker, but a message when that is published. */
static bool lag_on_the_old_one(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "PUBLISH"))
		return false;
	mock_send(c, ":1\r\n");
	if (strncmp(word(command, 2), "marker ", strlen("marker ")) != 0)
		return true;
	snprintf(marker, sizeof(marker), "%s", word(command, 2));
	mock_push(mock_subscriber(&mock, word(command, 1)), "message", word(command, 1));
	mock_bulk(mock_subscriber(&mock, word(command, 1)), marker);
	mock_push(silent, "message", "t:a");
	mock_bulk(silent, "1");
	return true;
}

/* What is still on its way to us on a connection that is late would be lost. */
static void a_connection_that_is_late_is_waited_for_longer_than_a_dead_one(void **state)
{
	struct listener_sub l;

	start();
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	silent = mock_subscriber(&mock, "t:a");
	mock.on_command = lag_on_the_old_one;
	WAIT_FOR(&world, 4000, l.messages == 1);
	STAYS_SO(&world, REDIS_HANDOVER_BEHIND_MS * 3, silent->open && l.confirmed == 1);
	mock.on_command = NULL;
	mock_push(silent, "message", "t:a");
	mock_bulk(silent, "2");
	mock_push(silent, "message", "t.canary.n1");
	mock_bulk(silent, marker);
	WAIT_FOR(&world, 1000, !silent->open);
	WAIT_FOR(&world, 5000, is_ready(&world));
	assert_true(l.messages == 2 && l.confirmed == 1);
	redis_sub_close(&l.sub);
}

static unsigned markers;

/* Says that it published the canary, but does not, and refuses the marker. */
static bool refuse_markers(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "PUBLISH") || strncmp(word(command, 2), "marker ", 7) != 0)
		return swallow_publications(c, command);
	markers++;
	mock_send(c, "-OOM command not allowed\r\n");
	return true;
}

static void a_marker_that_is_refused_is_not_published_without_end(void **state)
{
	start();
	markers = 0;
	mock.on_command = refuse_markers;
	WAIT_FOR(&world, 2000, markers == 1);
	STAYS_SO(&world, 1500, markers <= 3);
	assert_true(markers > 1);
	mock.on_command = NULL;
	WAIT_FOR(&world, 3000, is_ready(&world));
}

static void canaries_of_others_prove_nothing(void **state)
{
	start();
	mock.on_command = swallow_publications;
	WAIT_FOR(&world, 1000, !is_ready(&world));
	for (int i = 0; i < 20; i++) {
		char text[64];
		snprintf(text, sizeof(text), "canary 0000000000000000 %d", i);
		mock_publish(&mock, "t.canary.n1", text);
		mock_publish(&mock, "t.canary.n1", "marker 0000000000000000 1");
		mock_publish(&mock, "t.canary.n1", "");
	}
	STAYS_SO(&world, 300, !is_ready(&world));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define FAULT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		FAULT(a_lost_confirmation_in_the_middle_is_noticed_by_the_next),
		FAULT(a_lost_last_confirmation_is_noticed_in_time_and_costs_nothing),
		FAULT(a_confirmation_that_never_comes_is_noticed_also_after_one_that_came_late),
		FAULT(behind_many_refusals_the_others_have_their_turn),
		FAULT(a_deaf_redis_is_never_ready_and_not_hammered),
		FAULT(a_connection_that_is_late_is_waited_for_longer_than_a_dead_one),
		FAULT(a_marker_that_is_refused_is_not_published_without_end),
		FAULT(canaries_of_others_prove_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
