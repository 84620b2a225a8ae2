/* What the tests of channels with history stand on: a hub over a fake Redis that has a stream of its own:
 * what is published goes into the stream and onto the link; the test decides which messages arrive, when
 * reads are carried out and answered, and what is lost. Included by one test program each. */
#pragma once

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
#include "unused_ok.h"

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
	/* By whom what it has seen of each offset was written, plus one; 0: it has not since it subscribed,
	 * or came back and was told that it has all. */
	unsigned seen[STREAM_MAX];
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
	unsigned written_in[STREAM_MAX]; /* stream at the time */
	size_t piece;                    /* publications that fit into one; 0: all */
	unsigned reads;                  /* carried out */
	unsigned parted;                 /* of these, that end an epoch */
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
	                  (unsigned long long)offset, epoch_of(t.written_in[offset]),
	                  (unsigned long long)offset, t.written_by[offset]);
}

/* --- the subscribers --- */

static void note_seen(struct client *c, const char *text)
{
	unsigned long long n;
	unsigned by;

	for (; (text = strstr(text, "\"n\":")) != NULL; text++) {
		assert_int_equal(sscanf(text, "\"n\":%llu,\"by\":%u", &n, &by), 2);
		assert_true(n < STREAM_MAX);
		c->seen[n] = by + 1;
	}
}

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
		note_seen(c, text);
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
	if (!want->recover)
		memset(c->seen, 0, sizeof(c->seen));
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
	if (!answer.recovered)
		memset(c->seen, 0, sizeof(c->seen));
	c->count = 0;
	buf_putc(&publications, '\0');
	assert_true(buf_ok(&publications));
	if (publications.data != NULL)
		note_seen(c, publications.data);
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
	t.written_in[t.top] = t.stream;
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

static UNUSED_OK void arrive_all(void)
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

/* Answers the oldest read with those from one offset to another. */
static void answer_with(uint64_t from, uint64_t to, bool cut)
{
	size_t count = 0, most = to + 1 > from ? (size_t)(to + 1 - from) : 0;
	char *stream = mem_printf("%s", epoch_of(t.stream));
	struct redis_reply epoch = {.type = REDIS_STRING, .text = BYTES_OF_STR(stream)};
	struct redis_reply top = {.type = REDIS_INTEGER, .integer = (int64_t)t.top};
	struct redis_reply *parts = mem_alloc((2 * most + 1) * sizeof(*parts));
	const struct redis_reply **list = mem_alloc((2 * most + 1) * sizeof(*list));
	struct redis_reply entries = {.type = REDIS_ARRAY, .elements = list};
	struct redis_reply more = {.type = REDIS_INTEGER, .integer = cut};
	const struct redis_reply *const four[] = {&epoch, &top, &entries, &more};
	const struct redis_reply reply = {.type = REDIS_ARRAY, .elements = four, .count = 4};

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
	mem_free(stream);
}

/* Redis ends the epoch, if it still is the one that the oldest read calls parted. */
static void end_epoch(void)
{
	const char *parted = strstr(fake_redis_call(), " parted ");
	unsigned stream;

	if (parted == NULL)
		return;
	assert_int_equal(sscanf(parted, " parted ep%u ", &stream), 1);
	t.parted++;
	if (stream == t.stream)
		t.stream++;
}

static void answer_in_this_turn(void)
{
	uint64_t from, to;
	bool cut = range(&from, &to);

	end_epoch();
	assert_non_null(strstr(fake_redis_call(), "FCALL fanfare_history 1 pre:news"));
	t.reads++;
	answer_with(from, to, cut);
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

static UNUSED_OK void pass_time(uint64_t ms)
{
	clock_freeze(clock_ms() + ms, clock_unix_ms() + ms);
}

static const struct want positioned = {.positioned = true};

static UNUSED_OK struct want recover(uint64_t offset, const char *epoch)
{
	return (struct want){
		.positioned = true, .recover = true, .offset = offset, .epoch = BYTES_OF_STR(epoch)};
}

static UNUSED_OK void publish_many(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		publish();
}

/* A live subscriber, at the top. */
static UNUSED_OK void go_live(struct client *c)
{
	if (!subscribe(c, &positioned)) {
		fake_redis_confirm_next();
		answer_all();
	}
	begin(c);
	assert_int_equal(c->position, t.top);
}

/* The channel had its share of this turn. */
static UNUSED_OK void overload(void)
{
	backlog_spend(&t.hub->backlog, hub_find_channel(t.hub, BYTES_OF_STR(channel)), BACKLOG_CHANNEL);
}

static const char removal[] = "{\"fanfare\":1,\"history_removed\":true}";
