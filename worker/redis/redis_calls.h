/* Calls to Redis over one command link, pipelined: each is answered exactly once (by Redis, or by NULL), or
 * cancelled. Replies come in the order of the calls; a call that is over already stays in the queue without a
 * caller, to take its reply when it comes late. Keeps the link up. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "list.h"
#include "loop.h"
#include "redis.h"
#include "redis_backoff.h"
#include "redis_link.h"

/* What may be under way; calls beyond are answered by NULL. */
enum { REDIS_CALLS_MAX = 64 << 10, REDIS_CALLS_MAX_BYTES = 16 << 20 };
/* A link that has brought nothing for the time of an answer, and then for this, is given up. */
enum { REDIS_CALLS_GRACE_MS = 1000 };
/* One that owes an answer and has brought nothing for this part of its time is doubted: redis_link_doubt().
 */
enum { REDIS_CALLS_DOUBT_PART = 2 };

/* What a caller holds: the first member of whatever stands for his call. */
struct redis_call {
	void (*cancel)(struct redis_call *call);
};

struct redis_calls_events {
	/* The link came up, went down, fell silent or spoke again. */
	void (*on_change)(void *ctx);
	/* A command that does nothing, and that Redis holds back when it holds back calls: as proof in
	 * struct redis_link_use. */
	void (*proof)(void *ctx, struct bytes argv[REDIS_PROOF_WORDS]);
};

struct redis_calls {
	struct loop *loop;
	struct redis_link link;
	struct redis_backoff backoff;
	uint64_t timeout_ms;
	uint64_t silent_since_ms; /* the last link that owed answers: what is alive has been heard since */
	struct list overdue; /* sent, answered by NULL, but not yet by Redis; older than all in waiting */
	struct list waiting; /* sent */
	struct list refused; /* not sent, to be answered by NULL at the end of this turn */
	size_t count;        /* overdue and waiting */
	size_t bytes;
	struct task answer_refused;
	struct timer deadline; /* of the oldest in waiting; or of the link, when all are overdue */
	struct timer retry;
	const struct redis_calls_events *events;
	void *ctx;
};

void redis_calls_init(struct redis_calls *c, struct loop *loop, const struct redis_endpoint *endpoint,
                      const struct config *config, const char *name, const struct redis_calls_events *events,
                      void *ctx);
void redis_calls_free(struct redis_calls *c);
/* For redis_node_leave() and redis_node_arrive(). */
void redis_calls_leave(struct redis_calls *c);
void redis_calls_arrive(struct redis_calls *c);
/* REDIS_FINE, or what is wrong. */
enum redis_trouble redis_calls_trouble(const struct redis_calls *c);

/* As redis_call(). */
struct redis_call *redis_calls_send(struct redis_calls *c, const struct bytes *argv, size_t argc,
                                    void (*done)(void *arg, const struct redis_reply *reply), void *arg);
