#include "redis_subs.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "config.h"
#include "mem.h"
#include "random.h"

/* --- life and death --- */

static const struct redis_sub_face face;

static struct node_sub *sub_new(struct redis_subs *subs, struct bytes channel)
{
	struct node_sub *s = mem_alloc(sizeof(*s) + channel.len + 1);

	assert(channel.len > 0 && channel.len <= REDIS_FEED_CHANNEL_MAX);
	s->handle.face = &face;
	s->subs = subs;
	memcpy(s->name, channel.ptr, channel.len);
	s->channel = (struct bytes){s->name, channel.len};
	map_add(&subs->by_channel, s->channel, s);
	return s;
}

static void sub_free(struct node_sub *s)
{
	map_remove(&s->subs->by_channel, s->channel);
	for (unsigned i = 0; i < REDIS_FEEDS; i++)
		list_remove(&s->at[i].dirty);
	list_remove(&s->linger);
	list_remove(&s->tell);
	mem_free(s);
}

/* Nobody wants it, and no feed has it or waits for a confirmation about it. */
static bool is_gone(const struct node_sub *s)
{
	for (unsigned i = 0; i < REDIS_FEEDS; i++) {
		if (s->at[i].on || s->at[i].in_flight > 0)
			return false;
	}
	return !redis_sub_wanted(s);
}

/* --- telling --- */

static void tell_owner(struct node_sub *s)
{
	/* The node's channel has no owner. */
	if (s->open && s != s->subs->node)
		s->subs->events->on_confirmed(s->owner);
}

void redis_subs_settled(struct redis_subs *subs, struct node_sub *s)
{
	if (is_gone(s)) {
		sub_free(s);
		return;
	}
	if (s->told || !redis_sub_wanted(s) || !redis_handover_confirmed(&subs->handover, s))
		return;
	s->told = true;
	if (s == subs->node)
		subs->on_change(subs->ctx, false);
	tell_owner(s);
}

/* So many callbacks a turn; the others wait for the next ones. */
static void tell_some(struct redis_subs *subs)
{
	for (int i = 0; i < REDIS_TOLD_PER_TURN; i++) {
		struct list *node = list_pop(&subs->to_tell);

		if (node == NULL)
			return;
		tell_owner(container_of(node, struct node_sub, tell));
	}
	timer_start(subs->loop, &subs->tell_more, 0);
}

static void on_tell_more(struct timer *t)
{
	tell_some(container_of(t, struct redis_subs, tell_more));
}

/* Callbacks may open and close subscriptions, so those to be told are collected first. */
void redis_subs_tell(struct redis_subs *subs, bool again)
{
	struct node_sub *s;
	size_t cursor = 0;

	while ((s = map_next(&subs->by_channel, &cursor)) != NULL) {
		if ((s->told && !again) || !redis_sub_wanted(s) ||
		    !redis_handover_confirmed(&subs->handover, s))
			continue;
		s->told = true;
		list_remove(&s->tell);
		if (s->open)
			list_append(&subs->to_tell, &s->tell);
	}
	tell_some(subs);
}

static void forget_told(struct node_sub *s, unsigned slot)
{
	if (!s->told || (slot < REDIS_FEEDS && redis_sub_on(s, slot)))
		return;
	s->told = false;
	list_remove(&s->tell);
}

void redis_subs_forget_told(struct redis_subs *subs, unsigned slot)
{
	struct node_sub *s;
	size_t cursor = 0;

	while ((s = map_next(&subs->by_channel, &cursor)) != NULL)
		forget_told(s, slot);
}

bool redis_subs_told_are_on(const struct redis_subs *subs, unsigned slot)
{
	const struct node_sub *s;
	size_t cursor = 0;

	while ((s = map_next(&subs->by_channel, &cursor)) != NULL) {
		if (s->told && !s->at[slot].refused && !redis_sub_on(s, slot))
			return false;
	}
	return true;
}

/* --- messages --- */

void redis_subs_deliver(struct redis_subs *subs, struct bytes channel, struct bytes payload)
{
	const struct node_sub *s = map_get(&subs->by_channel, channel);

	if (s == NULL)
		return;
	if (s == subs->node)
		subs->on_node_message(subs->ctx, payload);
	else if (s->open)
		subs->events->on_message(s->owner, payload);
}

/* --- all at once --- */

size_t redis_subs_touch_all(struct redis_subs *subs, struct redis_feed *f)
{
	struct node_sub *s;
	size_t cursor = 0;
	size_t count = 0;

	/* The node's channel goes first, so that the canary may fly while the others are on their way. */
	redis_feed_touch(f, subs->node);
	while ((s = map_next(&subs->by_channel, &cursor)) != NULL) {
		if (!redis_sub_wanted(s))
			continue;
		count++;
		if (s != subs->node)
			redis_feed_touch(f, s);
	}
	return count;
}

/* The map must not change while it is walked, so those that are gone are collected first. */
void redis_subs_reset(struct redis_subs *subs, unsigned slot)
{
	struct list gone;
	struct list *node;
	struct node_sub *s;
	size_t cursor = 0;

	list_init(&gone);
	while ((s = map_next(&subs->by_channel, &cursor)) != NULL) {
		redis_sub_reset(s, slot);
		if (is_gone(s))
			list_append(&gone, &s->linger);
	}
	while ((node = list_pop(&gone)) != NULL)
		sub_free(container_of(node, struct node_sub, linger));
}

/* --- lingering --- */

static void arm_linger(struct redis_subs *subs)
{
	uint64_t now = clock_ms();
	uint64_t until_ms;

	if (list_empty(&subs->lingering))
		return;
	until_ms = container_of(subs->lingering.next, struct node_sub, linger)->linger_until_ms;
	timer_start(subs->loop, &subs->linger, until_ms > now ? until_ms - now : 0);
}

static void stop_lingering(struct node_sub *s)
{
	if (!list_linked(&s->linger))
		return;
	list_remove(&s->linger);
	s->subs->lingering_count--;
}

/* The one that has lingered longest. */
static void let_oldest_go(struct redis_subs *subs)
{
	struct node_sub *s = container_of(subs->lingering.next, struct node_sub, linger);

	stop_lingering(s);
	redis_handover_touch(&subs->handover, s);
	if (is_gone(s))
		sub_free(s);
}

static void on_linger(struct timer *t)
{
	struct redis_subs *subs = container_of(t, struct redis_subs, linger);

	while (!list_empty(&subs->lingering)) {
		if (container_of(subs->lingering.next, struct node_sub, linger)->linger_until_ms > clock_ms())
			break;
		let_oldest_go(subs);
	}
	arm_linger(subs);
}

/* --- the face --- */

struct node_sub *redis_subs_open(struct redis_subs *subs, struct bytes channel, void *owner)
{
	struct node_sub *s = map_get(&subs->by_channel, channel);

	if (s == NULL)
		s = sub_new(subs, channel);
	assert(!s->open);
	stop_lingering(s);
	s->open = true;
	s->owner = owner;
	redis_handover_touch(&subs->handover, s);
	return s;
}

static struct node_sub *of_handle(const struct redis_sub *handle)
{
	return container_of(handle, struct node_sub, handle);
}

static bool is_confirmed(const struct redis_sub *handle)
{
	return of_handle(handle)->told;
}

static void close_sub(struct redis_sub *handle)
{
	struct node_sub *s = of_handle(handle);

	assert(s->open);
	s->open = false;
	s->owner = NULL;
	list_remove(&s->tell);
	s->linger_until_ms = clock_ms() + s->subs->linger_ms;
	list_append(&s->subs->lingering, &s->linger);
	if (++s->subs->lingering_count > REDIS_LINGERING_MAX)
		let_oldest_go(s->subs);
	if (!timer_armed(&s->subs->linger))
		arm_linger(s->subs);
}

static const struct redis_sub_face face = {is_confirmed, close_sub};

bool redis_sub_confirmed(const struct redis_sub *s)
{
	return s->face->confirmed(s);
}

void redis_sub_close(struct redis_sub **sub)
{
	struct redis_sub *s = *sub;

	*sub = NULL;
	if (s != NULL)
		s->face->close(s);
}

/* --- in a cluster --- */

void redis_subs_drop(struct node_sub *s)
{
	s->open = false;
	s->owner = NULL;
	list_remove(&s->tell);
	stop_lingering(s);
	redis_handover_touch(&s->subs->handover, s);
	if (is_gone(s))
		sub_free(s);
}

void redis_subs_led_away(struct redis_subs *subs, struct node_sub *s, const struct redis_reply *why)
{
	s->told = false;
	list_remove(&s->tell);
	if (s == subs->node)
		subs->on_displaced(subs->ctx, NULL, why);
	else if (s->open)
		subs->on_displaced(subs->ctx, s->owner, why);
	else
		redis_subs_drop(s);
}

void redis_subs_displaced(struct redis_subs *subs, struct node_sub *s)
{
	redis_subs_led_away(subs, s, NULL);
}

void redis_subs_again(struct node_sub *s)
{
	redis_handover_touch(&s->subs->handover, s);
}

void redis_subs_set_node_channel(struct redis_subs *subs, struct bytes channel)
{
	struct node_sub *old = subs->node;
	struct node_sub *s = map_get(&subs->by_channel, channel);

	if (bytes_eq(old->channel, channel)) {
		redis_handover_touch(&subs->handover, old);
		return;
	}
	redis_handover_unmark(&subs->handover);
	subs->node = s != NULL ? s : sub_new(subs, channel);
	subs->node->open = true;
	redis_handover_touch(&subs->handover, subs->node);
	redis_subs_drop(old);
	subs->on_change(subs->ctx, true);
}

struct bytes redis_subs_publish_word(const struct redis_subs *subs)
{
	return subs->sharded ? BYTES("SPUBLISH") : BYTES("PUBLISH");
}

enum redis_trouble redis_subs_trouble(const struct redis_subs *subs, const char **text)
{
	const struct redis_handover *h = &subs->handover;

	*text = h->error;
	if (h->active == NULL || h->gap)
		return h->trouble == REDIS_FINE ? REDIS_CONNECTING : h->trouble;
	*text = "Redis does not confirm subscriptions";
	return redis_feed_late(h->active) ? REDIS_SILENT : REDIS_FINE;
}

void redis_subs_init(struct redis_subs *subs, struct loop *loop, const struct redis_subs_setup *setup)
{
	uint64_t secret;

	*subs = (struct redis_subs){
		.loop = loop,
		.calls = setup->calls,
		.events = setup->events,
		.linger_ms = setup->config->redis.unsubscribe_linger_ms,
		.linger.fire = on_linger,
		.tell_more.fire = on_tell_more,
		.on_change = setup->on_change,
		.on_node_message = setup->on_node_message,
		.on_displaced = setup->on_displaced,
		.sharded = setup->sharded,
		.ctx = setup->ctx,
	};
	map_init(&subs->by_channel);
	list_init(&subs->lingering);
	list_init(&subs->to_tell);
	random_bytes(&secret, sizeof(secret));
	snprintf(subs->secret, sizeof(subs->secret), "%016" PRIx64, secret);
	subs->node = sub_new(subs, setup->node_channel);
	subs->node->open = true;
	redis_handover_init(&subs->handover, subs, setup->endpoint, setup->config, setup->link_name);
}

void redis_subs_free(struct redis_subs *subs)
{
	redis_handover_free(&subs->handover);
	timer_stop(&subs->linger);
	timer_stop(&subs->tell_more);
	subs->node->open = false;
	while (!list_empty(&subs->lingering))
		stop_lingering(container_of(subs->lingering.next, struct node_sub, linger));
	for (unsigned i = 0; i < REDIS_FEEDS; i++)
		redis_subs_reset(subs, i);
	assert(subs->by_channel.count == 0);
	map_free(&subs->by_channel);
}
