/* The canary: a numbered token that a worker publishes to itself, through Redis, again and again. As long as
 * it comes back in time, what others publish comes too. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "loop.h"
#include "redis_calls.h"
#include "redis_subs.h"

/* Published but not heard after this part of its time, it is late, and the subscriber connection doubted:
 * another one is made beside it, which costs little when it was but slow. */
enum { REDIS_CANARY_LATE_PART = 3 };

struct redis_canary {
	struct loop *loop;
	struct redis_calls *calls;
	struct redis_subs *subs;
	uint64_t interval_ms;
	uint64_t timeout_ms;
	struct timer timer;      /* flying: until it is missed; otherwise until the next one flies */
	struct timer doubt;      /* flying, and published: until it is late */
	struct redis_call *call; /* the PUBLISH under way */
	uint64_t number;
	char token[64];
	bool flying;
	bool published; /* Redis says that it did */
	bool heard;     /* the last one that is over was heard, through the connections there are now */
	bool missed;    /* the last one that is over was not heard */
	bool deaf;      /* it was published all the same */
	uint64_t heard_ms;
	/* What Redis says instead of publishing, and what helps; "" otherwise. */
	char refusal[REDIS_ERROR_SHOWN + REDIS_REMEDY_MAX];
	void (*on_change)(void *ctx);
	void *ctx;
};

void redis_canary_init(struct redis_canary *c, struct loop *loop, struct redis_calls *calls,
                       struct redis_subs *subs, const struct config *config, void (*on_change)(void *ctx),
                       void *ctx);
void redis_canary_free(struct redis_canary *c);
/* The connections are other ones than before: what is under way proves nothing. */
void redis_canary_renew(struct redis_canary *c);
/* Lets one fly if none does and none is planned. */
void redis_canary_kick(struct redis_canary *c);
/* A message came on the node's channel. */
void redis_canary_message(struct redis_canary *c, struct bytes payload);
/* REDIS_FINE while it is heard. */
enum redis_trouble redis_canary_trouble(const struct redis_canary *c);
