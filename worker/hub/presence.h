/* What Redis knows of the members of the channels here (functions.lua, fanfare_presence_update): who came and
 * left is told there, in order, a call of a channel at a time with all that has gathered meanwhile. Nothing
 * is kept for a member; what Redis has is compared with what is here each now and then, and said anew as a
 * whole when it is not the same: after Redis lost it, or when this worker was taken for dead. It is done at
 * once when a channel had no link to Redis for a while: in a failover the new master may lack the latest of
 * it.
 *
 * A subscriber has its answer before Redis is told. When Redis refuses to take it in (out of memory, no
 * permission), it stays subscribed all the same, since the protocol has no word for that but to end the
 * subscription (3004), over and over, and what is published matters more. It comes in, and its join is told,
 * as soon as Redis lets it. Until then the refusals are logged and counted, and who asks this worker for the
 * presence of that channel is not answered with a list that lacks somebody, but with an error. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"
#include "list.h"
#include "map.h"

struct channel;
struct channel_options;
struct config;
struct presence;
struct redis;
struct redis_call;
struct subscription;
struct workers;

/* All of a worker. */
struct presences {
	struct redis *redis;
	struct workers *workers;
	uint64_t interval_ms;
	struct map by_name;  /* also those whose channel is gone, until Redis knows it */
	struct list queue;   /* to be called, when there is room */
	struct list failed;  /* to be tried again */
	struct list checked; /* the longest ago first */
	struct list due;     /* those in which a leave waits to be told */
	size_t in_flight;
};

/* Embedded in who waits until Redis was told of what is behind here; zeroed at birth. */
struct presence_wait {
	struct list node;
	uint64_t mark;
	void (*done)(struct presence_wait *wait);
};

void presences_init(struct presences *all, struct redis *redis, struct workers *workers,
                    const struct config *config);
void presences_free(struct presences *all);
/* Several times a second. */
void presences_tick(struct presences *all);
/* Compares all soon; ctx: the presences. */
void presences_check(void *ctx);
/* Whether there is something that Redis does not know yet. */
bool presences_are_busy(const struct presences *all);

/* That of a channel which was opened. The options are lent. */
struct presence *presence_open(struct presences *all, struct channel *ch,
                               const struct channel_options *options);
/* The channel is gone, and all its members with it. Accepts NULL. */
void presence_close(struct presence **p);
/* The subscription, which is live, is a member. */
void presence_join(struct presence *p, struct subscription *s);
/* It is not any more. */
void presence_leave(struct presence *p, struct subscription *s);
/* Redis may have lost what it was told, and not all of it: it is another one, or was away. Told anew, or
 * compared if they are many, at the next tick. Accepts NULL. */
void presence_doubt(struct presence *p);
/* Whether something that happened in the channel here was not sent to Redis yet: then done is called when it
 * was, or could not be, unless presence_forget() comes first; a call that is made then is carried out behind
 * it. */
bool presence_wait(struct presences *all, struct bytes redis_name, struct presence_wait *wait) MUST_CHECK;
/* Whether Redis has not taken what it was told of the channel last, so that what is read there is not true.
 */
bool presence_is_refused(const struct presences *all, struct bytes redis_name) MUST_CHECK;
/* Accepts one that does not wait. */
void presence_forget(struct presence_wait *wait);
