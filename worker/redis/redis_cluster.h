/* A worker's ways to a Redis Cluster: a redis_node for each master that has slots. Knows which node has which
 * slot, follows what changes (failover, resharding, nodes that come and go), and keeps what redis.h promises
 * over it: cluster_subs leads subscriptions, cluster_calls leads calls, cluster_map asks for the slots.
 *
 * The map of the slots is asked for at the start, every second, and at every sign that it is not true
 * any more: MOVED, a subscription that Redis ended, a node in trouble; but not more often than every 100 ms.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "cluster_calls.h"
#include "cluster_map.h"
#include "cluster_subs.h"
#include "loop.h"
#include "map.h"
#include "redis.h"
#include "redis_endpoint.h"
#include "redis_node.h"
#include "redis_slots.h"

struct cluster_node {
	struct redis_cluster *cluster;
	struct redis_place place; /* the key in by_place */
	struct redis_endpoint endpoint;
	struct redis_node node;
	size_t slots;         /* that it has */
	unsigned canary_slot; /* of its channel for canaries */
	size_t calls;         /* cluster_calls that wait for it */
	bool gone;            /* not in the map any more: to be freed when no call waits for it */
	bool rehearse;        /* its channel for canaries must be another one */
};

struct redis_cluster {
	struct loop *loop;
	const struct config *config;
	struct redis_account login;
	struct tls_client *tls; /* NULL: it is not spoken */
	char *node_id;
	struct redis_events events;      /* of who uses us */
	struct redis_events node_events; /* of the nodes: to cluster_subs */
	struct map by_place;
	struct cluster_node *owner[REDIS_SLOTS]; /* NULL: nobody's */
	bool known;                              /* there was a map */
	bool moved;                              /* a slot did, since subscriptions followed last */
	struct cluster_map map;
	struct cluster_subs subs;
	struct cluster_calls calls;
	struct task look; /* at readiness, and at canaries, once a turn */
	bool ready;
	char reason[REDIS_ERROR_MAX + 128];
};

struct redis_cluster *redis_cluster_new(struct loop *loop, const struct config *config,
                                        const struct redis_tls *tls, const char *node_id,
                                        const struct redis_events *events);
void redis_cluster_free(struct redis_cluster **c);
/* As redis_ready(): all masters that have slots must be ready. */
bool redis_cluster_ready(const struct redis_cluster *c, const char **reason);
/* As redis_hears(), for channels of the slot. */
bool redis_cluster_hears_slot(const struct redis_cluster *c, unsigned slot);

/* --- for the parts --- */

/* There is a new map; it stays the caller's. Not from within a callback of a node. */
void redis_cluster_apply(struct redis_cluster *c, const struct slot_map *map);
/* A node has said where the slot is. Asks for the map, too. */
void redis_cluster_moved(struct redis_cluster *c, unsigned slot, const struct redis_place *place);
/* NULL when it is not known, or has no slots. */
struct cluster_node *redis_cluster_find(const struct redis_cluster *c, const struct redis_place *place);
/* Any node that answers, but the one at that place (NULL: or that one, too); NULL: none does. Another one
 * each time. */
struct cluster_node *redis_cluster_any(struct redis_cluster *c, const struct redis_place *but);
/* Readiness may have changed. */
void redis_cluster_look(struct redis_cluster *c);
