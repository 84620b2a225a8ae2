/* Asks nodes of a Redis Cluster which slots are where: any that is connected, or if none is, by a
 * connection of its own, all addresses that are known, one after the other. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop.h"
#include "redis_endpoint.h"
#include "redis_link.h"
#include "redis_place.h"
#include "redis_slots.h"

enum {
	CLUSTER_MAP_FLOOR_MS = 100,  /* between two questions, at least */
	CLUSTER_MAP_UNSURE_MS = 500, /* while something is wrong */
	CLUSTER_MAP_EVERY_MS = 1000,
	CLUSTER_MAP_PATIENCE_MS =
		300, /* with a node, and twice as much each time; then another one is asked */
};

struct redis_cluster;

struct cluster_map {
	struct redis_cluster *cluster;
	struct redis_place *places; /* configured, and those of the last map */
	size_t configured;
	size_t place_count;
	size_t next; /* of them */
	struct redis_link link;
	struct redis_endpoint endpoint; /* of the link */
	struct redis_place asked;
	struct redis_place first; /* to be asked next, should it answer; no host: any */
	struct redis_call *call;  /* the question under way over a node's link */
	struct timer timer;       /* until the next question, or for the answer */
	uint64_t asked_ms;
	uint64_t patience_ms;
	bool again;            /* a change was told since the question was asked */
	struct slot_map fresh; /* to be applied at the end of the turn */
	struct task apply;
	char error[REDIS_ERROR_MAX]; /* of the last question; "": it was answered */
};

void cluster_map_init(struct cluster_map *m, struct redis_cluster *c);
/* Nothing is asked any more. */
void cluster_map_stop(struct cluster_map *m);
void cluster_map_free(struct cluster_map *m);
/* Asks as soon as it may. */
void cluster_map_want(struct cluster_map *m);
/* The same, of the node at that place: it has a slot since a moment ago, and others may not know yet. */
void cluster_map_want_from(struct cluster_map *m, const struct redis_place *place);
