/* The subscriptions of a worker: which Redis channels are wanted, who is told when messages come, and the
 * lingering of those that nobody wants any more. Always holds one of its own, the node's channel, for
 * canaries and markers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "list.h"
#include "loop.h"
#include "map.h"
#include "redis.h"
#include "redis_handover.h"
#include "redis_sub.h"

enum { REDIS_SECRET_MAX = 17 };

/* A client that subscribes to one name after another, and leaves each at once, must not pile up what lingers:
 * above this the oldest goes at once. */
enum { REDIS_LINGERING_MAX = 16384 };

enum { REDIS_TOLD_PER_TURN = 1024 };

struct redis_subs {
	struct loop *loop;
	struct redis_calls *calls;
	const struct redis_events *events;
	bool sharded; /* the server is a node of a Redis Cluster, and channels are of slots */
	uint64_t linger_ms;
	struct map by_channel;
	struct list lingering; /* in the order of their time */
	size_t lingering_count;
	struct timer linger;
	struct list to_tell; /* of its confirmation */
	struct timer tell_more;
	struct node_sub *node;
	/* In what we publish to ourselves, so that nobody else can pretend it was us. */
	char secret[REDIS_SECRET_MAX];
	struct redis_handover handover;

	/* A feed came, went or is doubted; renewed: the active one is another one than before, or none. */
	void (*on_change)(void *ctx, bool renewed);
	void (*on_node_message)(void *ctx, struct bytes payload);
	/* Of a Redis Cluster: redis_subs_led_away() was called; owner NULL: of the node's channel. May not
	 * close it, or open another one. */
	void (*on_displaced)(void *ctx, void *owner, const struct redis_reply *why);
	void *ctx;
};

struct redis_subs_setup {
	struct redis_calls *calls;
	const struct redis_endpoint *endpoint;
	const struct config *config;
	const struct redis_events *events;
	const char *link_name;
	struct bytes node_channel;
	void (*on_change)(void *ctx, bool renewed);
	void (*on_node_message)(void *ctx, struct bytes payload);
	void (*on_displaced)(void *ctx, void *owner, const struct redis_reply *why);
	void *ctx;
	bool sharded;
};

void redis_subs_init(struct redis_subs *subs, struct loop *loop, const struct redis_subs_setup *setup);
void redis_subs_free(struct redis_subs *subs);
/* REDIS_FINE, or what is wrong with a text for humans. Not whether the canary is heard. */
enum redis_trouble redis_subs_trouble(const struct redis_subs *subs, const char **text);
struct node_sub *redis_subs_open(struct redis_subs *subs, struct bytes channel, void *owner);
/* Closes it, and lets nothing linger. */
void redis_subs_drop(struct node_sub *s);
/* Messages of the sub cannot come from this server any more, or not now: the owner is told, with the error by
 * which Redis says so. */
void redis_subs_led_away(struct redis_subs *subs, struct node_sub *s, const struct redis_reply *why);
/* The same without a word of Redis: it ended the subscription. */
void redis_subs_displaced(struct redis_subs *subs, struct node_sub *s);
/* Subscribes once more to what was displaced; where it is now, the error tells. */
void redis_subs_again(struct node_sub *s);
/* Takes another channel for canaries and markers. */
void redis_subs_set_node_channel(struct redis_subs *subs, struct bytes channel);
/* How Redis is told to publish on its channels. */
struct bytes redis_subs_publish_word(const struct redis_subs *subs);

/* --- for redis_handover --- */

void redis_subs_deliver(struct redis_subs *subs, struct bytes channel, struct bytes payload);
/* The sub's state on a feed is no longer in doubt: tells its owner, or frees it. */
void redis_subs_settled(struct redis_subs *subs, struct node_sub *s);
/* Makes the feed subscribe to everything wanted; how many confirmations that needs. */
size_t redis_subs_touch_all(struct redis_subs *subs, struct redis_feed *f);
/* The feed of the slot is gone. */
void redis_subs_reset(struct redis_subs *subs, unsigned slot);
/* Whether everything that owners rely upon, and Redis allows, is confirmed on the feed of the slot. */
bool redis_subs_told_are_on(const struct redis_subs *subs, unsigned slot);
/* Nobody may rely any more upon what is not confirmed there (REDIS_FEEDS: upon anything). */
void redis_subs_forget_told(struct redis_subs *subs, unsigned slot);
/* Tells those whose subscription is confirmed, a thousand a turn; again: also those who were told already. */
void redis_subs_tell(struct redis_subs *subs, bool again);
