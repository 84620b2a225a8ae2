/* How the hub shares its turns among channels, over a fake Redis: whatever one channel sends, others do not
 * wait, nothing changes its order, and what waits has a ceiling. Turns and deliveries are counted; no clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backlog.h"
#include "clock.h"
#include "config.h"
#include "deflate.h"
#include "fake_redis.h"
#include "hub.h"
#include "metrics.h"

enum {
	CROWD = 1000, /* subscribers of a hot channel */
	HOT_MAX = 8,
	WORK = CROWD + BACKLOG_MESSAGE,
	HOT = (BACKLOG_CHANNEL + WORK - 1) / WORK, /* its publications that fit into a turn */
};
static char prefix[] = "pre:";

/* Gets numbered publications, and expects them in order. */
struct reader {
	struct subscription s;
	unsigned got;
	unsigned skipped;
};

static struct {
	struct config config;
	struct deflater *deflater;
	struct hub *hub;
	struct reader readers[HOT_MAX + 1][CROWD];
	unsigned sent[HOT_MAX + 1]; /* publications of each channel */
	unsigned deliveries;
	unsigned turns_begun;
} t;

static void on_deliver(struct subscription *s, struct frame *f)
{
	struct reader *r = container_of(s, struct reader, s);
	const char *data = memmem(f->data, f->len, "\"data\":", 7);
	unsigned number;

	assert_non_null(data);
	number = (unsigned)strtoul(data + 7, NULL, 10);
	assert_true(number >= r->got + r->skipped);
	r->skipped += number - r->got - r->skipped;
	r->got++;
	t.deliveries++;
}

static void on_ready(void *ctx, bool ready, const char *reason)
{
}

static void on_turn_began(void *ctx)
{
	t.turns_begun++;
}

static int setup(void **state)
{
	const struct hub_events events = {
		.deliver = on_deliver, .turn_began = on_turn_began, .ready = on_ready};

	memset(&t, 0, sizeof(t));
	clock_freeze(1000000, 1700000000000);
	t.config.redis.prefix = prefix;
	t.deflater = deflater_new();
	t.hub = hub_new(NULL, &t.config, NULL, "node", NULL, t.deflater, &events);
	fake_redis_confirm_at_once(true);
	return 0;
}

static int teardown(void **state)
{
	for (int c = 0; c <= HOT_MAX; c++)
		for (int i = 0; i < CROWD; i++)
			hub_unsubscribe(t.hub, &t.readers[c][i].s);
	assert_int_equal(fake_redis_subs(), 0);
	hub_free(&t.hub);
	deflater_free(&t.deflater);
	return 0;
}

/* Channels are called by their numbers. */
static void subscribe(int channel, int count)
{
	const struct want nothing = {0};
	enum error_code error;
	char name[8];

	snprintf(name, sizeof(name), "%d", channel);
	for (int i = 0; i < count; i++) {
		struct subscription *s = &t.readers[channel][i].s;

		assert_true(hub_subscribe(t.hub, BYTES_OF_STR(name), s, &nothing, &error));
		s->live = true;
	}
}

static void publish(int channel, int count)
{
	char name[16];
	char payload[16];

	snprintf(name, sizeof(name), "pre:%d", channel);
	for (int i = 0; i < count; i++) {
		snprintf(payload, sizeof(payload), "%u", t.sent[channel]++);
		fake_redis_message(name, payload);
	}
}

/* Returns how many it took. */
static unsigned turns_until_all_is_delivered(void)
{
	unsigned turns = 1;

	while (hub_end_turn(t.hub))
		turns++;
	return turns;
}

static void assert_got(int channel, int count, unsigned got)
{
	for (int i = 0; i < count; i++) {
		assert_int_equal(t.readers[channel][i].got, got);
		assert_int_equal(t.readers[channel][i].skipped, 0);
	}
}

static void a_quiet_channel_does_not_wait_for_a_hot_one(void **state)
{
	enum { QUIET = HOT_MAX };

	subscribe(0, CROWD);
	subscribe(QUIET, 1);
	publish(0, 100 * HOT);
	publish(QUIET, 1);
	assert_got(QUIET, 1, 1);
	assert_int_equal(t.readers[0][0].got, HOT);
	for (unsigned turn = 2; hub_end_turn(t.hub); turn++) {
		publish(0, 3);
		publish(QUIET, 1);
		assert_got(QUIET, 1, turn);
		/* Neither has what waits in front of it made the turn longer. */
		assert_int_equal(t.readers[0][0].got, (turn - 1) * HOT);
	}
	assert_got(0, CROWD, t.sent[0]);
}

/* Where more channels are hot than have room in a turn, each has its visits. */
static void many_hot_channels_are_taken_in_rotation(void **state)
{
	enum { QUIET = HOT_MAX, TURN = BACKLOG_TURN + BACKLOG_VISIT + 2 * CROWD };
	unsigned turns = 0;

	for (int c = 0; c < HOT_MAX; c++)
		subscribe(c, CROWD);
	subscribe(QUIET, 1);
	for (int c = 0; c < HOT_MAX; c++)
		publish(c, 10 * HOT);
	publish(QUIET, 1);
	for (int c = 0; c < HOT_MAX; c++)
		publish(c, 10 * HOT);
	assert_in_range(t.deliveries, BACKLOG_TURN - 2 * BACKLOG_VISIT, TURN);
	while (t.readers[QUIET][0].got == 0) {
		t.deliveries = 0;
		assert_true(hub_end_turn(t.hub));
		assert_true(t.deliveries <= TURN);
		turns++;
	}
	assert_in_range(turns, 1, 2);
	for (int c = 0; c < HOT_MAX; c++)
		assert_in_range(t.readers[c][0].got, 1, 20 * HOT / 4);
	turns_until_all_is_delivered();
	for (int c = 0; c < HOT_MAX; c++)
		assert_got(c, CROWD, t.sent[c]);
}

/* So many channels, each with little, that none of those that wait would ever have a turn. */
static void what_waits_goes_on_beside_whatever_comes(void **state)
{
	unsigned unfinished = 0;

	for (int c = 0; c < 3; c++)
		subscribe(c, CROWD);
	publish(0, 2 * HOT);
	for (int turn = 0; turn < 8; turn++) {
		publish(1, HOT - 2);
		publish(2, HOT - 2);
		unfinished += hub_end_turn(t.hub);
	}
	assert_in_range(unfinished, 2, 8);
	assert_got(0, CROWD, 2 * HOT);
}

static void bursts_stay_together(void **state)
{
	subscribe(0, CROWD);
	publish(0, 50);
	assert_got(0, CROWD, 50);
	assert_int_equal(t.turns_begun, 1);
	assert_int_equal(turns_until_all_is_delivered(), 1);
	publish(0, 50);
	assert_int_equal(t.turns_begun, 2);
	assert_got(0, CROWD, 100);
}

static void who_leaves_takes_what_waits_along(void **state)
{
	subscribe(0, CROWD);
	publish(0, 3 * HOT);
	for (int i = 0; i < CROWD; i++)
		hub_unsubscribe(t.hub, &t.readers[0][i].s);
	assert_int_equal(hub_channel_count(t.hub), 0);
	assert_false(hub_end_turn(t.hub));
	assert_int_equal(t.readers[0][0].got, HOT);
}

/* One large channel leaves half of the room to others; what is beyond is counted. */
static void what_waits_has_a_ceiling(void **state)
{
	enum { SIZE = 1 << 20, MANY = 100 };
	char *payload = test_malloc(SIZE + 1);
	uint64_t shed = metrics_sum(metrics_mine, 1, METRIC_publications_shed);

	memset(payload, ' ', SIZE);
	payload[SIZE] = '\0';
	subscribe(0, CROWD);
	subscribe(1, CROWD);
	publish(0, HOT);
	publish(1, HOT);
	for (int i = 0; i < MANY; i++) {
		snprintf(payload, 16, "%u", t.sent[0]++);
		payload[strlen(payload)] = ' ';
		fake_redis_message("pre:0", payload);
	}
	publish(1, 3);
	turns_until_all_is_delivered();
	assert_got(1, CROWD, HOT + 3);
	assert_in_range(t.readers[0][0].got, HOT + BACKLOG_BYTES / SIZE / 2 - 2,
	                HOT + BACKLOG_BYTES / SIZE / 2);
	assert_int_equal(metrics_sum(metrics_mine, 1, METRIC_publications_shed) - shed,
	                 t.sent[0] - t.readers[0][0].got);
	test_free(payload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_quiet_channel_does_not_wait_for_a_hot_one, setup, teardown),
		cmocka_unit_test_setup_teardown(many_hot_channels_are_taken_in_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(what_waits_goes_on_beside_whatever_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(bursts_stay_together, setup, teardown),
		cmocka_unit_test_setup_teardown(who_leaves_takes_what_waits_along, setup, teardown),
		cmocka_unit_test_setup_teardown(what_waits_has_a_ceiling, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
