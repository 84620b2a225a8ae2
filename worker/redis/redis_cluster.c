#include "redis_cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"
#include "mem.h"

static struct bytes key_of(const struct redis_place *place)
{
	return (struct bytes){(const char *)place, sizeof(*place)};
}

/* --- canaries --- */

/* More than ever needed: a node with one slot among 16384 is missed by all of them once in e^61. */
enum { TAG_TRIES = 1000000, CANARY_CHANNEL_MAX = 256 };

/* A name that no channel under the prefix can have (as in redis.c), in a slot of the node. False when it has
 * none. */
static bool find_canary(struct cluster_node *n, char name[CANARY_CHANNEL_MAX])
{
	const struct redis_cluster *c = n->cluster;
	const char *prefix = c->config->redis.prefix;
	char tag[16];

	for (uint32_t i = 0; i < TAG_TRIES && n->slots > 0; i++) {
		size_t len = (size_t)snprintf(tag, sizeof(tag), "%x", i);
		unsigned slot = redis_slot_of((struct bytes){tag, len});

		if (c->owner[slot] != n)
			continue;
		n->canary_slot = slot;
		snprintf(name, CANARY_CHANNEL_MAX, "%.*s.canary.%s.{%s}", (int)(strlen(prefix) - 1), prefix,
		         c->node_id, tag);
		return true;
	}
	return false;
}

/* Gives it another channel, should the slot of the old one be elsewhere, or the old one not be subscribed. */
static void rehearse(struct cluster_node *n)
{
	char name[CANARY_CHANNEL_MAX];

	if (n->gone || (!n->rehearse && n->cluster->owner[n->canary_slot] == n) || !find_canary(n, name))
		return;
	n->rehearse = false;
	redis_subs_set_node_channel(&n->node.subs, BYTES_OF_STR(name));
}

/* --- readiness --- */

/* Its own reason, and which node it is about. */
static void describe(struct redis_cluster *c, const struct cluster_node *n, const char *reason)
{
	bool named = strstr(reason, n->endpoint.text) != NULL;

	snprintf(c->reason, sizeof(c->reason), "%s%s%s", reason, named ? "" : ", at the node ",
	         named ? "" : n->endpoint.text);
}

static bool find_ready(struct redis_cluster *c)
{
	const struct cluster_node *n;
	const char *reason;
	size_t cursor = 0;

	if (!c->known) {
		snprintf(c->reason, sizeof(c->reason), "%s",
		         c->map.error[0] != '\0' ? c->map.error
		                                 : "connecting to the nodes of the Redis Cluster");
		return false;
	}
	while ((n = map_next(&c->by_place, &cursor)) != NULL) {
		if (n->gone || redis_node_ready(&n->node, &reason))
			continue;
		describe(c, n, reason);
		return false;
	}
	c->reason[0] = '\0';
	return true;
}

static void on_look(struct task *t)
{
	struct redis_cluster *c = container_of(t, struct redis_cluster, look);
	bool was_ready = c->ready;

	c->ready = find_ready(c);
	if (c->ready && was_ready)
		return;
	if (!c->ready && was_ready)
		cluster_map_want(&c->map);
	c->events.on_ready(c->events.ctx, c->ready, c->reason);
}

void redis_cluster_look(struct redis_cluster *c)
{
	loop_defer(c->loop, &c->look);
}

bool redis_cluster_ready(const struct redis_cluster *c, const char **reason)
{
	*reason = c->reason;
	return c->ready;
}

bool redis_cluster_hears_slot(const struct redis_cluster *c, unsigned slot)
{
	const struct cluster_node *n = c->owner[slot];
	const char *reason;

	return n != NULL && redis_node_ready(&n->node, &reason);
}

/* --- nodes --- */

static void on_node_ready(void *ctx, struct redis_node *node)
{
	redis_cluster_look(((struct cluster_node *)ctx)->cluster);
}

static void on_node_displaced(void *ctx, void *owner, const struct redis_reply *why)
{
	struct cluster_node *n = ctx;

	if (owner != NULL)
		cluster_subs_displaced(&n->cluster->subs, owner, why);
	else
		n->rehearse = true;
	cluster_map_want(&n->cluster->map);
}

/* To be started when its slots are known, for its channel for canaries. */
static struct cluster_node *add_node(struct redis_cluster *c, const struct redis_place *place)
{
	struct cluster_node *n = mem_alloc(sizeof(*n));

	n->cluster = c;
	n->place = *place;
	redis_endpoint_init_at(&n->endpoint, place->host, place->port, &c->login, c->tls);
	n->endpoint.in_cluster = true;
	map_add(&c->by_place, key_of(&n->place), n);
	return n;
}

static void start_node(struct cluster_node *n)
{
	struct redis_cluster *c = n->cluster;
	char name[CANARY_CHANNEL_MAX] = "none";

	n->rehearse = !find_canary(n, name);
	redis_node_init(&n->node, c->loop,
	                &(struct redis_node_setup){
				.endpoint = &n->endpoint,
				.config = c->config,
				.node_id = c->node_id,
				.node_channel = BYTES_OF_STR(name),
				.events = &c->node_events,
				.on_ready = on_node_ready,
				.on_displaced = on_node_displaced,
				.ctx = n,
				.sharded = true,
			});
}

static void free_node(struct cluster_node *n)
{
	map_remove(&n->cluster->by_place, key_of(&n->place));
	redis_node_free(&n->node);
	redis_endpoint_free(&n->endpoint);
	mem_free(n);
}

/* Those for which no call waits any more. */
static void free_gone(struct redis_cluster *c)
{
	struct cluster_node *n;
	size_t cursor = 0;

	while ((n = map_next(&c->by_place, &cursor)) != NULL) {
		if (!n->gone || n->calls > 0)
			continue;
		log_info("Redis at %s is no master of the Redis Cluster any more", n->endpoint.text);
		free_node(n);
		cursor = 0;
	}
}

struct cluster_node *redis_cluster_find(const struct redis_cluster *c, const struct redis_place *place)
{
	struct cluster_node *n = map_get(&c->by_place, key_of(place));

	return n != NULL && !n->gone ? n : NULL;
}

struct cluster_node *redis_cluster_any(struct redis_cluster *c, const struct redis_place *but)
{
	struct cluster_node *n;
	struct cluster_node *found = NULL;
	size_t cursor = 0;
	uint32_t seen = 0;

	while ((n = map_next(&c->by_place, &cursor)) != NULL) {
		if (n->gone || redis_calls_trouble(&n->node.calls) != REDIS_FINE)
			continue;
		if ((but == NULL || !redis_place_eq(&n->place, but)) && arc4random_uniform(++seen) == 0)
			found = n;
	}
	return found;
}

/* --- the map --- */

/* Between the old map and the new one. */
static void forget_slots(struct redis_cluster *c)
{
	struct cluster_node *n;
	size_t cursor = 0;

	while ((n = map_next(&c->by_place, &cursor)) != NULL) {
		n->gone = true;
		n->slots = 0;
	}
}

static void take_slots(struct redis_cluster *c, const struct slot_map *map, struct cluster_node **nodes)
{
	for (size_t i = 0; i < map->master_count; i++) {
		nodes[i] = map_get(&c->by_place, key_of(&map->masters[i]));
		if (nodes[i] == NULL)
			nodes[i] = add_node(c, &map->masters[i]);
	}
	for (size_t slot = 0; slot < REDIS_SLOTS; slot++) {
		struct cluster_node *n = NULL;

		if (map->owner[slot] != SLOT_NOBODY)
			n = nodes[map->owner[slot]];
		c->moved = c->moved || c->owner[slot] != n;
		c->owner[slot] = n;
		if (n == NULL)
			continue;
		n->gone = false;
		n->slots++;
	}
}

static void start_new(struct redis_cluster *c, struct cluster_node *const *nodes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (nodes[i]->node.loop == NULL)
			start_node(nodes[i]);
	}
}

void redis_cluster_apply(struct redis_cluster *c, const struct slot_map *map)
{
	struct cluster_node **nodes = mem_alloc((map->master_count + 1) * sizeof(struct cluster_node *));
	struct cluster_node *n;
	size_t cursor = 0;

	forget_slots(c);
	take_slots(c, map, nodes);
	start_new(c, nodes, map->master_count);
	mem_free(nodes);
	c->known = true;
	if (c->moved)
		cluster_subs_rehouse(&c->subs);
	c->moved = false;
	while ((n = map_next(&c->by_place, &cursor)) != NULL)
		rehearse(n);
	free_gone(c);
	cluster_calls_retry(&c->calls);
	redis_cluster_look(c);
}

/* One slot, ahead of the map. The node that had it counts one less, and should that be its last one, the map
 * will say so. */
void redis_cluster_moved(struct redis_cluster *c, unsigned slot, const struct redis_place *place)
{
	struct cluster_node *n = redis_cluster_find(c, place);
	struct cluster_node *old = c->owner[slot];

	cluster_map_want_from(&c->map, place);
	if (n == NULL || n == old)
		return;
	c->owner[slot] = n;
	c->moved = true;
	n->slots++;
	if (old != NULL)
		old->slots--;
}

/* --- the face --- */

struct redis_cluster *redis_cluster_new(struct loop *loop, const struct config *config,
                                        const struct redis_tls *tls, const char *node_id,
                                        const struct redis_events *events)
{
	struct redis_cluster *c = mem_alloc(sizeof(*c));

	c->loop = loop;
	c->config = config;
	c->login = (struct redis_account){config->redis.user, config->redis.password, 0};
	c->tls = tls != NULL && config->redis.tls.enabled ? tls->nodes : NULL;
	c->node_id = mem_strdup(node_id);
	c->events = *events;
	c->node_events = (struct redis_events){
		.on_message = cluster_subs_message,
		.on_confirmed = cluster_subs_confirmed,
	};
	c->look.run = on_look;
	map_init(&c->by_place);
	cluster_calls_init(&c->calls, c);
	cluster_subs_init(&c->subs, c);
	cluster_map_init(&c->map, c);
	c->ready = find_ready(c);
	return c;
}

void redis_cluster_free(struct redis_cluster **cluster)
{
	struct redis_cluster *c = *cluster;

	*cluster = NULL;
	if (c == NULL)
		return;
	cluster_map_stop(&c->map);
	cluster_calls_free(&c->calls);
	cluster_subs_free(&c->subs);
	forget_slots(c);
	free_gone(c);
	task_cancel(&c->look);
	cluster_map_free(&c->map);
	map_free(&c->by_place);
	mem_free(c->node_id);
	mem_free(c);
}
