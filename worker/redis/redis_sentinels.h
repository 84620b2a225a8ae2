/* Where the master is that Redis Sentinels watch over. Asks all of them, those of the configuration and those
 * that they know, at the same time, so that one that is dead or slow delays nothing.
 *
 * Whom to believe, when they disagree: the one whose configuration is the newest (each failover has a higher
 * epoch); among those of one epoch, the majority; otherwise nothing changes. What is not confirmed any more
 * is forgotten after some seconds, but the master stays while nobody names another one: Redis does without
 * its sentinels. And no place is the master before it has said so itself (ROLE), over a connection of its
 * own, until which the old one stays in use: a stale or lying sentinel leads nobody astray that is served
 * well. */
#pragma once

#include "loop.h"
#include "redis.h"
#include "redis_endpoint.h"

struct redis_sentinels;

enum {
	SENTINELS_MAX = 16,
	/* At the start, after the first answer, the others are waited for: the first may be the stale one. */
	SENTINELS_GRACE_MS = 250,
	SENTINELS_ANSWER_KEPT_MS = 5000,
	/* A master that is just being made is asked so often, and for so long. */
	SENTINELS_CANDIDATE_RETRY_MS = 50,
	SENTINELS_CANDIDATE_MS = 5000,
	SENTINELS_RETRY_MS = 200, /* one that does not let us in */
	/* Between one change and the next, however often the sentinels change their minds. */
	SENTINELS_CHANGE_MS = 1000,
	/* One that was not in the configuration is forgotten when nobody has named it for so long. */
	SENTINELS_PEER_KEPT_MS = 60000,
};

/* Asks from now on. on_master: there is a master, or another one than before; redis_sentinels_endpoint()
 * says which. Not from within any function here. config and tls are lent; name, of our connections, is
 * copied. */
struct redis_sentinels *redis_sentinels_new(struct loop *loop, const struct config *config,
                                            const struct redis_tls *tls, const char *name,
                                            void (*on_master)(void *ctx), void *ctx);
void redis_sentinels_free(struct redis_sentinels **sentinels);
/* How to connect to the master; while none is known, an endpoint with the error, whose text lives, and
 * changes, as long as the sentinels do. Free with redis_endpoint_free(). */
void redis_sentinels_endpoint(const struct redis_sentinels *all, struct redis_endpoint *out);
/* The master has trouble: asks all of them at once. */
void redis_sentinels_ask(struct redis_sentinels *all);
