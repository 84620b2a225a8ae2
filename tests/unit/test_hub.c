/* The hub over a fake Redis: who is registered, who gets what, and what happens when subscribers leave in the
 * middle of it. */
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

enum { CLIENTS = 8 };
static char prefix[] = "pre:";

/* A subscriber that remembers, and may make others leave when it is called. */
struct client {
	struct subscription s;
	unsigned frames;
	struct frame *last;
	unsigned answers;
	enum error_code error;
	struct client *leaves[CLIENTS]; /* unsubscribed when something is delivered or answered */
};

static struct {
	struct config config;
	struct deflater *deflater;
	struct hub *hub;
	struct client clients[CLIENTS];
	bool ready;
	unsigned done;
	enum error_code published;
} t;

static void make_leave(struct client *c)
{
	for (size_t i = 0; i < CLIENTS && c->leaves[i] != NULL; i++)
		hub_unsubscribe(t.hub, &c->leaves[i]->s);
}

static void on_deliver(struct subscription *s, struct frame *f)
{
	struct client *c = container_of(s, struct client, s);

	assert_non_null(s->channel);
	c->frames++;
	frame_unref(&c->last);
	c->last = frame_ref(f);
	make_leave(c);
}

static void on_subscribed(struct subscription *s, enum error_code error)
{
	struct client *c = container_of(s, struct client, s);

	assert_int_equal(s->channel != NULL, error == ERROR_NONE);
	c->answers++;
	c->error = error;
	make_leave(c);
}

static void on_ready(void *ctx, bool ready, const char *reason)
{
	assert_ptr_equal(ctx, &t);
	t.ready = ready;
}

/* A test is one turn, but for the long one. */
static void on_turn_began(void *ctx)
{
}

static int setup(void **state)
{
	const struct hub_events events = {.deliver = on_deliver,
	                                  .subscribed = on_subscribed,
	                                  .turn_began = on_turn_began,
	                                  .ready = on_ready,
	                                  .ctx = &t};

	memset(&t, 0, sizeof(t));
	t.config.redis.prefix = prefix;
	t.deflater = deflater_new();
	t.hub = hub_new(NULL, &t.config, NULL, "node", NULL, t.deflater, &events);
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < CLIENTS; i++) {
		hub_unsubscribe(t.hub, &t.clients[i].s);
		frame_unref(&t.clients[i].last);
	}
	assert_int_equal(hub_channel_count(t.hub), 0);
	assert_int_equal(fake_redis_subs(), 0);
	hub_free(&t.hub);
	deflater_free(&t.deflater);
	return 0;
}

static struct bytes bytes_of(const char *text)
{
	return BYTES_OF_STR(text);
}

static bool subscribe(int i, const char *channel)
{
	enum error_code error;
	const struct want nothing = {0};
	bool now = hub_subscribe(t.hub, bytes_of(channel), &t.clients[i].s, &nothing, &error);

	assert_int_equal(error, ERROR_NONE);
	return now;
}

/* Several clients on one confirmed channel, all live. */
static void subscribe_live(int count, const char *channel)
{
	fake_redis_confirm_at_once(true);
	for (int i = 0; i < count; i++) {
		assert_true(subscribe(i, channel));
		t.clients[i].s.live = true;
	}
}

static uint64_t metric(enum metric m)
{
	return metrics_sum(metrics_mine, 1, m);
}

static void assert_frame(const struct frame *f, const char *text)
{
	size_t len = strlen(text);

	assert_non_null(f);
	assert_true(len < 126);
	assert_int_equal(f->len, len + 2);
	assert_int_equal((unsigned char)f->data[0], 0x81);
	assert_int_equal((unsigned char)f->data[1], len);
	assert_memory_equal(f->data + 2, text, len);
}

static void first_waits_for_redis_and_later_ones_do_not(void **state)
{
	assert_false(subscribe(0, "news"));
	assert_false(subscribe(1, "news"));
	assert_int_equal(fake_redis_subs(), 1);
	fake_redis_confirm("pre:news");
	assert_int_equal(t.clients[0].answers, 1);
	assert_int_equal(t.clients[1].answers, 1);
	assert_int_equal(t.clients[1].error, ERROR_NONE);
	assert_true(subscribe(2, "news"));
	assert_int_equal(t.clients[2].answers, 0);
	assert_int_equal(metric(METRIC_subscriptions), 3);
	assert_int_equal(metric(METRIC_channels), 1);
}

static void nobody_is_answered_twice_when_redis_confirms_again(void **state)
{
	assert_false(subscribe(0, "news"));
	fake_redis_confirm("pre:news");
	fake_redis_confirm("pre:news");
	assert_int_equal(t.clients[0].answers, 1);
}

static void no_answer_after_unsubscribing(void **state)
{
	assert_false(subscribe(0, "news"));
	assert_false(subscribe(1, "news"));
	hub_unsubscribe(t.hub, &t.clients[0].s);
	fake_redis_confirm("pre:news");
	assert_int_equal(t.clients[0].answers, 0);
	assert_int_equal(t.clients[1].answers, 1);
}

static void an_empty_channel_is_dropped(void **state)
{
	subscribe_live(2, "news");
	assert_true(hub_find_channel(t.hub, BYTES("news")) == t.clients[0].s.channel);
	hub_unsubscribe(t.hub, &t.clients[0].s);
	assert_true(fake_redis_has_sub("pre:news"));
	hub_unsubscribe(t.hub, &t.clients[1].s);
	assert_int_equal(fake_redis_subs(), 0);
	assert_null(hub_find_channel(t.hub, BYTES("news")));
	hub_unsubscribe(t.hub, &t.clients[1].s);
	assert_int_equal(metric(METRIC_subscriptions), 0);
	assert_int_equal(metric(METRIC_channels), 0);
}

static void only_live_subscribers_get_publications(void **state)
{
	subscribe_live(2, "news");
	t.clients[0].s.live = false;
	fake_redis_message("pre:news", "{\"n\":1}");
	assert_int_equal(t.clients[0].frames, 0);
	assert_int_equal(t.clients[1].frames, 1);
	assert_frame(t.clients[1].last, "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":{\"n\":1}}}}");
}

static void a_publication_is_encoded_once_for_each_form(void **state)
{
	subscribe_live(4, "news");
	t.clients[2].s.form = t.clients[3].s.form = WIRE_JSON_UNI;
	fake_redis_message("pre:news", "5");
	assert_ptr_equal(t.clients[0].last, t.clients[1].last);
	assert_ptr_equal(t.clients[2].last, t.clients[3].last);
	assert_frame(t.clients[0].last, "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":5}}}");
	assert_frame(t.clients[2].last, "{\"channel\":\"news\",\"pub\":{\"data\":5}}");
	assert_int_equal(t.clients[0].last->refs, 2);
}

static void enable_compression(uint64_t min_size)
{
	t.config.websocket.compression = (struct compression_options){true, 1, min_size};
	t.config.uni_websocket.compression = t.config.websocket.compression;
}

/* By form and window, and shared by all who have the same. */
static void a_publication_is_compressed_once_for_each_form(void **state)
{
	enable_compression(0);
	subscribe_live(5, "news");
	for (int i = 1; i < 5; i++)
		t.clients[i].s.deflate_bits = i == 4 ? 9 : 15;
	t.clients[3].s.form = WIRE_JSON_UNI;
	fake_redis_message("pre:news", "[\"again and again\",\"again and again\",\"again and again\"]");
	assert_int_equal((unsigned char)t.clients[0].last->data[0], 0x81);
	for (int i = 1; i < 5; i++)
		assert_int_equal((unsigned char)t.clients[i].last->data[0], 0xc1);
	assert_ptr_equal(t.clients[1].last, t.clients[2].last);
	assert_ptr_not_equal(t.clients[1].last, t.clients[3].last);
	assert_ptr_not_equal(t.clients[1].last, t.clients[4].last);
	assert_true(t.clients[1].last->len < t.clients[0].last->len);
	assert_int_equal(t.clients[1].last->refs, 2);
}

static void short_publications_and_those_that_do_not_get_smaller_are_not_compressed(void **state)
{
	enable_compression(1000);
	subscribe_live(3, "news");
	t.clients[0].s.deflate_bits = 15;
	fake_redis_message("pre:news", "[\"again and again\",\"again and again\",\"again and again\"]");
	assert_int_equal((unsigned char)t.clients[0].last->data[0], 0x81);
	enable_compression(0);
	t.clients[1].s.deflate_bits = 9;
	fake_redis_message("pre:news", "5");
	assert_ptr_equal(t.clients[0].last, t.clients[1].last);
	assert_ptr_equal(t.clients[0].last, t.clients[2].last);
	assert_frame(t.clients[0].last, "{\"push\":{\"channel\":\"news\",\"pub\":{\"data\":5}}}");
}

static void what_is_no_publication_is_counted_and_dropped(void **state)
{
	uint64_t invalid = metric(METRIC_publications_invalid);

	subscribe_live(1, "news");
	fake_redis_message("pre:news", "\"\xff\"");
	assert_int_equal(t.clients[0].frames, 0);
	assert_int_equal(metric(METRIC_publications_invalid), invalid + 1);
}

/* Each client in turn makes each pair of clients leave while it gets a publication. */
static void subscribers_may_leave_during_a_delivery(void **state)
{
	enum { COUNT = 4 };

	for (int who = 0; who < COUNT; who++) {
		for (int pair = 0; pair < COUNT * COUNT; pair++) {
			int a = pair / COUNT, b = pair % COUNT;

			subscribe_live(COUNT, "news");
			t.clients[who].leaves[0] = &t.clients[a];
			t.clients[who].leaves[1] = &t.clients[b];
			fake_redis_message("pre:news", "1");
			t.clients[who].leaves[0] = NULL;
			fake_redis_message("pre:news", "2");
			for (int i = 0; i < COUNT; i++) {
				bool left = i == a || i == b;

				assert_int_equal(t.clients[i].frames, left ? i <= who : 2);
				assert_int_equal(t.clients[i].s.channel != NULL, !left);
				hub_unsubscribe(t.hub, &t.clients[i].s);
				t.clients[i].frames = 0;
			}
		}
	}
}

static void all_may_leave_during_a_delivery(void **state)
{
	subscribe_live(3, "news");
	for (int i = 0; i < 3; i++)
		t.clients[1].leaves[i] = &t.clients[i];
	fake_redis_message("pre:news", "1");
	assert_int_equal(t.clients[0].frames, 1);
	assert_int_equal(t.clients[2].frames, 0);
	assert_int_equal(fake_redis_subs(), 0);
}

static void pass_time(uint64_t ms)
{
	clock_freeze(clock_ms() + ms, clock_unix_ms() + ms);
}

static void without_redis_a_subscribe_fails(void **state)
{
	enum error_code error;

	fake_redis_set_ready(false);
	assert_false(t.ready);
	pass_time(HUB_PATIENCE_MS);
	assert_false(hub_subscribe(t.hub, BYTES("news"), &t.clients[0].s, &(struct want){0}, &error));
	assert_int_equal(error, ERROR_INTERNAL);
	assert_null(t.clients[0].s.channel);
	assert_int_equal(hub_channel_count(t.hub), 0);
}

static void a_confirmed_channel_can_be_joined_whatever_redis_does(void **state)
{
	subscribe_live(1, "news");
	fake_redis_set_ready(false);
	assert_true(subscribe(1, "news"));
}

static void whoever_waits_is_told_when_redis_goes_away(void **state)
{
	assert_false(subscribe(0, "news"));
	assert_false(subscribe(1, "news"));
	assert_false(subscribe(2, "news"));
	assert_false(subscribe(3, "sport"));
	fake_redis_confirm("pre:sport");
	assert_false(subscribe(4, "other"));
	t.clients[0].leaves[0] = &t.clients[1];
	t.clients[0].leaves[1] = &t.clients[4];
	fake_redis_set_ready(false);
	pass_time(HUB_PATIENCE_MS - 1);
	hub_tick(t.hub);
	assert_int_equal(t.clients[0].answers, 0);
	pass_time(1);
	hub_tick(t.hub);
	assert_int_equal(t.clients[0].answers, 1);
	assert_int_equal(t.clients[0].error, ERROR_INTERNAL);
	assert_int_equal(t.clients[1].answers, 0);
	assert_int_equal(t.clients[2].answers, 1);
	assert_int_equal(t.clients[3].answers, 1);
	assert_int_equal(t.clients[3].error, ERROR_NONE);
	assert_int_equal(t.clients[4].answers, 0);
	assert_int_equal(fake_redis_subs(), 1);
}

/* Neither who waits already nor who comes meanwhile sees anything of it but a delay. */
static void a_short_absence_of_redis_fails_no_subscribe(void **state)
{
	assert_false(subscribe(0, "news"));
	fake_redis_set_ready(false);
	assert_false(subscribe(1, "news"));
	assert_false(subscribe(2, "sport"));
	pass_time(HUB_PATIENCE_MS / 2);
	hub_tick(t.hub);
	fake_redis_set_ready(true);
	fake_redis_confirm("pre:news");
	fake_redis_confirm("pre:sport");
	pass_time(HUB_PATIENCE_MS);
	hub_tick(t.hub);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(t.clients[i].answers, 1);
		assert_int_equal(t.clients[i].error, ERROR_NONE);
	}
}

static void on_published(void *arg, enum error_code error)
{
	assert_ptr_equal(arg, &t);
	t.done++;
	t.published = error;
}

static struct hub_publish *publish(const char *channel, const char *data)
{
	const struct publication p = {.data = bytes_of(data)};
	struct hub_publish *published = hub_publish(t.hub, bytes_of(channel), &p, on_published, &t);

	assert_non_null(published);
	return published;
}

static void a_publish_is_one_command(void **state)
{
	static const struct redis_reply one = {.type = REDIS_INTEGER, .integer = 1};

	publish("news", "{\"n\":1}");
	assert_string_equal(fake_redis_call(), "PUBLISH pre:news {\"n\":1}");
	assert_int_equal(t.done, 0);
	fake_redis_answer(&one);
	assert_int_equal(t.done, 1);
	assert_int_equal(t.published, ERROR_NONE);
}

static void a_publish_that_redis_does_not_take_is_an_error(void **state)
{
	static const struct redis_reply refused = {.type = REDIS_ERROR, .text = {"NOPERM", 6}};
	static const struct redis_reply nothing = {.type = REDIS_NIL};

	publish("news", "1");
	fake_redis_answer(NULL);
	assert_int_equal(t.published, ERROR_INTERNAL);
	t.published = ERROR_NONE;
	publish("news", "1");
	fake_redis_answer(&refused);
	assert_int_equal(t.published, ERROR_INTERNAL);
	t.published = ERROR_NONE;
	publish("news", "1");
	fake_redis_answer(&nothing);
	assert_int_equal(t.published, ERROR_INTERNAL);
	assert_int_equal(t.done, 3);
}

static void a_cancelled_publish_does_not_answer(void **state)
{
	struct hub_publish *published = publish("news", "1");

	hub_publish_cancel(&published);
	assert_null(published);
	assert_int_equal(fake_redis_calls(), 0);
	assert_int_equal(t.done, 0);
}

/* Many coming and going, compared with a plain list of who should get what. */
static void random_coming_and_going(void **state)
{
	static const char *const names[] = {"a", "b", "c"};
	int on[CLIENTS];
	unsigned expected[CLIENTS] = {0};

	srand(1);
	fake_redis_confirm_at_once(true);
	for (int i = 0; i < CLIENTS; i++)
		on[i] = -1;
	for (int step = 0; step < 20000; step++) {
		int i = rand() % CLIENTS, channel = rand() % 3;
		char redis_name[8];

		snprintf(redis_name, sizeof(redis_name), "pre:%s", names[channel]);
		if (rand() % 3 == 0 && fake_redis_has_sub(redis_name)) {
			fake_redis_message(redis_name, "1");
			for (int k = 0; k < CLIENTS; k++)
				expected[k] += on[k] == channel;
		} else if (on[i] >= 0) {
			hub_unsubscribe(t.hub, &t.clients[i].s);
			on[i] = -1;
		} else {
			assert_true(subscribe(i, names[channel]));
			t.clients[i].s.live = true;
			on[i] = channel;
		}
		for (int k = 0; k < CLIENTS; k++)
			assert_int_equal(t.clients[k].frames, expected[k]);
		assert_false(hub_end_turn(t.hub));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_waits_for_redis_and_later_ones_do_not),
		TEST(nobody_is_answered_twice_when_redis_confirms_again),
		TEST(no_answer_after_unsubscribing),
		TEST(an_empty_channel_is_dropped),
		TEST(only_live_subscribers_get_publications),
		TEST(a_publication_is_encoded_once_for_each_form),
		TEST(a_publication_is_compressed_once_for_each_form),
		TEST(short_publications_and_those_that_do_not_get_smaller_are_not_compressed),
		TEST(what_is_no_publication_is_counted_and_dropped),
		TEST(subscribers_may_leave_during_a_delivery),
		TEST(all_may_leave_during_a_delivery),
		TEST(without_redis_a_subscribe_fails),
		TEST(a_confirmed_channel_can_be_joined_whatever_redis_does),
		TEST(whoever_waits_is_told_when_redis_goes_away),
		TEST(a_short_absence_of_redis_fails_no_subscribe),
		TEST(a_publish_is_one_command),
		TEST(a_publish_that_redis_does_not_take_is_an_error),
		TEST(a_cancelled_publish_does_not_answer),
		TEST(random_coming_and_going),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
