/* A subscription that is wanted, lingers, or is on its way out, and its state on each of the two feeds. Plain
 * data between redis_subs, redis_feed and redis_handover. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "list.h"

enum { REDIS_FEEDS = 2 };

/* What the owner of a subscription holds: the first member of whatever stands for it. */
struct redis_sub {
	const struct redis_sub_face *face;
};

struct redis_sub_face {
	bool (*confirmed)(const struct redis_sub *s);
	void (*close)(struct redis_sub *s);
};

struct node_sub {
	struct redis_sub handle;
	struct redis_subs *subs;
	void *owner;
	bool open;  /* somebody listens; otherwise it lingers, or its UNSUBSCRIBE is on its way */
	bool told;  /* the owner knows that messages come, or would if it opened it again */
	bool alone; /* a command that held it was refused: it goes alone, to find out which one it was */
	struct {
		struct list dirty;  /* in the feed's list of what is to be sent */
		uint32_t in_flight; /* confirmations to come */
		bool on;            /* the last that was sent is SUBSCRIBE */
		bool refused;       /* Redis does not allow this channel */
	} at[REDIS_FEEDS];
	struct list linger;
	uint64_t linger_until_ms;
	struct list tell; /* to be told of its confirmation in a moment */
	struct bytes channel;
	char name[];
};

static inline bool redis_sub_wanted(const struct node_sub *s)
{
	return s->open || list_linked(&s->linger);
}

static inline bool redis_sub_on(const struct node_sub *s, unsigned slot)
{
	return s->at[slot].on && s->at[slot].in_flight == 0 && !s->at[slot].refused;
}

/* The feed is gone, and with it everything it had. */
static inline void redis_sub_reset(struct node_sub *s, unsigned slot)
{
	list_remove(&s->at[slot].dirty);
	s->at[slot].in_flight = 0;
	s->at[slot].on = false;
	s->at[slot].refused = false;
}
