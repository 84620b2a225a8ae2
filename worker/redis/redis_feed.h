/* One subscriber connection: keeps what is subscribed on it equal to what is wanted, in batches, and reads
 * messages. Redis confirms every channel of every command, in the order in which they were sent; the feed
 * keeps that order, so a confirmation that is lost or makes no sense is noticed. Which of two feeds is
 * listened to is decided in redis_handover.
 *
 * In a Redis Cluster channels are of slots. A slot may be somewhere else, or move away at any time; then a
 * command is answered by MOVED, or Redis ends the subscription by itself, which looks as if it confirmed an
 * UNSUBSCRIBE. Should there be one under way for this very channel, it is answered twice, the second time by
 * MOVED: hence an error of a slot that nothing waits for is dropped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "list.h"
#include "loop.h"
#include "redis_link.h"

struct redis_feed;
struct node_sub;

enum {
	REDIS_FEED_BATCH = 512, /* channels in a command */
	REDIS_FEED_BATCH_BYTES = 64 << 10,
	REDIS_FEED_WINDOW = 4096, /* confirmations under way */
	REDIS_FEED_OUT_MAX = 1 << 20,
	/* A turn: 1 MiB. Faster than Redis sends, so that a quiet channel is heard behind a hot one, of which
	 * more comes than can be delivered (hub/backlog.h bounds what a turn delivers), and Redis does not
	 * give the connection up as too slow. */
	REDIS_FEED_READS = 64,
	REDIS_FEED_CHANNEL_MAX = 64 +
	                         4096, /* of a full name: the longest prefix and name that options allow */
};

/* A confirmation that is to come. */
struct redis_feed_op {
	struct node_sub *sub;
	uint64_t sent_ms;
	bool subscribe;
	bool last; /* of its command */
};

struct redis_feed_events {
	/* Logged in; nothing is subscribed yet: redis_feed_touch() what is wanted. */
	void (*on_up)(struct redis_feed *f);
	/* Nothing is subscribed on it any more; link.trouble and link.error tell why. */
	void (*on_down)(struct redis_feed *f, bool was_up);
	void (*on_message)(struct redis_feed *f, struct bytes channel, struct bytes payload);
	/* What was sent for the sub is confirmed, or refused; it may be freed in there. */
	void (*on_settled)(struct redis_feed *f, struct node_sub *s);
	/* redis_feed_late() changed. */
	void (*on_late)(struct redis_feed *f);
	/* Of a Redis Cluster: what was to be subscribed is not, as the slot is elsewhere, or nowhere; why
	 * says what Redis knows of that. */
	void (*on_displaced)(struct redis_feed *f, struct node_sub *s, const struct redis_reply *why);
	/* Of a Redis Cluster: nobody asked for it, but the channel is not subscribed any more. */
	void (*on_lost)(struct redis_feed *f, struct bytes channel);
};

struct redis_feed {
	struct redis_link link;
	const struct redis_feed_events *events;
	void *ctx;
	unsigned slot; /* index of this feed in the subs' per-feed states */
	bool sharded;
	uint64_t timeout_ms;
	struct list dirty[2];      /* to unsubscribe, to subscribe */
	struct redis_feed_op *ops; /* ring of REDIS_FEED_WINDOW, allocated while the link is up */
	size_t first;
	size_t count;
	size_t to_confirm;    /* confirmations until all that was wanted at the start has been answered */
	uint64_t progress_ms; /* when the last confirmation came */
	struct timer overdue;
	struct task send;
	bool late;
};

/* sharded: channels are those of a Redis Cluster (SSUBSCRIBE). */
void redis_feed_init(struct redis_feed *f, unsigned slot, bool sharded, struct loop *loop,
                     const struct redis_endpoint *endpoint, const struct redis_feed_events *events, void *ctx,
                     const char *name, uint64_t connect_timeout_ms, uint64_t timeout_ms);
void redis_feed_open(struct redis_feed *f);
/* Without a callback. The states of subs on this feed are the caller's to reset (redis_sub_reset()). */
void redis_feed_close(struct redis_feed *f);
/* What is wanted of the sub may have changed: sends what is needed, at the end of the turn. */
void redis_feed_touch(struct redis_feed *f, struct node_sub *s);
/* A confirmation is overdue. */
bool redis_feed_late(const struct redis_feed *f);
