/* Which subscriber connection is listened to, and how it is replaced without losing or doubling a message.
 *
 * One feed is active: what it brings is delivered. When it is doubted (its canary was not heard, a
 * confirmation is overdue), another one, `next`, is made beside it, and the old one goes on being listened
 * to. When everything is confirmed on the next one, a marker is published on the node's own channel, to which
 * both are subscribed. Redis executes one command after the other, so the marker comes at the same point of
 * both streams: messages before it are taken from the old feed, those after it from the new one. The feed
 * that is behind decides when:
 *   - the new one saw the marker, the old one not yet: messages of the new one are held back;
 *   - the old one saw it, the new one not yet: messages of the old one are dropped, the new one brings them.
 * When the old one is silent for too long, or too much is held back, it is given up: then messages may be
 * missing, and every subscription is told again (on_confirmed), so that those above can look after it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "loop.h"
#include "redis_backoff.h"
#include "redis_calls.h"
#include "redis_feed.h"
#include "redis_sub.h"

struct redis_subs;

enum redis_doubt { REDIS_DOUBT_CANARY = 1, REDIS_DOUBT_LATE = 2 };

enum {
	REDIS_HANDOVER_HOLD_BYTES = 8 << 20,
	REDIS_HANDOVER_HOLD_MESSAGES = 64 << 10,
	/* A next feed that owes the marker and brings nothing at all for so long after that was published, is
	 * given up. */
	REDIS_HANDOVER_SILENCE_MS = 1000,
	/* The same for the active one, after the next one has brought the marker: Redis sends it to both in
	   one turn. */
	REDIS_HANDOVER_BEHIND_MS = 500,
	/* The same for one that has brought something since it was doubted: it is late, and not dead. */
	REDIS_HANDOVER_LATE_MS = 3000,
	/* The same for one that goes on bringing other things. */
	REDIS_HANDOVER_WAIT_MS = 15000,
	REDIS_HANDOVER_CHECK_MS = 20,
	/* A marker that could not be published is published again after this. */
	REDIS_HANDOVER_AGAIN_MS = 1000,
};

struct redis_handover {
	struct redis_subs *subs;
	struct redis_feed feeds[REDIS_FEEDS];
	struct redis_feed *active; /* NULL: messages are being missed */
	struct redis_feed *next;   /* NULL: none is being made */
	struct redis_backoff backoff;
	struct timer retry;
	unsigned doubts;     /* enum redis_doubt, of the active one */
	uint64_t doubted_ms; /* since when, if it is */
	struct timer check;

	bool marked; /* the marker is published, or about to be */
	bool seen[REDIS_FEEDS];
	bool gap; /* messages are missed before the marker */
	uint64_t marker_number;
	uint64_t marked_ms;
	uint64_t step_ms; /* when something last happened to the marker: sent, published, seen by a feed */
	char marker[64];
	struct redis_call *publish;
	struct buf hold;
	size_t held;

	enum redis_trouble trouble; /* of the last try */
	char error[REDIS_ERROR_MAX];
};

void redis_handover_init(struct redis_handover *h, struct redis_subs *subs,
                         const struct redis_endpoint *endpoint, const struct config *config,
                         const char *link_name);
/* Closes everything; the states of the subs on the feeds are reset by the caller. */
void redis_handover_free(struct redis_handover *h);
/* What is wanted of the sub may have changed. */
void redis_handover_touch(struct redis_handover *h, struct node_sub *s);
/* Whether messages of the sub arrive and will go on arriving when the feeds change places. */
bool redis_handover_confirmed(const struct redis_handover *h, const struct node_sub *s);
/* For redis_node_leave() and redis_node_arrive(). */
void redis_handover_leave(struct redis_handover *h);
void redis_handover_arrive(struct redis_handover *h);
/* The node's channel, by which the marker goes, is about to be another one. Not from within its callbacks. */
void redis_handover_unmark(struct redis_handover *h);
void redis_handover_doubt(struct redis_handover *h, enum redis_doubt cause);
/* The active feed has proved itself: the next one, if it was made for this, is not needed. */
void redis_handover_trust(struct redis_handover *h, enum redis_doubt cause);
