/* A worker's ways to one Redis server: command link, function library, subscriber links and the canary that
 * proves that they hear. Keeps what redis.h promises, for this server. Embedded in its owner. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "loop.h"
#include "redis.h"
#include "redis_calls.h"
#include "redis_canary.h"
#include "redis_functions.h"
#include "redis_subs.h"

struct redis_node {
	struct loop *loop;
	const struct redis_endpoint *endpoint;
	struct redis_calls calls;
	struct redis_functions functions;
	struct redis_subs subs;
	struct redis_canary canary;
	char *calls_name;
	char *subs_name;
	struct task look; /* at the state, once a turn */
	bool ready;
	bool was_ready; /* ever */
	enum redis_trouble trouble;
	uint64_t since_ms; /* not ready */
	char reason[REDIS_ERROR_MAX + 64];
	void (*on_ready)(void *ctx, struct redis_node *n);
	void (*on_displaced)(void *ctx, void *owner, const struct redis_reply *why);
	void *ctx;
};

/* endpoint, config and events are lent, and must outlive the node. */
struct redis_node_setup {
	const struct redis_endpoint *endpoint;
	const struct config *config;
	const char *node_id;       /* of the worker; names the connections */
	struct bytes node_channel; /* of the worker at this server, for canaries and markers; copied */
	bool sharded;              /* it is a node of a Redis Cluster */
	/* Then: messages for the owner's subscription cannot come from this node any more, or not now; why:
	 * the error by which Redis says so, NULL: it ended the subscription. Owner NULL: the same for the
	 * node's channel. Close it, or redis_subs_set_node_channel(), but not from within. */
	void (*on_displaced)(void *ctx, void *owner, const struct redis_reply *why);
	const struct redis_events *events; /* on_message and on_confirmed are called */
	/* redis_node_ready() changed. */
	void (*on_ready)(void *ctx, struct redis_node *n);
	void *ctx;
};

/* Starts to connect at once and for ever. */
void redis_node_init(struct redis_node *n, struct loop *loop, const struct redis_node_setup *setup);
/* All subscriptions must be closed and all calls cancelled or done. */
void redis_node_free(struct redis_node *n);
/* The endpoint is about to become another server: gives up all connections. Calls under way are answered by
 * NULL, and nothing is subscribed any more. Not from within its callbacks. */
void redis_node_leave(struct redis_node *n);
/* And now it is: connects there at once. In the same turn. */
void redis_node_arrive(struct redis_node *n);
/* As redis_ready(). */
bool redis_node_ready(const struct redis_node *n, const char **reason);
