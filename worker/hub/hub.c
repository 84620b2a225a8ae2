/* The hub: finds or opens channels, follows what Redis says about them, and drops them when the last
 * subscriber leaves. What a publication goes through is fanout.c's, publishing publish.c's. */
#include "hub.h"

#include <assert.h>

#include "channel.h"
#include "clock.h"
#include "config.h"
#include "envelope.h"
#include "history.h"
#include "history_waiters.h"
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
	history_free(&ch->history);
	presence_close(&ch->presence);
	backlog_forget(&h->backlog, ch);
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

void hub_let_go(struct channel *ch)
{
	channel_walk_end(ch);
	drop_if_empty(ch);
}

static void take_news(struct channel *ch, const struct envelope *e)
{
	struct push push = {.kind = e->news == NEWS_JOIN ? PUSH_JOIN : PUSH_LEAVE, .info = &e->info};

	if (e->news != NEWS_HISTORY_REMOVED)
		fanout_push(&ch->hub->fanout, ch, &push, ch->hub->events.deliver);
	else if (ch->history != NULL)
		history_removed(ch->history);
}

/* What was read from Redis before the message came. */
static uint32_t stamp_of(const struct channel *ch)
{
	return ch->history != NULL ? history_stamp(ch->history) : 0;
}

/* False when it has to wait for what is missing before it. */
static bool dispatch(struct channel *ch, const struct envelope *e, struct bytes payload, uint32_t stamp)
{
	if (e->news != NEWS_NONE)
		take_news(ch, e);
	else if (ch->history != NULL)
		return history_message(ch->history, &e->publication, payload, stamp);
	else if (e->publication.data.ptr != NULL)
		fanout_publication(&ch->hub->fanout, ch, &e->publication, ch->hub->events.deliver);
	return true;
}

static bool take_message(struct channel *ch, struct bytes payload, uint32_t stamp)
{
	struct envelope envelope UNINITIALIZED; /* two kilobytes of tags that few messages have */

	fanout_decode(&ch->hub->fanout, ch, payload, &envelope);
	return dispatch(ch, &envelope, payload, stamp);
}

static void take_now(struct channel *ch, struct bytes payload)
{
	uint32_t stamp = stamp_of(ch);

	channel_walk_begin(ch);
	if (!take_message(ch, payload, stamp))
		backlog_put(&ch->hub->backlog, ch, payload, stamp);
	hub_let_go(ch);
}

/* That a history was removed does not wait, nor is it dropped. What waits brings back what is gone, so it is
 * forgotten again behind that. */
static void take_later(struct channel *ch, struct bytes payload)
{
	if (ch->history != NULL && envelope_tells_removal(payload)) {
		history_removed(ch->history);
		backlog_mark(ch);
		return;
	}
	backlog_put(&ch->hub->backlog, ch, payload, stamp_of(ch));
}

static void on_message(void *owner, struct bytes payload)
{
	struct channel *ch = owner;

	metrics_inc(publications_received);
	if (backlog_admit(&ch->hub->backlog, ch))
		take_now(ch, payload);
	else
		take_later(ch, payload);
}

static void on_turn_began(struct backlog *b)
{
	struct hub *h = container_of(b, struct hub, backlog);

	h->events.turn_began(h->events.ctx);
}

bool hub_end_turn(struct hub *h)
{
	bool more = backlog_end_turn(&h->backlog);

	history_reads_next_turn(&h->reads);
	return more;
}

static void on_marked(struct channel *ch)
{
	if (ch->history != NULL)
		history_forget(ch->history);
}

/* What was dropped may have been the last for long. */
static void on_delivered(struct channel *ch, bool dropped)
{
	if (ch->history != NULL && dropped)
		history_doubt(ch->history);
	else if (ch->history != NULL)
		history_reads_want(ch->history);
}

static const struct backlog_events backlog_events = {
	.take = take_message,
	.marked = on_marked,
	.delivered = on_delivered,
	.turn_began = on_turn_began,
};

void channel_settled(struct channel *ch, struct subscription *s)
{
	stop_waiting(ch, s);
	ch->hub->events.subscribed(s, ERROR_NONE);
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
	hub_let_go(ch);
}

/* Also after the link was lost and made anew. Between the two, publications may have been missed; a channel
 * without history can do nothing about it. */
static void on_confirmed(void *owner)
{
	struct channel *ch = owner;

	presence_doubt(ch->presence);
	if (ch->history == NULL) {
		settle(ch, ERROR_NONE);
		return;
	}
	history_confirmed(ch->history);
}

/* Those for which there is no Redis now. Answering them may make new ones. */
static void collect_gone(struct hub *h, struct list *gone)
{
	list_for_each (node, &h->unsure) {
		struct channel *ch = container_of(node, struct channel, unsure);

		if (redis_hears(h->redis, channel_redis_name(ch)))
			continue;
		list_remove(node);
		list_append(gone, node);
	}
}

/* A link that breaks is back in a moment, as a rule, and an error makes clients wait for longer than that: a
 * subscribe waits, too. Not for ever: clients give up a subscribe after some seconds, and then drop their
 * whole connection. */
static bool is_gone(const struct hub *h)
{
	const char *reason;

	return !redis_ready(h->redis, &reason) && clock_ms() - h->away_ms >= HUB_PATIENCE_MS;
}

static void give_up_waiting(struct hub *h)
{
	struct list gone;

	list_init(&gone);
	if (is_gone(h))
		collect_gone(h, &gone);
	while (!list_empty(&gone))
		settle(container_of(gone.next, struct channel, unsure), ERROR_INTERNAL);
}

static void on_ready(void *ctx, bool ready, const char *reason)
{
	struct hub *h = ctx;

	if (!ready)
		h->away_ms = clock_ms();
	h->events.ready(h->events.ctx, ready, reason);
}

struct hub *hub_new(struct loop *loop, const struct config *config, const struct redis_tls *redis_tls,
                    const char *node_id, const char *dead_id, struct deflater *deflater,
                    const struct hub_events *events)
{
	struct hub *h = mem_alloc(sizeof(*h));
	const struct redis_events redis_events = {
		.on_message = on_message,
		.on_confirmed = on_confirmed,
		.on_ready = on_ready,
		.ctx = h,
	};

	h->events = *events;
	h->config = config;
	h->prefix = BYTES_OF_STR(config->redis.prefix);
	map_init(&h->channels);
	list_init(&h->unsure);
	h->away_ms = clock_ms();
	fanout_init(&h->fanout, config, deflater);
	backlog_init(&h->backlog, &backlog_events);
	history_queries_init(&h->queries);
	replays_init(&h->replays);
	recent_pool_init(&h->recent, config->history.cache_size);
	h->redis = redis_new(loop, config, redis_tls, node_id, &redis_events);
	history_reads_init(&h->reads, h->redis, &h->backlog, config->client.channel_position_check_delay_ms);
	workers_init(&h->workers, h->redis, config, node_id, dead_id, presences_check, &h->presences);
	presences_init(&h->presences, h->redis, &h->workers, config);
	return h;
}

void hub_free(struct hub **h)
{
	if (*h == NULL)
		return;
	assert((*h)->channels.count == 0);
	presences_free(&(*h)->presences);
	workers_free(&(*h)->workers);
	redis_free(&(*h)->redis);
	fanout_free(&(*h)->fanout);
	map_free(&(*h)->channels);
	history_queries_free(&(*h)->queries);
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
	const struct channel_options *options = config_channel(h->config, name.ptr, name.len);
	struct channel *ch = channel_new(h, h->prefix, name);

	ch->id = ++h->channels_opened;
	ch->sub = redis_sub_open(h->redis, channel_redis_name(ch), ch);
	map_add(&h->channels, channel_name(ch), ch);
	metrics_set(channels, h->channels.count);
	if (options != NULL && config_has_presence(options))
		ch->presence = presence_open(&h->presences, ch, options);
	if (options == NULL || !config_has_history(options))
		return ch;
	ch->history = history_new(ch, options, &h->reads, &h->recent);
	if (redis_sub_confirmed(ch->sub))
		history_confirmed(ch->history);
	return ch;
}

static void wait_for_settling(struct channel *ch, struct subscription *s)
{
	s->waiting = true;
	if (ch->waiting++ == 0)
		list_append(&ch->hub->unsure, &ch->unsure);
}

static bool is_confirmed(const struct channel *ch)
{
	return ch != NULL && redis_sub_confirmed(ch->sub);
}

void hub_put_redis_name(const struct hub *h, struct buf *out, struct bytes channel)
{
	buf_put_bytes(out, h->prefix);
	buf_put_bytes(out, channel);
}

/* Whether Redis can confirm a subscription of it, now or in a moment. */
static bool can_confirm(const struct hub *h, struct bytes channel)
{
	struct buf name;
	bool hears;

	if (!is_gone(h))
		return true;
	buf_init(&name, h->prefix.len + channel.len);
	hub_put_redis_name(h, &name, channel);
	hears = buf_ok(&name) && redis_hears(h->redis, buf_bytes(&name));
	buf_free(&name);
	return hears;
}

bool hub_subscribe(struct hub *h, struct bytes channel, struct subscription *s, const struct want *want,
                   enum error_code *error)
{
	struct channel *ch = map_get(&h->channels, channel);
	bool ready;

	*error = ERROR_NONE;
	if (!is_confirmed(ch) && !can_confirm(h, channel)) {
		*error = ERROR_INTERNAL;
		return false;
	}
	if (ch == NULL)
		ch = open_channel(h, channel);
	channel_add(ch, s);
	metrics_inc(subscriptions);
	s->positioned = ch->history != NULL && want->positioned;
	s->hears_joins = want->hears_joins;
	ready = ch->history != NULL ? history_wait(ch->history, s, want) : is_confirmed(ch);
	if (!ready)
		wait_for_settling(ch, s);
	return ready;
}

bool hub_may_begin(struct hub *h, struct subscription *s)
{
	if (s->waiter == NULL || history_may_begin(s->channel->history, s))
		return true;
	wait_for_settling(s->channel, s);
	return false;
}

size_t hub_missed_bytes(const struct subscription *s)
{
	return s->waiter != NULL ? history_missed_bytes(s->channel->history, s) : 0;
}

bool hub_prepare(struct subscription *s)
{
	return s->waiter == NULL || history_prepare(s->channel->history, s);
}

void hub_begin(struct hub *h, struct subscription *s, struct hub_answer *answer, struct buf *publications)
{
	*answer = (struct hub_answer){0};
	if (s->waiter != NULL)
		history_begin(s->channel->history, s, answer, publications);
	s->live = true;
}

void hub_join(struct hub *h, struct subscription *s)
{
	if (s->channel->presence == NULL)
		return;
	s->is_member = true;
	presence_join(s->channel->presence, s);
}

bool hub_is_busy(const struct hub *h)
{
	return presences_are_busy(&h->presences);
}

bool hub_resign(struct hub *h, void (*done)(void *ctx), void *ctx)
{
	return workers_resign(&h->workers, done, ctx);
}

void hub_call_dead(struct hub *h, const char *node_id)
{
	workers_call_dead(&h->workers, BYTES_OF_STR(node_id));
}

void hub_unsubscribe(struct hub *h, struct subscription *s)
{
	struct channel *ch = s->channel;

	if (ch == NULL)
		return;
	assert(ch->hub == h);
	stop_waiting(ch, s);
	if (s->waiter != NULL)
		history_stop_waiting(ch->history, s);
	s->live = false;
	if (s->is_member)
		presence_leave(ch->presence, s);
	s->is_member = false;
	channel_remove(ch, s);
	metrics_dec(subscriptions);
	drop_if_empty(ch);
}

struct bytes subscription_channel(const struct subscription *s)
{
	return channel_name(s->channel);
}

uint64_t subscription_channel_id(const struct subscription *s)
{
	return s->channel->id;
}

void hub_tick(struct hub *h)
{
	give_up_waiting(h);
	history_reads_tick(&h->reads);
	history_queries_tick(h);
	replays_tick(&h->replays);
	workers_tick(&h->workers);
	presences_tick(&h->presences);
}
