/* Presence of the hub over a fake Redis: what Redis is told, in which order, how often, and what follows from
 * its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "config.h"
#include "deflate.h"
#include "fake_redis.h"
#include "hub.h"
#include "metrics.h"
#include "workers.h"

enum { CLIENTS = 200, LEASE_MS = 20000, CHECK_MS = 27000, GRACE_MS = 5000, TICK_MS = 250 };
static char prefix[] = "pre:";

struct client {
	struct subscription s;
};

static struct {
	struct config config;
	struct deflater *deflater;
	struct hub *hub;
	struct client clients[CLIENTS];
	uint64_t now_ms;
	unsigned answers;
	enum error_code error;
	uint32_t num_clients;
} t;

static void on_deliver(struct subscription *s, struct frame *f)
{
}

static void on_subscribed(struct subscription *s, enum error_code error)
{
}

static void on_ready(void *ctx, bool ready, const char *reason)
{
}

/* Each test is one turn. */
static void on_turn_began(void *ctx)
{
}

static void on_describe(const struct subscription *s, struct member *m)
{
	snprintf(m->client, sizeof(m->client), "%036d", (int)(container_of(s, struct client, s) - t.clients));
	m->info.user = BYTES("ann");
	m->info.client = BYTES_OF_STR(m->client);
}

/* --- Redis --- */

static const struct redis_reply *integer(int64_t n)
{
	static struct redis_reply pool[8];
	static unsigned used;
	struct redis_reply *r = &pool[used++ % 8];

	*r = (struct redis_reply){.type = REDIS_INTEGER, .integer = n};
	return r;
}

/* The oldest call, which is an update of the channel. */
static void answer_update(int64_t members, const char *worker, int64_t due_ms)
{
	const struct redis_reply name = {.type = REDIS_STRING, .text = BYTES_OF_STR(worker)};
	const struct redis_reply *names[] = {&name};
	const struct redis_reply workers = {
		.type = REDIS_ARRAY, .elements = names, .count = worker[0] == '\0' ? 0 : 1};
	const struct redis_reply *all[] = {integer(members), &workers, integer(due_ms)};

	assert_non_null(strstr(fake_redis_call(), "fanfare_presence_update"));
	fake_redis_answer(&(struct redis_reply){.type = REDIS_ARRAY, .elements = all, .count = 3});
}

static void answer_lease(void)
{
	static const struct redis_reply digest = {.type = REDIS_STRING, .text = BYTES("d")};
	const struct redis_reply node = {.type = REDIS_STRING, .text = BYTES("node")};
	const struct redis_reply *names[] = {&node};
	const struct redis_reply list = {.type = REDIS_ARRAY, .elements = names, .count = 1};
	const struct redis_reply *all[] = {integer(1), &digest, &list, integer(777)};

	assert_non_null(strstr(fake_redis_call(), "fanfare_workers"));
	fake_redis_answer(&(struct redis_reply){.type = REDIS_ARRAY, .elements = all, .count = 4});
}

static void tick(void)
{
	t.now_ms += TICK_MS;
	clock_freeze(t.now_ms, t.now_ms);
	hub_tick(t.hub);
}

/* Leases are renewed all the while, which is no part of these tests. */
static void later(uint64_t ms)
{
	for (uint64_t end = t.now_ms + ms; t.now_ms < end;) {
		tick();
		if (fake_redis_calls() > 0 && strstr(fake_redis_call(), "fanfare_workers") != NULL)
			answer_lease();
	}
}

static size_t steps(char sign)
{
	const char wanted[] = {' ', sign, ' ', '0', '\0'};
	size_t count = 0;

	for (const char *at = fake_redis_call(); (at = strstr(at, wanted)) != NULL; at++)
		count++;
	return count;
}

/* --- the hub --- */

static int setup(void **state)
{
	const struct hub_events events = {
		.deliver = on_deliver,
		.subscribed = on_subscribed,
		.turn_began = on_turn_began,
		.ready = on_ready,
		.describe = on_describe,
	};

	memset(&t, 0, sizeof(t));
	t.now_ms = 1000000;
	clock_freeze(t.now_ms, t.now_ms);
	t.config.redis.prefix = prefix;
	t.config.redis.presence_ttl_ms = LEASE_MS;
	t.config.client.presence_update_interval_ms = CHECK_MS;
	t.config.channel.without_namespace.presence = true;
	t.config.channel.without_namespace.join_leave = true;
	t.config.channel.without_namespace.join_leave_grace_ms = GRACE_MS;
	t.deflater = deflater_new();
	t.hub = hub_new(NULL, &t.config, NULL, "node", NULL, t.deflater, &events);
	fake_redis_confirm_at_once(true);
	hub_tick(t.hub);
	answer_lease();
	return 0;
}

static void leave(int i)
{
	hub_unsubscribe(t.hub, &t.clients[i].s);
}

static int teardown(void **state)
{
	for (int i = 0; i < CLIENTS; i++)
		leave(i);
	while (fake_redis_calls() > 0)
		fake_redis_answer(NULL);
	hub_free(&t.hub);
	deflater_free(&t.deflater);
	return 0;
}

static void join(int i)
{
	const struct want want = {.hears_joins = true};
	enum error_code error;

	assert_true(hub_subscribe(t.hub, BYTES("news"), &t.clients[i].s, &want, &error));
	t.clients[i].s.live = true;
	hub_join(t.hub, &t.clients[i].s);
}

static void what_gathers_during_a_call_is_told_in_the_next(void **state)
{
	join(0);
	assert_int_equal(fake_redis_calls(), 1);
	assert_int_equal(steps('+'), 1);
	for (int i = 1; i < 20; i++)
		join(i);
	leave(3);
	assert_int_equal(fake_redis_calls(), 1);
	answer_update(1, "", -1);
	assert_int_equal(fake_redis_calls(), 1);
	assert_int_equal(steps('+'), 19);
	assert_int_equal(steps('-'), 1);
	answer_update(19, "", -1);
	assert_int_equal(fake_redis_calls(), 0);
	assert_false(hub_is_busy(t.hub));
}

static void a_crowd_takes_few_calls(void **state)
{
	int calls = 0;

	for (int i = 0; i < CLIENTS; i++)
		join(i);
	for (int told = 0; fake_redis_calls() > 0; calls++) {
		told += (int)steps('+');
		answer_update(told, "", -1);
	}
	assert_true(calls <= CLIENTS / 20);
}

static void what_redis_did_not_hear_is_told_again_before_what_came_later(void **state)
{
	char *first;

	join(0);
	first = strdup(fake_redis_call());
	join(1);
	fake_redis_answer(NULL);
	assert_true(hub_is_busy(t.hub));
	assert_int_equal(fake_redis_calls(), 0);
	later(TICK_MS);
	assert_int_equal(steps('+'), 2);
	assert_memory_equal(fake_redis_call(), first, strlen(first));
	free(first);
	answer_update(2, "", -1);
	assert_false(hub_is_busy(t.hub));
}

static void who_left_is_told_after_the_channel_is_gone(void **state)
{
	join(0);
	answer_update(1, "", -1);
	leave(0);
	assert_int_equal(hub_channel_count(t.hub), 0);
	assert_int_equal(steps('-'), 1);
	fake_redis_answer(NULL);
	assert_true(hub_is_busy(t.hub));
	later(TICK_MS);
	assert_int_equal(steps('-'), 1);
	answer_update(0, "", -1);
	assert_false(hub_is_busy(t.hub));
}

static void members_that_redis_does_not_have_are_said_anew(void **state)
{
	for (int i = 0; i < 3; i++)
		join(i);
	answer_update(1, "", -1);
	answer_update(3, "", -1);
	later(CHECK_MS + TICK_MS);
	assert_int_equal(steps('+') + steps('='), 0);
	answer_update(1, "node", -1);
	assert_int_equal(steps('='), 3);
	answer_update(3, "", -1);
	assert_int_equal(fake_redis_calls(), 0);
}

/* A failover loses what the old master had not passed on: a join and a leave, so that the number is right. */
static void a_few_are_said_anew_when_the_link_was_lost(void **state)
{
	for (int i = 0; i < 3; i++)
		join(i);
	answer_update(1, "", -1);
	answer_update(3, "", -1);
	fake_redis_confirm("pre:news");
	later(TICK_MS);
	assert_int_equal(steps('='), 3);
	assert_non_null(strstr(fake_redis_call(), " node djw "));
	answer_update(4, "", -1);
	assert_int_equal(steps('='), 3);
	assert_non_null(strstr(fake_redis_call(), " node cdj "));
	answer_update(3, "", -1);
	later(CHECK_MS / 2);
	assert_int_equal(fake_redis_calls(), 0);
}

static void a_few_are_said_anew_though_a_call_fails_meanwhile(void **state)
{
	join(0);
	fake_redis_confirm("pre:news");
	fake_redis_answer(NULL);
	later(TICK_MS);
	assert_int_equal(steps('='), 1);
	assert_int_equal(steps('+'), 1);
	answer_update(1, "", -1);
	assert_int_equal(fake_redis_calls(), 0);
}

static void many_are_counted_when_the_link_was_lost(void **state)
{
	for (int i = 0; i < CLIENTS; i++)
		join(i);
	for (int told = 0; fake_redis_calls() > 0;) {
		told += (int)steps('+');
		answer_update(told, "", -1);
	}
	fake_redis_confirm("pre:news");
	later(TICK_MS);
	assert_int_equal(steps('='), 0);
	answer_update(CLIENTS - 1, "", -1);
	assert_true(steps('=') > 0);
}

/* That of a user who has the time to come back. */
static void a_leave_that_waits_is_told_in_time(void **state)
{
	join(0);
	answer_update(1, "", -1);
	leave(0);
	answer_update(0, "", GRACE_MS);
	later(GRACE_MS - TICK_MS);
	assert_int_equal(fake_redis_calls(), 0);
	later(2 * TICK_MS);
	assert_int_equal(fake_redis_calls(), 1);
	answer_update(0, "", -1);
	later(2 * GRACE_MS);
	assert_int_equal(fake_redis_calls(), 0);
}

static void nobody_waits_for_a_leave_that_waits(void **state)
{
	join(0);
	answer_update(1, "", -1);
	leave(0);
	answer_update(0, "", GRACE_MS);
	assert_false(hub_is_busy(t.hub));
}

static void the_rest_of_a_dead_worker_is_taken_away_soon(void **state)
{
	join(0);
	answer_update(1, "", -1);
	later(CHECK_MS + TICK_MS);
	answer_update(1, "dead", -1);
	later(TICK_MS);
	if (strstr(fake_redis_call(), " dead@777") == NULL)
		answer_update(1, "dead", -1);
	later(TICK_MS);
	assert_non_null(strstr(fake_redis_call(), " dead@777"));
	answer_update(1, "dead", -1);
	later(2 * TICK_MS);
	answer_update(1, "node", -1);
	later(2 * TICK_MS);
	assert_int_equal(fake_redis_calls(), 0);
}

/* What the next call says behind what each says: whom it calls dead. */
static void check_named(const char *names)
{
	const char *call;

	for (int ticks = 0; fake_redis_calls() == 0; ticks++) {
		assert_true(ticks < LEASE_MS / TICK_MS);
		tick();
	}
	call = fake_redis_call();
	assert_non_null(strstr(call, "fanfare_workers"));
	assert_true(strlen(call) > strlen(names));
	assert_string_equal(call + strlen(call) - strlen(names), names);
}

static void the_dead_are_named_until_redis_knows(void **state)
{
	hub_call_dead(t.hub, "a");
	hub_call_dead(t.hub, "b");
	hub_call_dead(t.hub, "a");
	check_named(" d a b");
	hub_call_dead(t.hub, "c");
	fake_redis_answer(NULL);
	check_named(" d a b c");
	hub_call_dead(t.hub, "e");
	answer_lease();
	tick();
	assert_int_equal(fake_redis_calls(), 1); /* at once, not with the next renewal */
	check_named(" d e");
	answer_lease();
	check_named(" d");
}

/* Who died before this worker had heard of it at all. */
static void the_members_of_a_stranger_who_is_dead_are_taken_away_soon(void **state)
{
	join(0);
	answer_update(1, "", -1);
	hub_call_dead(t.hub, "stranger");
	check_named(" d stranger");
	answer_lease();
	tick();
	assert_non_null(strstr(fake_redis_call(), "fanfare_presence_update"));
	assert_non_null(strstr(fake_redis_call(), " stranger@777"));
	answer_update(1, "", -1);
}

/* However many die while Redis is away. */
static void no_more_are_named_than_there_is_room_for(void **state)
{
	char name[16];

	for (int i = 0; i < 2 * WORKERS_LISTED_MAX; i++) {
		snprintf(name, sizeof(name), "w%d", i);
		hub_call_dead(t.hub, name);
	}
	check_named(" w14 w15");
	answer_lease();
	check_named(" d");
}

static void on_presence(void *arg, enum error_code error, const struct presence_result *result,
                        const struct presence_stats_result *stats)
{
	t.answers++;
	t.error = error;
	t.num_clients = stats != NULL ? stats->num_clients : 0;
}

/* Whoever has the answer to a subscribe and asks must find himself. */
static void a_question_waits_until_redis_was_told(void **state)
{
	join(0);
	join(1);
	assert_non_null(hub_presence(t.hub, BYTES("news"), true, on_presence, NULL));
	assert_int_equal(fake_redis_calls(), 1);
	answer_update(1, "", -1);
	assert_int_equal(fake_redis_calls(), 2);
	answer_update(2, "", -1);
	assert_non_null(strstr(fake_redis_call(), "fanfare_presence_stats"));
	fake_redis_answer(NULL);
	assert_int_equal(t.answers, 1);
	assert_int_equal(t.error, ERROR_INTERNAL);
}

static void a_question_waits_no_longer_than_redis_is_there(void **state)
{
	struct hub_presence *cancelled;

	join(0);
	join(1);
	cancelled = hub_presence(t.hub, BYTES("news"), true, on_presence, NULL);
	assert_non_null(hub_presence(t.hub, BYTES("news"), true, on_presence, NULL));
	hub_presence_cancel(&cancelled);
	fake_redis_answer(NULL);
	assert_non_null(strstr(fake_redis_call(), "fanfare_presence_stats"));
	fake_redis_answer(NULL);
	assert_int_equal(t.answers, 1);
}

static const struct redis_reply out_of_memory = {.type = REDIS_ERROR,
                                                 .text = BYTES("OOM command not allowed")};

static void expect_answer(unsigned answers, enum error_code error)
{
	assert_int_equal(t.answers, answers);
	assert_int_equal(t.error, error);
}

static void answer_stats(int64_t clients)
{
	const struct redis_reply node = {.type = REDIS_STRING, .text = BYTES("node")};
	const struct redis_reply *all[] = {integer(clients), &node, integer(clients)};

	assert_non_null(strstr(fake_redis_call(), "fanfare_presence_stats"));
	fake_redis_answer(&(struct redis_reply){.type = REDIS_ARRAY, .elements = all, .count = 3});
}

/* What Redis says meanwhile lacks somebody. */
static void while_redis_refuses_a_member_questions_are_answered_by_an_error(void **state)
{
	uint64_t refused = metrics_mine->values[METRIC_presence_updates_refused];

	join(0);
	assert_non_null(hub_presence(t.hub, BYTES("news"), true, on_presence, NULL));
	fake_redis_answer(&out_of_memory);
	answer_stats(0);
	expect_answer(1, ERROR_INTERNAL);
	assert_non_null(hub_presence(t.hub, BYTES("news"), true, on_presence, NULL));
	later(TICK_MS);
	fake_redis_answer(&out_of_memory);
	answer_stats(0);
	expect_answer(2, ERROR_INTERNAL);
	assert_int_equal(metrics_mine->values[METRIC_presence_updates_refused], refused + 2);
	assert_true(t.clients[0].s.live);
	later(TICK_MS);
	assert_int_equal(steps('+'), 1);
	answer_update(1, "", -1);
	assert_non_null(hub_presence(t.hub, BYTES("news"), true, on_presence, NULL));
	answer_stats(1);
	expect_answer(3, ERROR_NONE);
	assert_int_equal(t.num_clients, 1);
}

static void a_question_that_redis_refuses_is_counted(void **state)
{
	uint64_t refused = metrics_mine->values[METRIC_presence_reads_refused];

	assert_non_null(hub_presence(t.hub, BYTES("news"), true, on_presence, NULL));
	fake_redis_answer(&out_of_memory);
	expect_answer(1, ERROR_INTERNAL);
	assert_int_equal(metrics_mine->values[METRIC_presence_reads_refused], refused + 1);
}

static void on_resigned(void *ctx)
{
	++*(int *)ctx;
}

static void a_worker_that_ends_gives_its_lease_back_and_says_nothing_more(void **state)
{
	int resigned = 0;

	join(0);
	answer_update(1, "", -1);
	later(LEASE_MS);
	hub_call_dead(t.hub, "a");
	assert_true(hub_resign(t.hub, on_resigned, &resigned));
	assert_int_equal(resigned, 0);
	assert_string_equal(fake_redis_call(), "FCALL fanfare_workers 1 {pre:}workers node 0  a");
	fake_redis_answer(NULL);
	assert_int_equal(resigned, 1);
	leave(0);
	later(2 * CHECK_MS);
	assert_int_equal(fake_redis_calls(), 0);
	assert_false(hub_resign(t.hub, on_resigned, &resigned));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_gathers_during_a_call_is_told_in_the_next),
		TEST(a_crowd_takes_few_calls),
		TEST(what_redis_did_not_hear_is_told_again_before_what_came_later),
		TEST(who_left_is_told_after_the_channel_is_gone),
		TEST(members_that_redis_does_not_have_are_said_anew),
		TEST(a_few_are_said_anew_when_the_link_was_lost),
		TEST(a_few_are_said_anew_though_a_call_fails_meanwhile),
		TEST(many_are_counted_when_the_link_was_lost),
		TEST(a_leave_that_waits_is_told_in_time),
		TEST(nobody_waits_for_a_leave_that_waits),
		TEST(the_rest_of_a_dead_worker_is_taken_away_soon),
		TEST(the_dead_are_named_until_redis_knows),
		TEST(the_members_of_a_stranger_who_is_dead_are_taken_away_soon),
		TEST(no_more_are_named_than_there_is_room_for),
		TEST(a_question_waits_until_redis_was_told),
		TEST(a_question_waits_no_longer_than_redis_is_there),
		TEST(while_redis_refuses_a_member_questions_are_answered_by_an_error),
		TEST(a_question_that_redis_refuses_is_counted),
		TEST(a_worker_that_ends_gives_its_lease_back_and_says_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
