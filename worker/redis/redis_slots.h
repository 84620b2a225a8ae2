/* The slots of a Redis Cluster (https://redis.io/docs/reference/cluster-spec/): which slot a key or a sharded
 * channel is in, which master has which slots, and where a redirection leads. Pure: asks nobody.
 *
 * What a node says is checked as a whole, so that a bad answer changes nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"
#include "redis.h"
#include "redis_place.h"

enum {
	REDIS_SLOTS = 16384,
	SLOT_MASTERS_MAX = 1000,  /* what Redis itself is made for */
	SLOT_REPLICAS_MAX = 3000, /* those beyond are not looked at */
	SLOT_NOBODY = UINT16_MAX,
};

/* Of a key, or of the name of a channel: CRC16 of the hash tag, or of all of it when it has none. */
unsigned redis_slot_of(struct bytes key);

struct slot_map {
	struct redis_place *masters; /* that have slots */
	size_t master_count;
	struct redis_place *replicas;
	size_t replica_count;
	uint16_t owner[REDIS_SLOTS]; /* index into masters, or SLOT_NOBODY */
};

/* From the answer to CLUSTER SLOTS. asked: how the node that gave it is reached, as it may leave its own host
 * out. A master whose place it does not know has its slots for nobody. False with a reason, a static text;
 * then there is nothing to free. */
bool slot_map_read(struct slot_map *m, const struct redis_reply *reply, const struct redis_place *asked,
                   const char **reason) MUST_CHECK;
/* Leaves it zeroed; may be called again, and on a zeroed one. */
void slot_map_free(struct slot_map *m);

struct redis_redirect {
	bool ask; /* only this time; otherwise it has moved for good */
	unsigned slot;
	struct redis_place place;
};

/* Whether an error says that a node of a cluster has done nothing, and that it, or another one, may do it
 * later: MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING, MASTERDOWN. */
bool redis_means_again(const struct redis_reply *reply);
/* From an error MOVED or ASK. False when it is none, or leads nowhere. */
bool redis_redirect_read(const struct redis_reply *reply, const struct redis_place *asked,
                         struct redis_redirect *out) MUST_CHECK;
