/* What clients ask of a history: one read each, of what Redis has. Has nothing to do with the positions that
 * this worker keeps. */
#include "history_query.h"

#include <string.h>

#include "buf.h"
#include "clock.h"
#include "config.h"
#include "history.h"
#include "history_reply.h"
#include "hub_internal.h"
#include "log.h"
#include "map.h"
#include "mem.h"
#include "publications.h"
#include "redis_args.h"

/* READS_MAX: on their way at once. SHARERS_MAX: of one read, as they are all answered in one
 * turn. KEY_MAX: of what stands before the name. */
enum { READS_MAX = 4, SHARERS_MAX = 8, KEY_MAX = 64 };

/* A read, and who waits for it. */
struct history_asked {
	struct hub *hub;
	struct list node; /* in hub->queries.waiting until it is sent */
	uint64_t made_ms;
	struct redis_call *call; /* NULL: it waits */
	struct list askers;
	unsigned asker_count;
	bool answering;
	struct hub_history_query query; /* without the epoch, which each asker has his own of */
	struct bytes name;              /* in Redis; the end of the key */
	struct bytes key;               /* two reads of the same key have the same answer */
	char text[];
};

struct hub_history {
	struct list node; /* in asked->askers */
	struct history_asked *asked;
	void (*done)(void *arg, enum error_code error, const struct history_result *result);
	void *arg;
	size_t epoch_len;
	char epoch[];
};

static void pump(struct hub *h);

/* From now on nobody can join it. */
static void close_to_others(struct history_asked *a)
{
	struct map *open = &a->hub->queries.open;

	if (map_get(open, a->key) == a)
		map_remove(open, a->key);
}

static void asked_free(struct history_asked *a)
{
	close_to_others(a);
	list_remove(&a->node);
	mem_free(a);
}

/* --- answers --- */

/* Answering one may cancel another. */
static void answer_all(struct history_asked *a, enum error_code error, const struct history_result *result)
{
	struct list *node;

	a->answering = true;
	while ((node = list_pop(&a->askers)) != NULL) {
		struct hub_history *q = container_of(node, struct hub_history, node);
		bool fits = error != ERROR_NONE || q->epoch_len == 0 ||
		            bytes_eq((struct bytes){q->epoch, q->epoch_len}, result->epoch);

		if (error != ERROR_NONE || !fits)
			q->done(q->arg, fits ? error : ERROR_UNRECOVERABLE_POSITION, NULL);
		else
			q->done(q->arg, ERROR_NONE, result);
		mem_free(q);
	}
}

static void answer(struct history_asked *a, const struct history_reply *reply)
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
	answer_all(a, ERROR_NONE, &result);
	publications_free(&pubs);
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	static struct log_limit limit;
	struct history_asked *a = arg;
	struct hub *h = a->hub;
	struct history_reply history;
	struct bytes reason;

	h->queries.in_flight--;
	a->call = NULL;
	if (history_reply_read(reply, a->query.reverse, &history, &reason)) {
		answer(a, &history);
	} else {
		if (reason.len > 0 && log_allowed(&limit))
			log_error("cannot read a history: %.*s", BYTES_FMT(reason));
		answer_all(a, ERROR_INTERNAL, NULL);
	}
	history_reply_free(&history);
	asked_free(a);
	/* Where calls are refused at once, the others wait for the next tick. */
	if (reply != NULL)
		pump(h);
}

/* --- reads --- */

/* What one answer may have, so that it fits into the queue of a client; two publications it has in any case.
 */
static size_t piece_of(const struct hub *h)
{
	size_t queue = h->config->client.queue_max_size;

	return queue < HISTORY_PIECE ? queue : HISTORY_PIECE;
}

static void send(struct history_asked *a)
{
	const struct hub_history_query *query = &a->query;
	char meta_ttl[REDIS_NUMBER_MAX], limit[REDIS_NUMBER_MAX], since[REDIS_NUMBER_MAX],
		piece[REDIS_NUMBER_MAX];
	struct bytes argv[11];
	size_t argc = 0;

	close_to_others(a);
	argv[argc++] = a->name;
	argv[argc++] = BYTES("meta_ttl");
	argv[argc++] = redis_number(meta_ttl, query->options->history_meta_ttl_ms / 1000);
	argv[argc++] = BYTES("piece");
	argv[argc++] = redis_number(piece, piece_of(a->hub));
	argv[argc++] = BYTES("limit");
	argv[argc++] = redis_number(limit, query->limit);
	if (query->has_since) {
		argv[argc++] = BYTES("since");
		argv[argc++] = redis_number(since, query->since);
	}
	if (query->reverse) {
		argv[argc++] = BYTES("reverse");
		argv[argc++] = BYTES("1");
	}
	a->hub->queries.in_flight++;
	a->call = redis_fcall(a->hub->redis, "fanfare_history", argv, argc, on_reply, a);
}

static void pump(struct hub *h)
{
	struct list *node;

	while (h->queries.in_flight < READS_MAX && (node = list_pop(&h->queries.waiting)) != NULL)
		send(container_of(node, struct history_asked, node));
}

void history_queries_init(struct history_queries *q)
{
	*q = (struct history_queries){0};
	list_init(&q->waiting);
	map_init(&q->open);
}

void history_queries_free(struct history_queries *q)
{
	map_free(&q->open);
}

static struct history_asked *first(const struct hub *h)
{
	return list_empty(&h->queries.waiting)
	               ? NULL
	               : container_of(h->queries.waiting.next, struct history_asked, node);
}

void history_queries_tick(struct hub *h)
{
	struct history_asked *a;

	pump(h);
	while ((a = first(h)) != NULL && clock_ms() - a->made_ms > h->config->redis.call_timeout_ms) {
		list_remove(&a->node);
		close_to_others(a);
		answer_all(a, ERROR_INTERNAL, NULL);
		asked_free(a);
	}
}

/* --- questions --- */

static void put_key(struct buf *key, const struct hub *h, struct bytes channel,
                    const struct hub_history_query *query)
{
	buf_putf(key, "%u %d %d %llu ", query->limit, query->reverse, query->has_since,
	         (unsigned long long)query->since);
	hub_put_redis_name(h, key, channel);
}

static struct history_asked *asked_new(struct hub *h, struct bytes key, size_t name_len,
                                       const struct hub_history_query *query)
{
	struct history_asked *a = mem_try_alloc(sizeof(*a) + key.len);

	if (a == NULL)
		return NULL;
	*a = (struct history_asked){.hub = h, .made_ms = clock_ms(), .query = *query};
	memcpy(a->text, key.ptr, key.len);
	a->key = (struct bytes){a->text, key.len};
	a->name = bytes_skip(a->key, key.len - name_len);
	list_init(&a->node);
	list_init(&a->askers);
	list_append(&h->queries.waiting, &a->node);
	map_add(&h->queries.open, a->key, a);
	return a;
}

/* Who shares a read has its deadline, so what has waited for half of that is shared no more. */
static struct history_asked *open_for(struct hub *h, struct bytes key)
{
	struct history_asked *a = map_get(&h->queries.open, key);

	if (a == NULL || clock_ms() - a->made_ms <= h->config->redis.call_timeout_ms / 2)
		return a;
	close_to_others(a);
	return NULL;
}

/* One that waits, or a new one. */
static struct history_asked *asked_for(struct hub *h, struct bytes channel,
                                       const struct hub_history_query *query)
{
	struct history_asked *a = NULL;
	struct buf key;

	buf_init(&key, KEY_MAX + h->prefix.len + channel.len);
	put_key(&key, h, channel, query);
	if (buf_ok(&key)) {
		a = open_for(h, buf_bytes(&key));
		if (a == NULL)
			a = asked_new(h, buf_bytes(&key), h->prefix.len + channel.len, query);
	}
	buf_free(&key);
	return a;
}

static struct hub_history *asker_new(struct bytes epoch)
{
	struct hub_history *q = mem_try_alloc(sizeof(*q) + epoch.len);

	if (q == NULL)
		return NULL;
	q->epoch_len = epoch.len;
	if (epoch.len > 0)
		memcpy(q->epoch, epoch.ptr, epoch.len);
	list_init(&q->node);
	return q;
}

static void join(struct history_asked *a, struct hub_history *q)
{
	q->asked = a;
	list_append(&a->askers, &q->node);
	if (++a->asker_count == SHARERS_MAX)
		close_to_others(a);
}

struct hub_history *
hub_history(struct hub *h, struct bytes channel, const struct hub_history_query *query,
            void (*done)(void *arg, enum error_code error, const struct history_result *result), void *arg)
{
	struct hub_history_query what = *query;
	/* One that is longer than any is as good as cut. */
	struct hub_history *q = asker_new(bytes_first(query->epoch, EPOCH_MAX + 1));
	struct history_asked *a;

	if (q == NULL)
		return NULL;
	q->done = done;
	q->arg = arg;
	what.epoch = BYTES_NONE;
	if (what.since > OFFSET_MAX)
		what.since = OFFSET_MAX;
	a = asked_for(h, channel, &what);
	if (a == NULL) {
		mem_free(q);
		return NULL;
	}
	join(a, q);
	pump(h);
	return q;
}

void hub_history_cancel(struct hub_history **q)
{
	struct history_asked *a;
	struct hub *h;

	if (*q == NULL)
		return;
	a = (*q)->asked;
	list_remove(&(*q)->node);
	mem_free(*q);
	*q = NULL;
	if (a->answering || !list_empty(&a->askers))
		return;
	if (a->call != NULL) {
		redis_call_cancel(&a->call);
		a->hub->queries.in_flight--;
	}
	h = a->hub;
	asked_free(a);
	pump(h);
}
