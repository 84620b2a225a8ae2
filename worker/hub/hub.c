/* The hub: finds or opens channels, follows what Redis says about them, and drops them when the last
 * subscriber leaves. What a publication goes through is fanout.c's, publishing publish.c's. */
#include "hub.h"

#include <assert.h>

#include "channel.h"
#include "config.h"
#include "hub_internal.h"
#include "mem.h"
#include "metrics.h"

static void drop_if_empty(struct channel *ch)
{
	struct hub *h = ch->hub;

	if (ch->count > 0 || ch->walks > 0)
		return;
	map_remove(&h->channels, channel_name(ch));
	redis_sub_close(&ch->sub);
	channel_free(&ch);
	metrics_set(channels, h->channels.count);
}

static void stop_waiting(struct channel *ch, struct subscription *s)
{
	if (!s->waiting)
		return;
	s->waiting = false;
	if (--ch->waiting == 0)
		list_remove(&ch->unsure);
}

static void on_message(void *owner, struct bytes payload)
{
	struct channel *ch = owner;

	fanout_payload(&ch->hub->fanout, ch, payload, ch->hub->events.deliver);
	drop_if_empty(ch);
}

/* Tells everybody who waits, and no one twice. */
static void settle(struct channel *ch, enum error_code error)
{
	channel_walk_begin(ch);
	for (uint32_t i = 0; i < ch->count && ch->waiting > 0; i++) {
		struct subscription *s = ch->subscribers[i];

		if (s == NULL || !s->waiting)
			continue;
		stop_waiting(ch, s);
		if (error != ERROR_NONE)
			hub_unsubscribe(ch->hub, s);
		ch->hub->events.subscribed(s, error);
	}
	channel_walk_end(ch);
	drop_if_empty(ch);
}

/* Also after the link was lost and made anew. Between the two, publications may have been missed; a channel
 * without history can do nothing about it. */
static void on_confirmed(void *owner)
{
	settle(owner, ERROR_NONE);
}

/* A subscribe that waits for a Redis that is gone is answered now: clients give up a subscribe after some
 * seconds and then drop their whole connection, but an error makes them try again. */
static void on_ready(void *ctx, bool ready, const char *reason)
{
	struct hub *h = ctx;
	struct list gone;

	list_init(&gone);
	if (!ready)
		list_move_all(&gone, &h->unsure);
	while (!list_empty(&gone))
		settle(container_of(gone.next, struct channel, unsure), ERROR_INTERNAL);
	h->events.ready(h->events.ctx, ready, reason);
}

struct hub *hub_new(struct loop *loop, const struct config *config, struct tls_client *redis_tls,
                    const char *node_id, struct deflater *deflater, const struct hub_events *events)
{
	struct hub *h = mem_alloc(sizeof(*h));
	const struct redis_events redis_events = {
		.on_message = on_message,
		.on_confirmed = on_confirmed,
		.on_ready = on_ready,
		.ctx = h,
	};

	h->events = *events;
	h->prefix = BYTES_OF_STR(config->redis.prefix);
	map_init(&h->channels);
	list_init(&h->unsure);
	fanout_init(&h->fanout, config, deflater);
	h->redis = redis_new(loop, config, redis_tls, node_id, &redis_events);
	return h;
}

void hub_free(struct hub **h)
{
	if (*h == NULL)
		return;
	assert((*h)->channels.count == 0);
	redis_free(&(*h)->redis);
	fanout_free(&(*h)->fanout);
	map_free(&(*h)->channels);
	mem_free(*h);
	*h = NULL;
}

bool hub_ready(const struct hub *h, const char **reason)
{
	return redis_ready(h->redis, reason);
}

size_t hub_channel_count(const struct hub *h)
{
	return h->channels.count;
}

struct channel *hub_find_channel(const struct hub *h, struct bytes channel)
{
	return map_get(&h->channels, channel);
}

static struct channel *open_channel(struct hub *h, struct bytes name)
{
	struct channel *ch = channel_new(h, h->prefix, name);

	ch->sub = redis_sub_open(h->redis, channel_redis_name(ch), ch);
	map_add(&h->channels, channel_name(ch), ch);
	metrics_set(channels, h->channels.count);
	return ch;
}

static void wait_for_confirmation(struct channel *ch, struct subscription *s)
{
	s->waiting = true;
	if (ch->waiting++ == 0)
		list_append(&ch->hub->unsure, &ch->unsure);
}

bool hub_subscribe(struct hub *h, struct bytes channel, struct subscription *s, enum error_code *error)
{
	struct channel *ch = map_get(&h->channels, channel);
	bool confirmed = ch != NULL && redis_sub_confirmed(ch->sub);
	const char *reason;

	*error = ERROR_NONE;
	if (!confirmed && !redis_ready(h->redis, &reason)) {
		*error = ERROR_INTERNAL;
		return false;
	}
	if (ch == NULL) {
		ch = open_channel(h, channel);
		confirmed = redis_sub_confirmed(ch->sub);
	}
	channel_add(ch, s);
	metrics_inc(subscriptions);
	if (!confirmed)
		wait_for_confirmation(ch, s);
	return confirmed;
}

void hub_unsubscribe(struct hub *h, struct subscription *s)
{
	struct channel *ch = s->channel;

	if (ch == NULL)
		return;
	assert(ch->hub == h);
	stop_waiting(ch, s);
	s->live = false;
	channel_remove(ch, s);
	metrics_dec(subscriptions);
	drop_if_empty(ch);
}

struct bytes subscription_channel(const struct subscription *s)
{
	return channel_name(s->channel);
}
