/* Calls in a Redis Cluster: each goes to the node that has the slot of its key, and again when that node says
 * that the slot is elsewhere (MOVED, ASK) or that it cannot do it now (TRYAGAIN, CLUSTERDOWN, LOADING), until
 * the call's deadline. A call without a key goes to any node.
 *
 * Calls of one slot are sent in their order, and while one of them waits to be sent again, those that are
 * made later wait behind it. But those that are on their way already may be carried out before it: when a
 * slot moves, calls under way at that moment may change places. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "list.h"
#include "loop.h"
#include "redis.h"
#include "redis_slots.h"

enum {
	CLUSTER_CALL_HOPS = 5,      /* redirections that are followed at once; then it waits */
	CLUSTER_CALL_PAUSE_MS = 50, /* before it is sent again */
	/* Calls to a master that is not heard are taken while no more than this part of all that may be is
	   under way. */
	CLUSTER_CALL_SHARE = 4,
};

struct redis_cluster;
struct cluster_node;

struct cluster_calls {
	struct redis_cluster *cluster;
	struct list sent;
	struct list waiting; /* to be sent, in the order of their making */
	struct list refused; /* to be answered by NULL at the end of this turn */
	size_t count;        /* in all lists */
	size_t bytes;
	uint32_t waiting_in[REDIS_SLOTS]; /* how many of them are of this slot */
	struct task answer_refused;
	struct timer pause;
	uint64_t made; /* ever */
};

void cluster_calls_init(struct cluster_calls *calls, struct redis_cluster *c);
/* All must be cancelled or done. */
void cluster_calls_free(struct cluster_calls *calls);
/* As redis_fcall(), or without a function redis_call(). */
struct redis_call *cluster_calls_send(struct cluster_calls *calls, const char *function,
                                      const struct bytes *argv, size_t argc,
                                      void (*done)(void *arg, const struct redis_reply *reply), void *arg);
/* Those that wait are sent: slots have moved. Not from within a callback. */
void cluster_calls_retry(struct cluster_calls *calls);
