#include "cluster_subs.h"

#include <assert.h>

#include "mem.h"
#include "redis_cluster.h"

/* What the owner holds. */
struct cluster_sub {
	struct redis_sub handle;
	struct cluster_subs *subs;
	void *owner;
	struct node_sub *at; /* NULL: at no node */
	struct cluster_node *node;
	unsigned slot;
	unsigned hops;  /* since it was confirmed, or waited */
	struct list in; /* one of the lists of cluster_subs */
	struct bytes channel;
	char name[];
};

static struct cluster_sub *of_handle(const struct redis_sub *handle)
{
	return container_of(handle, struct cluster_sub, handle);
}

static struct cluster_sub *of_list(struct list *in)
{
	return container_of(in, struct cluster_sub, in);
}

static void put_in(struct cluster_sub *s, struct list *list)
{
	list_remove(&s->in);
	list_append(list, &s->in);
}

static void leave(struct cluster_sub *s)
{
	if (s->at != NULL)
		redis_subs_drop(s->at);
	s->at = NULL;
	s->node = NULL;
}

/* False: nobody has the slot. */
static bool settle(struct cluster_sub *s)
{
	struct cluster_node *n = s->subs->cluster->owner[s->slot];

	if (n == NULL)
		return false;
	s->node = n;
	s->at = redis_subs_open(&n->node.subs, s->channel, s);
	put_in(s, &s->subs->settled);
	return true;
}

/* --- moving --- */

static void wait_for_place(struct cluster_sub *s)
{
	struct cluster_subs *subs = s->subs;

	s->hops = 0;
	put_in(s, &subs->waiting);
	if (!timer_armed(&subs->pause))
		timer_start(subs->cluster->loop, &subs->pause, CLUSTER_SUBS_PAUSE_MS);
}

static void house(struct cluster_sub *s)
{
	leave(s);
	if (!settle(s))
		wait_for_place(s);
	else if (redis_sub_confirmed(&s->at->handle))
		cluster_subs_confirmed(s); /* it lingers there since it was there before */
}

/* Callbacks may close others, or open new ones. */
static void on_house(struct task *t)
{
	struct cluster_subs *subs = container_of(t, struct cluster_subs, house);

	for (int i = 0; i < CLUSTER_SUBS_PER_TURN && !list_empty(&subs->homeless); i++)
		house(of_list(subs->homeless.next));
	if (!list_empty(&subs->homeless) && !timer_armed(&subs->pause))
		timer_start(subs->cluster->loop, &subs->pause, 0);
}

static void on_pause(struct timer *t)
{
	struct cluster_subs *subs = container_of(t, struct cluster_subs, pause);

	list_move_all(&subs->homeless, &subs->waiting);
	loop_defer(subs->cluster->loop, &subs->house);
}

/* A node that is gone must be left at once; the others are looked for in turn. */
void cluster_subs_rehouse(struct cluster_subs *subs)
{
	list_for_each (in, &subs->settled) {
		struct cluster_sub *s = of_list(in);
		struct cluster_node *owner = subs->cluster->owner[s->slot];

		if (owner != s->node && (owner != NULL || s->node->gone))
			put_in(s, &subs->homeless);
	}
	list_move_all(&subs->homeless, &subs->waiting);
	list_for_each (in, &subs->homeless) {
		if (of_list(in)->node != NULL && of_list(in)->node->gone)
			leave(of_list(in));
	}
	loop_defer(subs->cluster->loop, &subs->house);
}

/* --- events of a node --- */

void cluster_subs_message(void *owner, struct bytes payload)
{
	struct cluster_sub *s = owner;

	s->subs->cluster->events.on_message(s->owner, payload);
}

void cluster_subs_confirmed(void *owner)
{
	struct cluster_sub *s = owner;

	s->hops = 0;
	s->subs->cluster->events.on_confirmed(s->owner);
}

/* False: Redis does not say where it is now, or no node is known there. */
static bool follow(struct cluster_sub *s, const struct redis_reply *why)
{
	struct redis_cluster *c = s->subs->cluster;
	struct redis_redirect to;

	if (!redis_redirect_read(why, &s->node->place, &to) || to.ask || to.slot != s->slot)
		return false;
	redis_cluster_moved(c, to.slot, &to.place);
	if (c->owner[s->slot] == s->node || ++s->hops > CLUSTER_SUBS_HOPS)
		return false;
	put_in(s, &s->subs->homeless);
	loop_defer(c->loop, &s->subs->house);
	return true;
}

/* Who cannot be led is led by the map, as a rule before the pause is over. */
void cluster_subs_displaced(struct cluster_subs *subs, void *owner, const struct redis_reply *why)
{
	struct cluster_sub *s = owner;

	if (why == NULL)
		redis_subs_again(s->at);
	else if (!follow(s, why))
		wait_for_place(s);
}

/* --- the face --- */

static bool is_confirmed(const struct redis_sub *handle)
{
	const struct cluster_sub *s = of_handle(handle);

	return s->at != NULL && redis_sub_confirmed(&s->at->handle);
}

static void close_sub(struct redis_sub *handle)
{
	struct cluster_sub *s = of_handle(handle);
	struct redis_sub *at = s->at != NULL ? &s->at->handle : NULL;

	redis_sub_close(&at);
	list_remove(&s->in);
	mem_free(s);
}

static const struct redis_sub_face face = {is_confirmed, close_sub};

struct redis_sub *cluster_subs_open(struct cluster_subs *subs, struct bytes channel, void *owner)
{
	struct cluster_sub *s = mem_alloc(sizeof(*s) + channel.len + 1);

	assert(channel.len > 0);
	s->handle.face = &face;
	s->subs = subs;
	s->owner = owner;
	s->slot = redis_slot_of(channel);
	memcpy(s->name, channel.ptr, channel.len);
	s->channel = (struct bytes){s->name, channel.len};
	if (!settle(s))
		wait_for_place(s);
	return &s->handle;
}

void cluster_subs_init(struct cluster_subs *subs, struct redis_cluster *c)
{
	*subs = (struct cluster_subs){.cluster = c, .house.run = on_house, .pause.fire = on_pause};
	list_init(&subs->settled);
	list_init(&subs->homeless);
	list_init(&subs->waiting);
}

void cluster_subs_free(struct cluster_subs *subs)
{
	assert(list_empty(&subs->settled) && list_empty(&subs->homeless) && list_empty(&subs->waiting));
	task_cancel(&subs->house);
	timer_stop(&subs->pause);
}
