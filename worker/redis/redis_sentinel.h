/* One Redis Sentinel, as its clients see it (https://redis.io/docs/reference/sentinel-clients/). Over one
 * connection it is asked, every second, where the master is; over another one it tells when something about
 * the master has changed, and is asked at once. What it says is checked, and handed on; which of several
 * sentinels is believed is decided in redis_sentinels. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "loop.h"
#include "redis_backoff.h"
#include "redis_endpoint.h"
#include "redis_link.h"
#include "redis_place.h"

enum {
	SENTINEL_ASK_MS = 1000,
	SENTINEL_ASK_AGAIN_MS = 50, /* it may tell us of changes as often as it likes */
	SENTINEL_ANSWER_MS = 1000,
	SENTINEL_PEERS_EVERY = 10, /* so often it is asked for the other sentinels: once in so many times */
	SENTINEL_OUT_MAX = 16 << 10,
	SENTINEL_QUESTIONS = 4,
	SENTINEL_ID_MAX = 41,
};

struct redis_sentinel;

struct redis_sentinel_events {
	/* It answered, or went away. */
	void (*on_change)(void *ctx, struct redis_sentinel *s);
	/* It is about to make the place the master, and has told it so; others know nothing of that yet. */
	void (*on_candidate)(void *ctx, const struct redis_place *place);
	/* It has given that up. The place may become a master all the same, when it hears of it at last: one
	 * that nobody follows, and that is made a replica again some ten seconds later. */
	void (*on_given_up)(void *ctx);
	/* It knows another sentinel; id as in redis_sentinel.id. */
	void (*on_peer)(void *ctx, const struct redis_place *place, struct bytes id);
};

struct redis_sentinel {
	struct loop *loop;
	const char *master_name;
	const struct redis_sentinel_events *events;
	void *ctx;
	struct redis_place place;
	struct redis_endpoint endpoint;
	char id[SENTINEL_ID_MAX]; /* by which sentinels know each other; "": not known */

	struct redis_link ask;
	struct redis_backoff ask_backoff;
	struct timer ask_timer; /* connect again; ask again; or the answer is late */
	enum sentinel_question {
		SENTINEL_ASKED_ID,
		SENTINEL_ASKED_STATE,
		SENTINEL_ASKED_PLACE,
		SENTINEL_ASKED_PEERS,
	} questions[SENTINEL_QUESTIONS]; /* under way, in their order */
	unsigned question_first;
	unsigned question_count;
	unsigned rounds;
	bool ask_again;
	uint64_t asked_ms;

	struct redis_link hear;
	struct redis_backoff hear_backoff;
	struct timer hear_timer;

	bool answers;                /* the last round of questions was answered */
	bool tried;                  /* it has answered or failed, at least once */
	bool knows;                  /* a master of that name */
	struct redis_place master;   /* valid while it knows */
	uint64_t epoch;              /* of the master's configuration: the higher is the newer; 0: not told */
	uint64_t next_epoch;         /* the one that this round's place will have */
	uint64_t answered_ms;        /* when the place was told last */
	char error[REDIS_ERROR_MAX]; /* why it does not answer, or of no use is */
};

/* Everything but the place is lent. The endpoint's login is copied. */
struct redis_sentinel *redis_sentinel_new(struct loop *loop, const struct redis_place *place,
                                          const struct redis_account *login, struct tls_client *tls,
                                          const char *link_name, const char *master_name,
                                          uint64_t connect_timeout_ms,
                                          const struct redis_sentinel_events *events, void *ctx);
/* Not from within its events. */
void redis_sentinel_free(struct redis_sentinel **s);
/* Asks now, or when the answer to what it was asked already is there. */
void redis_sentinel_ask(struct redis_sentinel *s);
