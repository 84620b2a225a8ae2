/* The hub of a worker: which channel has which subscribers here, and what happens between them and Redis.
 * Knows sessions only as subscriptions that take frames; knows no sockets and no timers, so whoever waits for
 * a confirmation sets his own deadline. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "bytes.h"
#include "codec.h"
#include "codes.h"
#include "command.h"
#include "compiler.h"
#include "frame.h"
#include "random.h"

struct loop;
struct config;
struct hub;
struct channel;
struct channel_options;
struct deflater;
struct redis_tls;

/* The forms in which a push goes over the wire; each publication is encoded at most once for each, and
 * compressed at most once for each and each window. */
enum wire_form {
	WIRE_JSON,
	WIRE_JSON_ID, /* with the channel's number in place of its name */
	WIRE_JSON_UNI,
	WIRE_FORMS
};

/* What a subscriber asks of a channel. But for the last it is only looked at where there is history (client
 * protocol 15). */
struct want {
	bool positioned; /* hears of it when its position is lost: hub_events.lost */
	bool recover;    /* wants what was published after this position */
	uint64_t offset;
	struct bytes epoch; /* empty: whatever it is */
	bool hears_joins;   /* gets the pushes that tell who came and left */
	bool together;      /* it begins with others: until then, what it is promised is kept for it */
};

struct waiter;

/* One subscriber on one channel. Embedded in, or pointed to by, the session's own record, which must not move
 * meanwhile; zeroed at birth; plain data but for the channel it is in and what it waits for. */
struct subscription {
	struct channel *channel; /* NULL: not subscribed */
	void *target;            /* the owner's: what hub_events.deliver needs first; it is fetched ahead */
	struct waiter *waiter;   /* the hub's, on channels with history, until it goes live */
	uint32_t index;          /* in the channel's dense array of subscribers */
	uint8_t form;            /* enum wire_form, set by the owner before hub_subscribe() */
	uint8_t deflate_bits;    /* likewise: the window of compressed frames; 0: frames are not compressed */
	uint8_t flags;           /* the owner's; the hub does not look at them */
	bool waiting : 1;        /* for hub_events.subscribed; the hub's */
	bool live : 1;           /* publications are delivered; the hub's */
	bool positioned : 1;     /* as it wanted, while it is subscribed; the hub's */
	bool hears_joins : 1;    /* likewise */
	bool is_member : 1;      /* of the channel's presence; the hub's */
};

/* A subscriber as the presence of the channel has it. */
struct member {
	char client[UUID_TEXT_LEN + 1];
	struct client_info info; /* its client stands here, the rest lives as long as the subscription */
};

struct hub_events {
	/* A frame for a live subscription. May unsubscribe, this one and others (a connection that is closed
	 * because it does not read does so), but not subscribe. */
	void (*deliver)(struct subscription *s, struct frame *f);
	/* This subscription can go live (ERROR_NONE), or the channel cannot be had (ERROR_INTERNAL; then it
	 * is unsubscribed already). Never from within hub_subscribe(). May unsubscribe, but not subscribe. */
	void (*subscribed)(struct subscription *s, enum error_code error);
	/* Publications that this live subscription, which wanted to be positioned, should have got cannot be
	 * had any more. May unsubscribe, but not subscribe. */
	void (*lost)(struct subscription *s);
	/* Who is it? */
	void (*describe)(const struct subscription *s, struct member *member);
	/* Publications came: hub_end_turn() is due at the end of this turn of the loop. */
	void (*turn_began)(void *ctx);
	/* hub_ready() changed. */
	void (*ready)(void *ctx, bool ready, const char *reason);
	void *ctx;
};

/* redis_tls and node_id: as for redis_new(). dead_id: the node_id of a worker that is no more; NULL: none. */
struct hub *hub_new(struct loop *loop, const struct config *config, const struct redis_tls *redis_tls,
                    const char *node_id, const char *dead_id, struct deflater *deflater,
                    const struct hub_events *events);
/* All subscriptions and calls must be gone. */
void hub_free(struct hub **h);
bool hub_ready(const struct hub *h, const char **reason);
size_t hub_channel_count(const struct hub *h);
/* The channel, if it has subscribers here; NULL otherwise. To be compared with subscription->channel. */
struct channel *hub_find_channel(const struct hub *h, struct bytes channel);

enum { HUB_PATIENCE_MS = 1000 };
/* Registers the subscription. True: it can go live at once. False: wait for events.subscribed. When Redis is
 * away for more than HUB_PATIENCE_MS it fails at once: false, *error is set to ERROR_INTERNAL (ERROR_NONE
 * otherwise), and nothing is registered. What it wants is copied. */
bool hub_subscribe(struct hub *h, struct bytes channel, struct subscription *s, const struct want *want,
                   enum error_code *error) MUST_CHECK;
/* Where a subscription begins. */
struct hub_answer {
	struct bytes epoch;  /* empty: the channel has no history; lives until the handler that asked returns
	                      * to the loop, or unsubscribes */
	uint64_t offset;     /* of the newest publication that is known */
	bool recovered;      /* it gets all that it missed, in the publications */
	uint64_t asked_from; /* the offset that it wanted to recover from */
};
/* To be asked before hub_begin() where time has passed since the subscription could go live, unless it begins
 * together with others. False: what it gets was given up meanwhile, and is read again; wait for
 * events.subscribed once more. */
bool hub_may_begin(struct hub *h, struct subscription *s) MUST_CHECK;
/* About how many bytes it gets to catch up, if it began now. */
size_t hub_missed_bytes(const struct subscription *s) MUST_CHECK;
/* Encodes a piece of that, of about a megabyte. False: more is to be encoded; ask hub_may_begin() and this
 * once more, in another turn of the loop. hub_begin() alone does it all at once. */
bool hub_prepare(struct subscription *s) MUST_CHECK;
/* The subscription, which may go live, does: what comes from now on is delivered, so this is called when the
 * reply is written. What it gets to catch up is appended to *publications, in the form of
 * subscribe_result.publications for its wire form; what is more than fits there has failed (buf_ok()). */
void hub_begin(struct hub *h, struct subscription *s, struct hub_answer *answer, struct buf *publications);
/* To be called behind hub_begin(), when the reply is written: the subscription becomes a member, and others
 * hear of it, where the channel is of that kind. That is how the protocol has it (8.2, step 8; 9): its own
 * join comes behind its reply, and who was there shortly before may hear the join of then, too. */
void hub_join(struct hub *h, struct subscription *s);
/* Whether something is still to be told to Redis that must not be lost when the worker ends: who left. */
bool hub_is_busy(const struct hub *h);
/* The last that a worker does, when it ends for good and not only its clients move on: members of whom Redis
 * was not told that they left vanish with its lease. done is called once, not from within, when Redis knows,
 * or does not answer; false: it need not know. Nothing that was not told before is told behind it. */
bool hub_resign(struct hub *h, void (*done)(void *ctx), void *ctx) MUST_CHECK;
/* See workers_call_dead(). */
void hub_call_dead(struct hub *h, const char *node_id);
/* To be called at the end of a turn in which hub_events.turn_began was called. True: publications still wait,
 * and it is to be called at the end of the next turn, too, for which the loop does not sleep. */
bool hub_end_turn(struct hub *h) MUST_CHECK;
/* To be called several times a second: what failed is tried again. */
void hub_tick(struct hub *h);
/* Also while it is not confirmed yet; no callback follows. Not subscribed: nothing. */
void hub_unsubscribe(struct hub *h, struct subscription *s);
struct bytes subscription_channel(const struct subscription *s);
/* The channel's number: not 0, and the same for all subscriptions of this worker that are there at a time. */
uint64_t subscription_channel_id(const struct subscription *s);

/* Reads the history of a channel that has one, no more of it than fits into client.queue_max_size or one
 * piece (history_reply.h), but two publications if there are; `done` is called exactly once, not from within,
 * unless cancelled: with ERROR_UNRECOVERABLE_POSITION when the epoch is another one, ERROR_INTERNAL when
 * Redis does not answer, or with the result, which lives until it returns. NULL without memory: then it is
 * not called.
 */
struct hub_history;
struct hub_history_query {
	const struct channel_options *options;
	uint32_t limit; /* publications at most; 0: the position alone */
	bool has_since; /* those with a larger offset; a smaller one if reverse. */
	uint64_t since;
	struct bytes epoch; /* that the stream must have; empty: any. Copied */
	bool reverse;       /* from the newest backwards */
};
struct hub_history *hub_history(struct hub *h, struct bytes channel, const struct hub_history_query *query,
                                void (*done)(void *arg, enum error_code error,
                                             const struct history_result *result),
                                void *arg) MUST_CHECK;
/* Sets *q to NULL. Not in or after `done`. */
void hub_history_cancel(struct hub_history **q);

/* Asks who is subscribed, in all workers everywhere; `done` is called exactly once, not from within, unless
 * cancelled: with ERROR_INTERNAL when Redis does not answer, ERROR_LIMIT_EXCEEDED when these are more than
 * fits into one answer, or with the result, which lives until it returns; only that which was asked for is
 * not NULL. NULL without memory: then it is not called. */
struct hub_presence;
struct hub_presence *hub_presence(struct hub *h, struct bytes channel, bool stats,
                                  void (*done)(void *arg, enum error_code error,
                                               const struct presence_result *result,
                                               const struct presence_stats_result *stats),
                                  void *arg) MUST_CHECK;
/* Sets *q to NULL. Not in or after `done`. */
void hub_presence_cancel(struct hub_presence **q);

/* Publishes into Redis; `done` is called exactly once, not from within, unless cancelled. The publication is
 * copied. NULL when it is too large for memory: then nothing was done, and `done` is not called. */
struct hub_publish;
struct hub_publish *hub_publish(struct hub *h, struct bytes channel, const struct publication *p,
                                void (*done)(void *arg, enum error_code error), void *arg) MUST_CHECK;
/* Sets *p to NULL. Not in or after `done`. */
void hub_publish_cancel(struct hub_publish **p);
