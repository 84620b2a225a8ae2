/* Channels with history over a fake Redis that has a stream of its own: what is published goes into the
 * stream and onto the link; the test decides which messages arrive, when reads are carried out and answered,
 * and what is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backlog.h"
#include "buf.h"
#include "clock.h"
#include "config.h"
#include "deflate.h"
#include "fake_redis.h"
#include "hub.h"
#include "hub_internal.h"
#include "mem.h"
#include "metrics.h"

enum { CLIENTS = 6, LIMIT = 20, STREAM_MAX = 20000, LINK_MAX = 20000, CHECK_MS = 40000 };
#define OFFSET "\"offset\":"
static char prefix[] = "pre:";
static const char channel[] = "news";

/* A subscriber that checks what it gets: each offset one more than the one before. */
struct client {
	struct subscription s;
	bool positioned;
	bool told;         /* subscribed came */
	bool lost;         /* lost came, and it unsubscribed */
	uint64_t position; /* of what it has seen, when live */
	unsigned count;
	unsigned stream; /* which one: they are told apart by their epochs */
	enum error_code error;
};

static struct {
	struct config config;
	struct deflater *deflater;
	struct hub *hub;
	struct client clients[CLIENTS];
	/* Redis. Payloads of an offset differ between streams and, after a loss of writes, within one. */
	unsigned stream;
	unsigned writes_lost;
	uint64_t top;
	uint64_t first;
	unsigned written_by[STREAM_MAX]; /* writes_lost at the time */
	size_t piece;                    /* publications that fit into one; 0: all */
	unsigned reads;                  /* carried out */
	uint32_t crowd;                  /* as if so many more were delivered to for each who is there */
	char *link[LINK_MAX];
	size_t link_from, link_to;
} t;

static const char *epoch_of(unsigned stream)
{
	static char text[16];

	snprintf(text, sizeof(text), "ep%u", stream);
	return text;
}

static char *payload_of(uint64_t offset)
{
	return mem_printf("{\"fanfare\":1,\"offset\":%llu,\"epoch\":\"%s\",\"data\":{\"n\":%llu,\"by\":%u}}",
	                  (unsigned long long)offset, epoch_of(t.stream), (unsigned long long)offset,
	                  t.written_by[offset]);
}

/* --- the subscribers --- */

static void on_deliver(struct subscription *s, struct frame *f)
{
	struct client *c = container_of(s, struct client, s);
	char *text = mem_strndup(f->data, f->len);
	const char *at;

	for (size_t i = 0; i < f->len; i++)
		text[i] = text[i] == '\0' ? ' ' : text[i];
	at = strstr(text, OFFSET);
	c->count++;
	backlog_spend(&t.hub->backlog, s->channel, t.crowd);
	if (at != NULL) {
		uint64_t offset = strtoull(at + strlen(OFFSET), NULL, 10);

		if (c->positioned)
			assert_int_equal(offset, c->position + 1);
		else
			assert_true(offset != c->position);
		c->position = offset;
	}
	mem_free(text);
}

static void on_subscribed(struct subscription *s, enum error_code error)
{
	struct client *c = container_of(s, struct client, s);

	assert_false(c->told);
	c->told = true;
	c->error = error;
}

static void on_lost(struct subscription *s)
{
	struct client *c = container_of(s, struct client, s);

	assert_true(c->positioned);
	c->lost = true;
	hub_unsubscribe(t.hub, s);
}

static void on_ready(void *ctx, bool ready, const char *reason)
{
}

/* A turn ends where a test says so, or when a read is answered. */
static void on_turn_began(void *ctx)
{
}

static bool subscribe(struct client *c, const struct want *want)
{
	enum error_code error;

	c->told = c->lost = false;
	c->count = 0;
	c->positioned = want->positioned;
	c->told = hub_subscribe(t.hub, BYTES_OF_STR(channel), &c->s, want, &error);
	assert_int_equal(error, ERROR_NONE);
	return c->told;
}

/* The reply is written: the client knows where it is, having taken what it missed. */
static bool begin(struct client *c)
{
	struct buf publications;
	struct hub_answer answer;
	uint64_t at;

	buf_init(&publications, 1 << 20);
	assert_true(c->told && !c->s.live);
	hub_begin(t.hub, &c->s, &answer, &publications);
	c->position = answer.recovered ? answer.asked_from : answer.offset;
	c->count = 0;
	buf_putc(&publications, '\0');
	assert_true(buf_ok(&publications));
	for (const char *text = publications.data; (text = strstr(text, OFFSET)) != NULL; c->count++) {
		text += strlen(OFFSET);
		at = strtoull(text, NULL, 10);
		assert_true(at > c->position);
		c->position = at;
	}
	if (answer.epoch.len > 0)
		c->stream = (unsigned)atoi(answer.epoch.ptr + 2);
	buf_free(&publications);
	return answer.recovered;
}

/* --- Redis --- */

static void publish(void)
{
	t.top++;
	assert_true(t.top < STREAM_MAX && t.link_to < LINK_MAX);
	t.written_by[t.top] = t.writes_lost;
	t.link[t.link_to++] = payload_of(t.top);
	if (t.top - t.first + 1 > (uint64_t)t.config.channel.without_namespace.history_size)
		t.first++;
}

/* The next message arrives; false when none is on its way. */
static bool arrive(void)
{
	char *payload;

	if (t.link_from == t.link_to)
		return false;
	payload = t.link[t.link_from++];
	if (fake_redis_has_sub("pre:news"))
		fake_redis_message("pre:news", payload);
	mem_free(payload);
	return true;
}

static void arrive_all(void)
{
	while (arrive())
		continue;
}

static void lose_link(void)
{
	while (t.link_from < t.link_to)
		mem_free(t.link[t.link_from++]);
}

/* The number after a word in the text of the oldest call; -1 when it is not there. */
static long long option(const char *name)
{
	char *word = mem_printf(" %s ", name);
	const char *at = strstr(fake_redis_call(), word);
	long long n = at != NULL ? atoll(at + strlen(word)) : -1;

	mem_free(word);
	return n;
}

/* What the oldest read asks for, as far as it is there and fits: from *from to *to. True: something did not.
 */
static bool range(uint64_t *from, uint64_t *to)
{
	long long newest = option("newest"), since = option("since"), before = option("before");
	uint64_t limit = (uint64_t)(newest >= 0 ? newest : option("limit"));
	bool more;

	*from = since >= 0 && (uint64_t)since >= t.first ? (uint64_t)since + 1 : t.first;
	*to = before >= 0 ? (uint64_t)before - 1 : t.top;
	if (newest >= 0 && *to + 1 > *from + limit)
		*from = *to + 1 - limit;
	if (newest < 0 && *to + 1 > *from + limit)
		*to = *from + limit - 1;
	assert_true(option("piece") > 0);
	more = t.piece > 0 && *to + 1 > *from + t.piece;
	if (more && newest >= 0)
		*from = *to + 1 - t.piece;
	else if (more)
		*to = *from + t.piece - 1;
	return more;
}

static void answer_in_this_turn(void)
{
	uint64_t from, to;
	bool cut = range(&from, &to);
	size_t count = 0, most = to + 1 > from ? (size_t)(to + 1 - from) : 0;
	struct redis_reply epoch = {.type = REDIS_STRING, .text = BYTES_OF_STR(epoch_of(t.stream))};
	struct redis_reply top = {.type = REDIS_INTEGER, .integer = (int64_t)t.top};
	struct redis_reply *parts = mem_alloc((2 * most + 1) * sizeof(*parts));
	const struct redis_reply **list = mem_alloc((2 * most + 1) * sizeof(*list));
	struct redis_reply entries = {.type = REDIS_ARRAY, .elements = list};
	struct redis_reply more = {.type = REDIS_INTEGER, .integer = cut};
	const struct redis_reply *const four[] = {&epoch, &top, &entries, &more};
	const struct redis_reply reply = {.type = REDIS_ARRAY, .elements = four, .count = 4};

	assert_non_null(strstr(fake_redis_call(), "FCALL fanfare_history 1 pre:news"));
	t.reads++;
	for (uint64_t n = from; n <= to; n++) {
		char *payload;

		parts[count] = (struct redis_reply){.type = REDIS_INTEGER, .integer = (int64_t)n};
		payload = payload_of(n);
		parts[count + 1] = (struct redis_reply){.type = REDIS_STRING, .text = BYTES_OF_STR(payload)};
		list[count] = &parts[count];
		list[count + 1] = &parts[count + 1];
		count += 2;
	}
	entries.count = count;
	fake_redis_answer(&reply);
	for (size_t i = 1; i < count; i += 2)
		mem_free((void *)parts[i].text.ptr);
	mem_free(parts);
	mem_free(list);
}

static void end_turns(void)
{
	while (hub_end_turn(t.hub))
		continue;
}

/* Carries the oldest read out, and answers it; what can go on then does. */
static void answer(void)
{
	answer_in_this_turn();
	end_turns();
}

static void answer_all(void)
{
	while (fake_redis_calls() > 0)
		answer();
}

/* --- set up --- */

static int setup(void **state)
{
	const struct hub_events events = {
		.deliver = on_deliver,
		.subscribed = on_subscribed,
		.lost = on_lost,
		.turn_began = on_turn_began,
		.ready = on_ready,
		.ctx = &t,
	};

	clock_freeze(1000000, 1700000000000);
	memset(&t, 0, sizeof(t));
	t.stream = 1;
	t.first = 1;
	t.config.redis.prefix = prefix;
	t.config.history.cache_size = 1 << 20;
	t.config.client.queue_max_size = 1 << 20;
	t.config.client.recovery_max_publication_limit = LIMIT;
	t.config.client.channel_position_check_delay_ms = CHECK_MS;
	t.config.channel.without_namespace.history_size = 100;
	t.config.channel.without_namespace.history_ttl_ms = 60000;
	t.config.channel.without_namespace.history_meta_ttl_ms = 600000;
	t.deflater = deflater_new();
	t.hub = hub_new(NULL, &t.config, NULL, "node", NULL, t.deflater, &events);
	return 0;
}

static int teardown(void **state)
{
	for (int i = 0; i < CLIENTS; i++)
		hub_unsubscribe(t.hub, &t.clients[i].s);
	assert_int_equal(hub_channel_count(t.hub), 0);
	lose_link();
	hub_free(&t.hub);
	deflater_free(&t.deflater);
	return 0;
}

static void pass_time(uint64_t ms)
{
	clock_freeze(clock_ms() + ms, clock_unix_ms() + ms);
}

static const struct want positioned = {.positioned = true};

static struct want recover(uint64_t offset, const char *epoch)
{
	return (struct want){
		.positioned = true, .recover = true, .offset = offset, .epoch = BYTES_OF_STR(epoch)};
}

static void publish_many(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		publish();
}

/* A live subscriber, at the top. */
static void go_live(struct client *c)
{
	if (!subscribe(c, &positioned)) {
		fake_redis_confirm_next();
		answer_all();
	}
	begin(c);
	assert_int_equal(c->position, t.top);
}

/* The channel had its share of this turn. */
static void overload(void)
{
	backlog_spend(&t.hub->backlog, hub_find_channel(t.hub, BYTES_OF_STR(channel)), BACKLOG_CHANNEL);
}

/* --- tests --- */

enum { QUERIES = 24 };
static struct hub_history *queries[QUERIES];
static enum error_code outcomes[QUERIES]; /* of those that are over */

static void on_queried(void *arg, enum error_code error, const struct history_result *result)
{
	int i = (int)(intptr_t)arg;

	assert_non_null(queries[i]);
	assert_true((error == ERROR_NONE) == (result != NULL));
	queries[i] = NULL;
	outcomes[i] = error;
}

static void start_query(int i, uint32_t limit, const char *epoch)
{
	const struct hub_history_query query = {
		.options = &t.config.channel.without_namespace, .limit = limit, .epoch = BYTES_OF_STR(epoch)};

	queries[i] = hub_history(t.hub, BYTES_OF_STR(channel), &query, on_queried, (void *)(intptr_t)i);
}

/* Each asks for something else. */
static void start_queries(void)
{
	t.config.redis.call_timeout_ms = 5000;
	for (int i = 0; i < 6; i++)
		start_query(i, 10 + (uint32_t)i, "ep1");
}

static void what_clients_ask_is_read_a_few_at_a_time(void **state)
{
	publish_many(3);
	lose_link();
	start_queries();
	assert_int_equal(fake_redis_calls(), 4);
	hub_history_cancel(&queries[5]);
	assert_int_equal(fake_redis_calls(), 4);
	hub_history_cancel(&queries[0]);
	assert_int_equal(fake_redis_calls(), 4);
	assert_int_equal(option("limit"), 11);
	answer_all();
	for (int i = 1; i < 5; i++) {
		assert_null(queries[i]);
		assert_int_equal(outcomes[i], ERROR_NONE);
	}
}

/* What is on its way may have been carried out before the question came. */
static void who_asks_for_the_same_shares_what_was_not_sent_yet(void **state)
{
	publish_many(3);
	lose_link();
	t.config.redis.call_timeout_ms = 5000;
	for (int i = 0; i < 16; i++)
		start_query(i, 10, i == 5 ? "another" : "ep1");
	assert_int_equal(fake_redis_calls(), 4);
	hub_history_cancel(&queries[6]);
	for (int i = 0; i < 4; i++)
		answer();
	assert_int_equal(fake_redis_calls(), 2);
	answer();
	assert_null(queries[11]);
	assert_non_null(queries[12]);
	hub_history_cancel(&queries[12]);
	hub_history_cancel(&queries[13]);
	answer();
	assert_int_equal(fake_redis_calls(), 0);
	for (int i = 0; i < 16; i++)
		assert_null(queries[i]);
	assert_int_equal(outcomes[5], ERROR_UNRECOVERABLE_POSITION);
	assert_int_equal(outcomes[4], ERROR_NONE);
	assert_int_equal(outcomes[15], ERROR_NONE);
}

static void cancel_all_but(void *arg, enum error_code error, const struct history_result *result)
{
	queries[(intptr_t)arg] = NULL;
	for (int i = 0; i < QUERIES; i++)
		hub_history_cancel(&queries[i]);
}

/* A session that ends as it is answered takes its others along; here all of them are one's. */
static void who_is_answered_may_take_others_back(void **state)
{
	const struct hub_history_query query = {.options = &t.config.channel.without_namespace};

	for (int i = 0; i < 12; i++)
		queries[i] = hub_history(t.hub, BYTES_OF_STR(channel), &query, cancel_all_but,
		                         (void *)(intptr_t)i);
	answer_all();
	for (int i = 0; i < 12; i++)
		queries[i] = hub_history(t.hub, BYTES_OF_STR(channel), &query, cancel_all_but,
		                         (void *)(intptr_t)i);
	for (int i = 0; i < 4; i++)
		hub_history_cancel(&queries[i]);
	answer_all();
	for (int i = 0; i < 12; i++)
		assert_null(queries[i]);
}

static void what_clients_ask_for_is_no_more_than_a_piece(void **state)
{
	t.config.client.queue_max_size = 5000;
	start_query(0, 300, "");
	assert_int_equal(option("piece"), 5000);
	answer_all();
	t.config.client.queue_max_size = 1 << 30;
	start_query(0, 300, "");
	assert_int_equal(option("piece"), 1 << 20);
	answer_all();
}

static void what_clients_ask_does_not_wait_for_ever(void **state)
{
	publish_many(3);
	lose_link();
	start_queries();
	pass_time(5000);
	hub_tick(t.hub);
	assert_non_null(queries[4]);
	pass_time(1);
	hub_tick(t.hub);
	assert_null(queries[4]);
	assert_null(queries[5]);
	assert_int_equal(outcomes[4], ERROR_INTERNAL);
	while (fake_redis_calls() > 0)
		fake_redis_answer(NULL);
	assert_int_equal(outcomes[0], ERROR_INTERNAL);
	start_queries();
	assert_int_equal(fake_redis_calls(), 4);
	answer_all();
	assert_int_equal(outcomes[5], ERROR_NONE);
}

static void who_asks_late_does_not_share_what_is_about_to_be_given_up(void **state)
{
	start_queries();
	pass_time(2500);
	start_query(6, 15, "ep1");
	pass_time(1);
	start_query(7, 15, "ep1");
	start_query(8, 15, "ep1");
	pass_time(2500);
	hub_tick(t.hub);
	assert_null(queries[5]);
	assert_null(queries[6]);
	assert_non_null(queries[7]);
	assert_non_null(queries[8]);
	for (int i = 0; i < 4; i++)
		answer();
	assert_int_equal(fake_redis_calls(), 1);
	answer();
	assert_int_equal(outcomes[6], ERROR_INTERNAL);
	assert_int_equal(outcomes[7], ERROR_NONE);
	assert_int_equal(outcomes[8], ERROR_NONE);
}

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
	answer_all();
	t.top++;
	assert_int_equal(c->position, 8);
	publish();
	arrive_all();
	assert_int_equal(c->position, 9);
	assert_false(c->lost);
}

/* After a failover that lost writes others came under the same offsets. */
static void a_stream_that_parted_is_a_loss(void **state)
{
	struct client *c = &t.clients[0];

	go_live(c);
	publish_many(5);
	arrive_all();
	t.top = 3;
	t.writes_lost++;
	publish_many(4);
	lose_link();
	fake_redis_confirm("pre:news");
	answer_all();
	assert_true(c->lost);
}

/* A master that has a successor and does not know it yet may tell of one more publication, which comes
 * through the successor. What that one tells later of the same offset must not be taken for a repetition. */
static void a_stream_that_parts_before_our_eyes_is_a_loss(void **state)
{
	struct client *c = &t.clients[0];

	for (unsigned behind = 1; behind <= 2; behind++) {
		go_live(c);
		publish_many(5);
		arrive_all();
		t.top -= behind;
		t.writes_lost++;
		publish();
		assert_int_equal(fake_redis_calls(), 0);
		arrive_all();
		assert_int_equal(fake_redis_calls(), 1);
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

static const char removal[] = "{\"fanfare\":1,\"history_removed\":true}";

/* The read was carried out before the removal, and is answered after the message that tells of it. */
static void what_is_removed_while_it_is_read_does_not_come_back(void **state)
{
	struct client *c = &t.clients[0];
	struct want want = recover(2, "ep1");

	publish_many(5);
	lose_link();
	assert_false(subscribe(c, &want));
	fake_redis_confirm("pre:news");
	fake_redis_message("pre:news", removal);
	answer();
	assert_false(c->told);
	t.first = 6;
	answer();
	assert_false(begin(c));
	assert_int_equal(c->count, 0);
	assert_int_equal(c->position, 5);
}

static void what_is_removed_while_messages_are_held_does_not_come_back(void **state)
{
	struct want want = recover(3, "ep1");

	go_live(&t.clients[0]);
	publish_many(3);
	arrive_all();
	fake_redis_confirm("pre:news");
	publish();
	arrive_all();
	fake_redis_message("pre:news", removal);
	answer();
	assert_int_equal(t.clients[0].position, 4);
	t.first = 5;
	assert_false(subscribe(&t.clients[1], &want));
	answer_all();
	assert_false(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 0);
	/* What comes after that is kept again. */
	publish();
	arrive_all();
	want = recover(4, "ep1");
	assert_true(subscribe(&t.clients[2], &want));
	assert_true(begin(&t.clients[2]));
	assert_int_equal(t.clients[2].count, 1);
}

/* As much waits as there is room for, and more comes in each turn. */
static void a_removal_is_heard_however_much_waits(void **state)
{
	enum { SIZE = 1 << 20 };
	struct want want = recover(3, "ep1");
	char *plain = mem_alloc(SIZE + 1);

	go_live(&t.clients[0]);
	publish_many(10);
	arrive_all();
	overload();
	memset(plain, ' ', SIZE);
	plain[0] = '1';
	for (int i = 0; i < BACKLOG_BYTES / SIZE; i++)
		fake_redis_message("pre:news", plain);
	mem_free(plain);
	fake_redis_message("pre:news", removal);
	t.first = t.top + 1;
	assert_false(subscribe(&t.clients[1], &want));
	end_turns();
	answer_all();
	assert_false(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 0);
}

static void what_waited_when_a_history_was_removed_does_not_come_back(void **state)
{
	struct want before = recover(3, "ep1"), after = recover(4, "ep1");

	go_live(&t.clients[0]);
	publish_many(3);
	arrive_all();
	overload();
	publish();
	arrive_all();
	fake_redis_message("pre:news", removal);
	t.first = 5;
	publish();
	arrive_all();
	end_turns();
	assert_int_equal(t.clients[0].position, 5);
	assert_true(subscribe(&t.clients[1], &after));
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 1);
	assert_false(subscribe(&t.clients[2], &before));
	answer_all();
	assert_false(begin(&t.clients[2]));
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

/* While a read is on its way more comes than is held: it is read from the history, after that. */
static void what_is_too_much_to_hold_is_read_again(void **state)
{
	enum { LARGE = 1 << 20, COUNT = 40 };
	struct client *c = &t.clients[0];
	char *large = mem_alloc(LARGE + 200);

	go_live(c);
	publish_many(2);
	lose_link();
	publish();
	arrive_all();
	assert_int_equal(fake_redis_calls(), 1);
	for (int i = 0; i < COUNT; i++) {
		int len;

		publish();
		len = snprintf(large, 200, "{\"fanfare\":1,\"offset\":%llu,\"epoch\":\"ep1\",\"data\":\"",
		               (unsigned long long)t.top);
		memset(large + len, 'x', LARGE);
		memcpy(large + len + LARGE, "\"}", 3);
		fake_redis_message("pre:news", large);
	}
	lose_link();
	assert_int_equal(c->count, 0);
	answer_all();
	assert_int_equal(c->count, 3 + COUNT);
	assert_int_equal(c->position, t.top);
	assert_false(c->lost);
	mem_free(large);
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

static void whoever_leaves_during_a_read_takes_it_along(void **state)
{
	subscribe(&t.clients[0], &positioned);
	fake_redis_confirm("pre:news");
	assert_int_equal(fake_redis_calls(), 1);
	hub_unsubscribe(t.hub, &t.clients[0].s);
	assert_int_equal(fake_redis_calls(), 0);
	assert_int_equal(hub_channel_count(t.hub), 0);
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

/* --- everything at random --- */

static uint32_t random_state;

static unsigned dice(unsigned sides)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % sides;
}

static void somebody_comes_or_goes(void)
{
	struct client *c = &t.clients[dice(CLIENTS)];
	bool recovers = dice(2) == 0;
	struct want want = {.positioned = true, .recover = recovers, .offset = c->position};
	char epoch[16];

	if (c->s.channel != NULL) {
		hub_unsubscribe(t.hub, &c->s);
		return;
	}
	snprintf(epoch, sizeof(epoch), "%s", epoch_of(c->stream));
	want.epoch = BYTES_OF_STR(epoch);
	subscribe(c, &want);
}

static void somebody_begins(void)
{
	struct client *c = &t.clients[dice(CLIENTS)];

	if (c->s.channel != NULL && c->told && !c->s.live)
		begin(c);
}

static void redis_loses_something(void)
{
	switch (dice(3)) {
	case 0:
		t.stream++;
		t.top = 0;
		t.first = 1;
		break;
	case 1: t.first = t.top + 1; break;
	default:
		if (t.top > t.first + 3) {
			t.top -= 1 + dice(3);
			t.writes_lost++;
		}
		break;
	}
	lose_link();
	if (fake_redis_has_sub("pre:news"))
		fake_redis_confirm("pre:news");
}

static void history_is_removed(void)
{
	t.first = t.top + 1;
	assert_true(t.link_to < LINK_MAX);
	t.link[t.link_to++] = mem_printf("%s", removal);
}

static void a_turn_ends(void)
{
	if (!hub_end_turn(t.hub) && t.clients[0].s.channel != NULL && dice(2) == 0)
		overload();
}

static void step(void)
{
	switch (dice(42)) {
	case 0: somebody_comes_or_goes(); return;
	case 1: redis_loses_something(); return;
	case 2:
		lose_link();
		if (fake_redis_has_sub("pre:news"))
			fake_redis_confirm("pre:news");
		return;
	case 3:
		if (fake_redis_calls() > 0)
			fake_redis_answer(NULL);
		return;
	case 4:
		pass_time(dice(3) * 10000);
		hub_tick(t.hub);
		return;
	case 5: fake_redis_confirm_next(); return;
	case 6: somebody_begins(); return;
	case 7: a_turn_ends(); return;
	case 8:
		if (dice(5) == 0)
			history_is_removed();
		return;
	default: break;
	}
	switch (dice(4)) {
	case 0: publish(); return;
	case 1:
		if (fake_redis_calls() > 0)
			answer_in_this_turn();
		return;
	default: arrive(); return;
	}
}

/* Nothing fails any more: all arrive at the top of the stream that there is. */
static void come_to_rest(void)
{
	for (int i = 0; i < 10; i++) {
		fake_redis_confirm_next();
		arrive_all();
		end_turns();
		hub_tick(t.hub);
		answer_all();
	}
	publish();
	arrive_all();
	end_turns();
	answer_all();
	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &t.clients[i];

		if (c->s.channel == NULL)
			continue;
		assert_true(c->told);
		if (!c->s.live)
			begin(c);
		assert_int_equal(c->position, t.top);
	}
}

static void nothing_is_lost_at_random(void **state)
{
	for (uint32_t seed = 1; seed <= 3000; seed++) {
		random_state = seed;
		t.config.channel.without_namespace.history_size = 5 + (int)dice(60);
		t.config.history.cache_size = 200 + dice(20000);
		t.piece = dice(3) == 0 ? 2 + dice(5) : 0;
		t.crowd = dice(2) == 0 ? BACKLOG_VISIT / (1 + dice(5)) : 0;
		for (int i = 0; i < 400; i++)
			step();
		come_to_rest();
		teardown(NULL);
		setup(NULL);
	}
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
		TEST(the_first_subscriber_learns_the_position),
		TEST(what_comes_during_the_first_read_is_delivered_once),
		TEST(a_repeated_publication_is_dropped),
		TEST(what_more_comes_than_can_be_delivered_is_read_again),
		TEST(a_gap_is_filled_before_what_follows),
		TEST(a_quiet_channel_is_read_after_a_loss_of_the_link),
		TEST(a_link_lost_during_a_read_is_followed_by_another_read),
		TEST(a_long_gap_is_read_in_pieces),
		TEST(what_is_filled_in_is_of_the_share_of_a_turn),
		TEST(what_is_filled_in_when_a_turn_is_full_is_a_visit),
		TEST(who_has_many_subscribers_reads_little_at_once),
		TEST(what_comes_during_a_read_is_of_the_share_of_a_turn),
		TEST(what_cannot_be_filled_is_told_to_those_who_watch),
		TEST(a_history_that_has_timed_out_is_a_loss),
		TEST(another_epoch_is_a_loss),
		TEST(a_made_up_publication_harms_nobody),
		TEST(a_redis_that_fell_back_is_a_loss),
		TEST(what_waits_when_a_server_is_replaced_is_what_its_successor_has),
		TEST(a_stream_that_parted_is_a_loss),
		TEST(a_stream_that_parts_before_our_eyes_is_a_loss),
		TEST(a_stray_of_another_master_is_dropped),
		TEST(what_clients_ask_is_read_a_few_at_a_time),
		TEST(what_clients_ask_does_not_wait_for_ever),
		TEST(who_asks_for_the_same_shares_what_was_not_sent_yet),
		TEST(who_asks_late_does_not_share_what_is_about_to_be_given_up),
		TEST(who_is_answered_may_take_others_back),
		TEST(what_clients_ask_for_is_no_more_than_a_piece),
		TEST(what_is_removed_while_it_is_read_does_not_come_back),
		TEST(what_is_removed_while_messages_are_held_does_not_come_back),
		TEST(a_removal_is_heard_however_much_waits),
		TEST(what_waited_when_a_history_was_removed_does_not_come_back),
		TEST(publications_without_an_offset_keep_their_place),
		TEST(recoveries_are_answered_from_memory),
		TEST(recoveries_share_one_read),
		TEST(what_was_missed_is_read_in_pieces),
		TEST(no_piece_is_read_twice),
		TEST(pieces_go_on_before_what_is_kept),
		TEST(pieces_end_where_the_history_does),
		TEST(pieces_of_two_streams_are_not_put_together),
		TEST(what_is_not_in_memory_is_read),
		TEST(a_position_that_cannot_be_reached_is_not_recovered),
		TEST(a_client_may_be_ahead_of_the_worker),
		TEST(a_read_that_fails_is_tried_again),
		TEST(an_old_position_is_checked),
		TEST(what_is_too_much_to_hold_is_read_again),
		TEST(memory_does_not_outlive_the_history),
		TEST(whoever_leaves_during_a_read_takes_it_along),
		TEST(a_cache_gives_the_newest),
		TEST(an_answer_of_another_kind_is_none),
		TEST(what_others_put_into_the_stream_is_left_out),
		TEST(nothing_is_lost_at_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
