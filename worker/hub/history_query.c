/* What clients ask of a history: one read each, of what Redis has. Has nothing to do with the positions that
 * this worker keeps. */
#include <stdio.h>

#include "buf.h"
#include "config.h"
#include "history.h"
#include "history_reply.h"
#include "hub_internal.h"
#include "log.h"
#include "mem.h"
#include "publications.h"

enum { NUMBER_MAX = 24 };

struct hub_history {
	struct redis_call *call;
	void (*done)(void *arg, enum error_code error, const struct history_result *result);
	void *arg;
	bool reverse;
	struct bytes epoch; /* that it must have; stands behind */
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

static void on_reply(void *arg, const struct redis_reply *reply)
{
	static struct log_limit limit;
	struct hub_history *q = arg;
	struct history_reply history;
	struct bytes reason;

	if (!history_reply_read(reply, q->reverse, &history, &reason)) {
		if (reason.len > 0 && log_allowed(&limit))
			log_error("cannot read a history: %.*s", BYTES_FMT(reason));
		q->done(q->arg, ERROR_INTERNAL, NULL);
	} else if (q->epoch.len > 0 && !bytes_eq(q->epoch, history.epoch)) {
		q->done(q->arg, ERROR_UNRECOVERABLE_POSITION, NULL);
	} else {
		answer(q, &history);
	}
	history_reply_free(&history);
	mem_free(q);
}

static struct bytes number(char text[NUMBER_MAX], uint64_t n)
{
	return (struct bytes){text, (size_t)snprintf(text, NUMBER_MAX, "%llu", (unsigned long long)n)};
}

static void send(struct hub *h, struct hub_history *q, struct bytes name,
                 const struct hub_history_query *query)
{
	char meta_ttl[NUMBER_MAX], limit[NUMBER_MAX], since[NUMBER_MAX];
	struct bytes argv[9];
	size_t argc = 0;

	argv[argc++] = name;
	argv[argc++] = BYTES("meta_ttl");
	argv[argc++] = number(meta_ttl, query->options->history_meta_ttl_ms / 1000);
	argv[argc++] = BYTES("limit");
	argv[argc++] = number(limit, query->limit);
	if (query->has_since) {
		argv[argc++] = BYTES("since");
		argv[argc++] = number(since, query->since < OFFSET_MAX ? query->since : OFFSET_MAX);
	}
	if (query->reverse) {
		argv[argc++] = BYTES("reverse");
		argv[argc++] = BYTES("1");
	}
	q->call = redis_fcall(h->redis, "fanfare_history", argv, argc, on_reply, q);
}

struct hub_history *
hub_history(struct hub *h, struct bytes channel, const struct hub_history_query *query,
            void (*done)(void *arg, enum error_code error, const struct history_result *result), void *arg)
{
	struct bytes epoch = bytes_first(query->epoch, EPOCH_MAX + 1);
	struct hub_history *q = mem_alloc(sizeof(*q) + epoch.len);
	struct buf name;

	q->done = done;
	q->arg = arg;
	q->reverse = query->reverse;
	q->epoch = (struct bytes){q->text, epoch.len};
	if (epoch.len > 0)
		memcpy(q->text, epoch.ptr, epoch.len);
	buf_init(&name, h->prefix.len + channel.len);
	buf_put_bytes(&name, h->prefix);
	buf_put_bytes(&name, channel);
	if (buf_ok(&name)) {
		send(h, q, buf_bytes(&name), query);
	} else {
		mem_free(q);
		q = NULL;
	}
	buf_free(&name);
	return q;
}

void hub_history_cancel(struct hub_history **q)
{
	if (*q == NULL)
		return;
	redis_call_cancel(&(*q)->call);
	mem_free(*q);
	*q = NULL;
}
