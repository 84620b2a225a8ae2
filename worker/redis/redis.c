/* The face of this layer: where Redis is, and which server is asked. */
#include "redis.h"

#include <string.h>

#include "config.h"
#include "mem.h"
#include "metrics.h"
#include "redis_cluster.h"
#include "redis_endpoint.h"
#include "redis_node.h"
#include "redis_sentinels.h"

struct redis {
	struct redis_events events;
	struct redis_endpoint endpoint;
	struct redis_node node;
	struct redis_sentinels *sentinels; /* NULL: Redis does not move */
	struct redis_cluster *cluster;     /* NULL: there is the one node */
};

static void on_ready(void *ctx, struct redis_node *n)
{
	struct redis *r = ctx;
	const char *reason;
	bool ready = redis_node_ready(n, &reason);

	metrics_set(redis_ready, ready);
	if (!ready && r->sentinels != NULL)
		redis_sentinels_ask(r->sentinels);
	r->events.on_ready(r->events.ctx, ready, reason);
}

/* Everything goes there together: a master that was replaced may live, and take what nobody will hear. */
static void on_master(void *ctx)
{
	struct redis *r = ctx;

	redis_node_leave(&r->node);
	redis_endpoint_free(&r->endpoint);
	redis_sentinels_endpoint(r->sentinels, &r->endpoint);
	redis_node_arrive(&r->node);
}

static void find_endpoint(struct redis *r, struct loop *loop, const struct config *config,
                          const struct redis_tls *tls, const char *node_id)
{
	char *name;

	if (!config_has_sentinels(config)) {
		redis_endpoint_init(&r->endpoint, config->redis.address, tls != NULL ? tls->nodes : NULL);
		return;
	}
	name = mem_printf("fanfare.%s.sentinels", node_id);
	r->sentinels = redis_sentinels_new(loop, config, tls, name, on_master, r);
	redis_sentinels_endpoint(r->sentinels, &r->endpoint);
	mem_free(name);
}

/* A name that no channel under the prefix can have: it differs from the prefix in its last character.
 * "fanfare:" gives "fanfare.canary.<id>". */
static char *make_node_channel(const char *prefix, const char *node_id)
{
	size_t base = strlen(prefix) > 0 ? strlen(prefix) - 1 : 0;
	char separator = prefix[base] == '.' ? ':' : '.';

	return mem_printf("%.*s%ccanary.%s", (int)base, prefix, separator, node_id);
}

static void on_cluster_ready(void *ctx, bool ready, const char *reason)
{
	struct redis *r = ctx;

	metrics_set(redis_ready, ready);
	r->events.on_ready(r->events.ctx, ready, reason);
}

static void find_cluster(struct redis *r, struct loop *loop, const struct config *config,
                         const struct redis_tls *tls, const char *node_id)
{
	struct redis_events events = r->events;

	events.on_ready = on_cluster_ready;
	events.ctx = r;
	r->cluster = redis_cluster_new(loop, config, tls, node_id, &events);
}

static void find_node(struct redis *r, struct loop *loop, const struct config *config,
                      const struct redis_tls *tls, const char *node_id)
{
	char *node_channel = make_node_channel(config->redis.prefix, node_id);

	find_endpoint(r, loop, config, tls, node_id);
	redis_node_init(&r->node, loop,
	                &(struct redis_node_setup){
				.endpoint = &r->endpoint,
				.config = config,
				.node_id = node_id,
				.node_channel = BYTES_OF_STR(node_channel),
				.events = &r->events,
				.on_ready = on_ready,
				.ctx = r,
			});
	mem_free(node_channel);
}

struct redis *redis_new(struct loop *loop, const struct config *config, const struct redis_tls *tls,
                        const char *node_id, const struct redis_events *events)
{
	struct redis *r = mem_alloc(sizeof(*r));

	r->events = *events;
	metrics_set(redis_ready, 0);
	if (config_has_cluster(config))
		find_cluster(r, loop, config, tls, node_id);
	else
		find_node(r, loop, config, tls, node_id);
	return r;
}

void redis_free(struct redis **redis)
{
	struct redis *r = *redis;

	*redis = NULL;
	if (r == NULL)
		return;
	if (r->cluster != NULL) {
		redis_cluster_free(&r->cluster);
	} else {
		redis_sentinels_free(&r->sentinels);
		redis_node_free(&r->node);
		redis_endpoint_free(&r->endpoint);
	}
	mem_free(r);
}

bool redis_ready(const struct redis *r, const char **reason)
{
	return r->cluster != NULL ? redis_cluster_ready(r->cluster, reason)
	                          : redis_node_ready(&r->node, reason);
}

bool redis_hears(const struct redis *r, struct bytes channel)
{
	const char *reason;

	return r->cluster != NULL ? redis_cluster_hears_slot(r->cluster, redis_slot_of(channel))
	                          : redis_node_ready(&r->node, &reason);
}

struct redis_sub *redis_sub_open(struct redis *r, struct bytes channel, void *owner)
{
	return r->cluster != NULL ? cluster_subs_open(&r->cluster->subs, channel, owner)
	                          : &redis_subs_open(&r->node.subs, channel, owner)->handle;
}

struct redis_call *redis_call(struct redis *r, const struct bytes *argv, size_t argc,
                              void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	return r->cluster != NULL ? cluster_calls_send(&r->cluster->calls, NULL, argv, argc, done, arg)
	                          : redis_calls_send(&r->node.calls, argv, argc, done, arg);
}

struct redis_call *redis_publish(struct redis *r, struct bytes channel, struct bytes payload,
                                 void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	struct bytes word = r->cluster != NULL ? BYTES("SPUBLISH") : BYTES("PUBLISH");

	return redis_call(r, (struct bytes[]){word, channel, payload}, 3, done, arg);
}

struct redis_call *redis_fcall(struct redis *r, const char *function, const struct bytes *argv, size_t argc,
                               void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	return r->cluster != NULL ? cluster_calls_send(&r->cluster->calls, function, argv, argc, done, arg)
	                          : redis_functions_call(&r->node.functions, function, argv, argc, done, arg);
}
