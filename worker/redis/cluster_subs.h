/* Subscriptions in a Redis Cluster: each is opened at the node that has its slot, and moves when the slot
 * does. Moving ends the old one before it begins the new one, so that nothing is heard twice or in another
 * order; what is published in between is missed, so the owner is told again (on_confirmed), and looks after
 * it. How long that takes is what is lost of channels without history, so the node that ended a subscription
 * is asked at once where it is now, by subscribing again: MOVED leads there before there is a new map. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "list.h"
#include "loop.h"
#include "redis.h"

enum {
	CLUSTER_SUBS_PER_TURN = 4096, /* that find a place */
	CLUSTER_SUBS_PAUSE_MS = 100,  /* before those that no node took are tried again */
	CLUSTER_SUBS_HOPS = 5,        /* redirections that are followed at once; then it waits */
};

struct redis_cluster;
struct cluster_node;
struct node_sub;

struct cluster_subs {
	struct redis_cluster *cluster;
	struct list settled;  /* at a node */
	struct list homeless; /* without one, or with one that does not have it any more */
	struct list waiting;  /* homeless, and to be tried after the pause */
	struct task house;
	struct timer pause;
};

void cluster_subs_init(struct cluster_subs *subs, struct redis_cluster *c);
/* All must be closed. */
void cluster_subs_free(struct cluster_subs *subs);
/* As redis_sub_open(). */
struct redis_sub *cluster_subs_open(struct cluster_subs *subs, struct bytes channel, void *owner);
/* Slots have moved: so do those that are in the wrong place. */
void cluster_subs_rehouse(struct cluster_subs *subs);

/* --- events of a node; owner is ours --- */

void cluster_subs_message(void *owner, struct bytes payload);
void cluster_subs_confirmed(void *owner);
void cluster_subs_displaced(struct cluster_subs *subs, void *owner, const struct redis_reply *why);
