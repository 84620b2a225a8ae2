/* What clients ask of a history: one read each, of what Redis has. Has nothing to do with the positions that
 * this worker keeps. */
#include "history_query.h"

#include <string.h>

#include "clock.h"
#include "config.h"
#include "history.h"
#include "history_reply.h"
#include "hub_internal.h"
#include "log.h"
#include "mem.h"
#include "publications.h"
#include "redis_args.h"

/* QUERIES_MAX: on their way at once. An answer has up to 16 MiB (functions.lua). */
enum { QUERIES_MAX = 4 };

struct hub_history {
	struct hub *hub;
	struct list node; /* in hub->queries.waiting until it is sent */
	uint64_t made_ms;
	struct redis_call *call; /* NULL: it waits */
	void (*done)(void *arg, enum error_code error, const struct history_result *result);
	void *arg;
	struct hub_history_query query; /* the epoch stands behind */
	struct bytes name;              /* in Redis; behind that */
	char text[];
};

static void answer(const struct hub_history *q, const struct history_reply *reply)
{
	struct history_result result = {.epoch = reply->epoch, .offset = reply->top};
	struct publications pubs;
	const char *reason;

	publications_init(&pubs);
	for (size_t i = 0; i < reply->count; i++) {
		if (!publications_add(&pubs, reply->entries[i].offset, reply->entries[i].payload, &reason))
			log_debug("a history holds what is no publication: %s", reason);
	}
	result.publications = pubs.items;
	result.publication_count = pubs.count;
	q->done(q->arg, ERROR_NONE, &result);
	publications_free(&pubs);
}

static void pump(struct hub *h);

static void on_reply(void *arg, const struct redis_reply *reply)
{
	static struct log_limit limit;
	struct hub_history *q = arg;
	struct hub *h = q->hub;
	struct history_reply history;
	struct bytes reason;

	h->queries.in_flight--;
	if (!history_reply_read(reply, q->query.reverse, &history, &reason)) {
		if (reason.len > 0 && log_allowed(&limit))
			log_error("cannot read a history: %.*s", BYTES_FMT(reason));
		q->done(q->arg, ERROR_INTERNAL, NULL);
	} else if (q->query.epoch.len > 0 && !bytes_eq(q->query.epoch, history.epoch)) {
		q->done(q->arg, ERROR_UNRECOVERABLE_POSITION, NULL);
	} else {
		answer(q, &history);
	}
	history_reply_free(&history);
	mem_free(q);
	/* Where calls are refused at once, the others wait for the next tick. */
	if (reply != NULL)
		pump(h);
}

static void send(struct hub_history *q)
{
	const struct hub_history_query *query = &q->query;
	char meta_ttl[REDIS_NUMBER_MAX], limit[REDIS_NUMBER_MAX], since[REDIS_NUMBER_MAX];
	struct bytes argv[9];
	size_t argc = 0;

	argv[argc++] = q->name;
	argv[argc++] = BYTES("meta_ttl");
	argv[argc++] = redis_number(meta_ttl, query->options->history_meta_ttl_ms / 1000);
	argv[argc++] = BYTES("limit");
	argv[argc++] = redis_number(limit, query->limit);
	if (query->has_since) {
		argv[argc++] = BYTES("since");
		argv[argc++] = redis_number(since, query->since < OFFSET_MAX ? query->since : OFFSET_MAX);
	}
	if (query->reverse) {
		argv[argc++] = BYTES("reverse");
		argv[argc++] = BYTES("1");
	}
	q->hub->queries.in_flight++;
	q->call = redis_fcall(q->hub->redis, "fanfare_history", argv, argc, on_reply, q);
}

static void pump(struct hub *h)
{
	struct list *node;

	while (h->queries.in_flight < QUERIES_MAX && (node = list_pop(&h->queries.waiting)) != NULL)
		send(container_of(node, struct hub_history, node));
}

void history_queries_init(struct history_queries *q)
{
	*q = (struct history_queries){0};
	list_init(&q->waiting);
}

static struct hub_history *first(const struct hub *h)
{
	return list_empty(&h->queries.waiting)
	               ? NULL
	               : container_of(h->queries.waiting.next, struct hub_history, node);
}

void history_queries_tick(struct hub *h)
{
	struct hub_history *q;

	pump(h);
	while ((q = first(h)) != NULL && clock_ms() - q->made_ms > h->config->redis.call_timeout_ms) {
		list_remove(&q->node);
		q->done(q->arg, ERROR_INTERNAL, NULL);
		mem_free(q);
	}
}

static struct bytes keep(char *text, struct bytes first, struct bytes second)
{
	if (first.len > 0)
		memcpy(text, first.ptr, first.len);
	if (second.len > 0)
		memcpy(text + first.len, second.ptr, second.len);
	return (struct bytes){text, first.len + second.len};
}

struct hub_history *
hub_history(struct hub *h, struct bytes channel, const struct hub_history_query *query,
            void (*done)(void *arg, enum error_code error, const struct history_result *result), void *arg)
{
	/* One that is longer than any is as good as cut. */
	struct bytes epoch = bytes_first(query->epoch, EPOCH_MAX + 1);
	struct hub_history *q = mem_try_alloc(sizeof(*q) + epoch.len + h->prefix.len + channel.len);

	if (q == NULL)
		return NULL;
	*q = (struct hub_history){.hub = h, .made_ms = clock_ms(), .done = done, .arg = arg, .query = *query};
	q->query.epoch = keep(q->text, epoch, BYTES_NONE);
	q->name = keep(q->text + epoch.len, h->prefix, channel);
	list_init(&q->node);
	list_append(&h->queries.waiting, &q->node);
	pump(h);
	return q;
}

void hub_history_cancel(struct hub_history **q)
{
	struct hub *h;

	if (*q == NULL)
		return;
	h = (*q)->hub;
	list_remove(&(*q)->node);
	if ((*q)->call != NULL) {
		redis_call_cancel(&(*q)->call);
		h->queries.in_flight--;
	}
	mem_free(*q);
	*q = NULL;
	pump(h);
}
