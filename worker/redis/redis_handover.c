#include "redis_handover.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "metrics.h"
#include "redis_subs.h"

static void check_soon(struct redis_handover *h)
{
	if (!timer_armed(&h->check))
		timer_start(h->subs->loop, &h->check, REDIS_HANDOVER_CHECK_MS);
}

/* --- making a feed --- */

static void make_next(struct redis_handover *h)
{
	timer_stop(&h->retry);
	if (h->next != NULL)
		return;
	h->next = &h->feeds[h->active == &h->feeds[0] ? 1 : 0];
	redis_backoff_try(&h->backoff);
	redis_feed_open(h->next);
}

static void on_retry(struct timer *t)
{
	make_next(container_of(t, struct redis_handover, retry));
}

static void make_next_later(struct redis_handover *h, bool refused)
{
	if (h->next == NULL && !timer_armed(&h->retry))
		timer_start(h->subs->loop, &h->retry, redis_backoff_next(&h->backoff, refused));
}

/* Closed by us, not lost. */
static void close_feed(struct redis_handover *h, struct redis_feed *f)
{
	redis_feed_close(f);
	redis_subs_reset(h->subs, f->slot);
}

/* --- the marker --- */

static void unmark(struct redis_handover *h)
{
	h->marked = false;
	h->gap = false;
	h->seen[0] = h->seen[1] = false;
	redis_call_cancel(&h->publish);
	buf_free(&h->hold);
	h->held = 0;
}

static void on_published(void *arg, const struct redis_reply *reply)
{
	struct redis_handover *h = arg;

	h->publish = NULL;
	h->step_ms = clock_ms();
	if ((reply != NULL && reply->type == REDIS_INTEGER) || h->seen[h->next->slot])
		return;
	if (h->seen[h->active->slot]) {
		redis_link_fail(&h->next->link, REDIS_SILENT, "does not publish the marker");
		return;
	}
	unmark(h);
	redis_subs_tell(h->subs, false);
	timer_start(h->subs->loop, &h->check, REDIS_HANDOVER_AGAIN_MS);
}

static void publish_marker(struct redis_handover *h)
{
	struct bytes args[3] = {redis_subs_publish_word(h->subs), h->subs->node->channel, BYTES_NONE};

	snprintf(h->marker, sizeof(h->marker), "marker %s %" PRIu64, h->subs->secret, ++h->marker_number);
	args[2] = BYTES_OF_STR(h->marker);
	h->marked = true;
	h->marked_ms = h->step_ms = clock_ms();
	h->publish = redis_calls_send(h->subs->calls, args, 3, on_published, h);
	check_soon(h);
}

/* While the old feed is listened to, all that owners rely upon must be confirmed on the next one. */
static bool next_is_ready(const struct redis_handover *h)
{
	return h->active != NULL && h->next != NULL && redis_link_up(&h->next->link) &&
	       h->next->to_confirm == 0 && redis_sub_on(h->subs->node, h->next->slot) &&
	       redis_subs_told_are_on(h->subs, h->next->slot);
}

/* --- changing places --- */

static void deliver_held(struct redis_handover *h, struct buf *hold)
{
	size_t at = 0;

	while (at < hold->len) {
		uint32_t len[2];
		struct bytes channel;
		struct bytes payload;

		memcpy(len, hold->data + at, sizeof(len));
		channel = (struct bytes){hold->data + at + sizeof(len), len[0]};
		payload = (struct bytes){channel.ptr + len[0], len[1]};
		redis_subs_deliver(h->subs, channel, payload);
		at += sizeof(len) + len[0] + len[1];
	}
	buf_free(hold);
}

/* The next feed takes over. gap: messages may have been missed. */
static void change_places(struct redis_handover *h, bool gap)
{
	struct redis_feed *old = h->active;
	struct buf hold = h->hold;

	gap = gap || h->gap;
	buf_init(&h->hold, REDIS_HANDOVER_HOLD_BYTES);
	unmark(h);
	h->active = h->next;
	h->next = NULL;
	h->doubts = 0;
	timer_stop(&h->check);
	if (redis_link_up(&old->link))
		metrics_inc(redis_link_losses);
	close_feed(h, old);
	log_info("Redis subscriptions moved to a new connection%s",
	         gap ? ", messages may have been missed" : "");
	redis_subs_forget_told(h->subs, h->active->slot);
	redis_subs_tell(h->subs, gap);
	deliver_held(h, &hold);
	h->subs->on_change(h->subs->ctx, true);
}

static void give_up_old(struct redis_handover *h, const char *why)
{
	log_warning("the doubted connection to Redis is given up: %s", why);
	change_places(h, true);
}

static void hold_message(struct redis_handover *h, struct bytes channel, struct bytes payload)
{
	uint32_t len[2] = {(uint32_t)channel.len, (uint32_t)payload.len};
	size_t before = h->hold.len;

	buf_put(&h->hold, len, sizeof(len));
	buf_put_bytes(&h->hold, channel);
	buf_put_bytes(&h->hold, payload);
	if (buf_ok(&h->hold) && ++h->held <= REDIS_HANDOVER_HOLD_MESSAGES)
		return;
	h->hold.len = before;
	h->hold.failed = false;
	give_up_old(h, "too much would be held back for it");
	redis_subs_deliver(h->subs, channel, payload);
}

static void on_marker(struct redis_handover *h, const struct redis_feed *f)
{
	h->seen[f->slot] = true;
	h->step_ms = clock_ms();
	if (h->seen[0] && h->seen[1])
		change_places(h, false);
}

/* What to do with a message. */
enum route { DELIVER, HOLD, DROP };

static enum route route_of(const struct redis_handover *h, const struct redis_feed *f)
{
	if (f == h->active)
		return h->seen[f->slot] ? DROP : DELIVER;
	return h->seen[f->slot] ? HOLD : DROP;
}

static void on_message(struct redis_feed *f, struct bytes channel, struct bytes payload)
{
	struct redis_handover *h = f->ctx;

	if (h->marked && bytes_eq(channel, h->subs->node->channel) &&
	    bytes_eq(payload, BYTES_OF_STR(h->marker))) {
		on_marker(h, f);
		return;
	}
	switch (route_of(h, f)) {
	case DELIVER: redis_subs_deliver(h->subs, channel, payload); return;
	case HOLD: hold_message(h, channel, payload); return;
	case DROP: return;
	}
}

/* --- deadlines --- */

static uint64_t silent_ms(const struct redis_handover *h, const struct redis_feed *f)
{
	uint64_t since = f->link.moved_ms > h->step_ms ? f->link.moved_ms : h->step_ms;

	return clock_ms() - since;
}

static uint64_t patience_ms(const struct redis_handover *h)
{
	return h->active->link.moved_ms > h->doubted_ms ? REDIS_HANDOVER_LATE_MS : REDIS_HANDOVER_BEHIND_MS;
}

static void check_marked(struct redis_handover *h)
{
	bool over = clock_ms() - h->marked_ms >= REDIS_HANDOVER_WAIT_MS;

	check_soon(h);
	if (h->seen[h->next->slot]) {
		if (over || silent_ms(h, h->active) >= patience_ms(h))
			give_up_old(h, "it is silent");
		return;
	}
	if (over || (h->publish == NULL && silent_ms(h, h->next) >= REDIS_HANDOVER_SILENCE_MS))
		redis_link_fail(&h->next->link, REDIS_SILENT, "does not bring the marker");
}

static void on_check(struct timer *t)
{
	struct redis_handover *h = container_of(t, struct redis_handover, check);

	if (h->active == NULL || h->next == NULL || !redis_link_up(&h->next->link))
		return;
	if (h->marked)
		check_marked(h);
	else if (redis_calls_trouble(h->subs->calls) == REDIS_FINE && next_is_ready(h))
		publish_marker(h);
	else
		check_soon(h);
}

/* --- what the feeds say --- */

static void on_up(struct redis_feed *f)
{
	struct redis_handover *h = f->ctx;

	assert(f == h->next);
	metrics_inc(redis_connects);
	redis_backoff_up(&h->backoff);
	h->trouble = REDIS_FINE;
	f->to_confirm = redis_subs_touch_all(h->subs, f);
	if (h->active == NULL) {
		h->active = f;
		h->next = NULL;
		h->subs->on_change(h->subs->ctx, true);
		return;
	}
	check_soon(h);
}

/* Nothing is listened to any more. What was subscribed on a next feed that is not complete yet helps nobody:
 * where it stands in the stream of messages, before or behind the old one, is not known. */
static void start_over(struct redis_handover *h)
{
	if (h->next != NULL && redis_link_up(&h->next->link)) {
		close_feed(h, h->next);
		h->next = NULL;
	}
	unmark(h);
	h->active = NULL;
	h->doubts = 0;
	redis_subs_forget_told(h->subs, REDIS_FEEDS);
	make_next_later(h, h->trouble == REDIS_REFUSING);
}

/* The old feed broke while the next one was being prepared. A marker that is published now comes after
 * everything that the old one brought: from there on the next one doubles no message. */
static void skip_to_marker(struct redis_handover *h)
{
	unmark(h);
	publish_marker(h);
	h->gap = true;
	h->seen[h->active->slot] = true;
	redis_subs_forget_told(h->subs, REDIS_FEEDS);
}

static void lost_active(struct redis_handover *h)
{
	const struct redis_feed *next = h->next;

	if (next != NULL && h->seen[next->slot])
		change_places(h, true);
	else if (next != NULL && h->seen[h->active->slot])
		return; /* it had brought everything that was asked of it */
	else if (next != NULL && redis_link_up(&next->link) && next->to_confirm == 0 &&
	         redis_sub_on(h->subs->node, next->slot))
		skip_to_marker(h);
	else
		start_over(h);
}

static void lost_next(struct redis_handover *h)
{
	/* When the old feed had passed the marker already, what it brought since then was dropped. */
	bool gap = h->active != NULL && h->seen[h->active->slot];

	h->next = NULL;
	timer_stop(&h->check);
	if (h->active == NULL || !redis_link_up(&h->active->link)) {
		start_over(h);
		return;
	}
	unmark(h);
	if (h->doubts != 0)
		make_next_later(h, h->trouble == REDIS_REFUSING);
	redis_subs_tell(h->subs, gap);
}

static void on_down(struct redis_feed *f, bool was_up)
{
	struct redis_handover *h = f->ctx;

	if (was_up)
		metrics_inc(redis_link_losses);
	h->trouble = f->link.trouble;
	memcpy(h->error, f->link.error, sizeof(h->error));
	redis_subs_reset(h->subs, f->slot);
	if (f == h->active)
		lost_active(h);
	else
		lost_next(h);
	h->subs->on_change(h->subs->ctx, f == h->active || h->active == NULL);
}

static void on_settled(struct redis_feed *f, struct node_sub *s)
{
	struct redis_handover *h = f->ctx;

	if (s == h->subs->node && s->at[f->slot].refused) {
		redis_link_fail(&f->link, REDIS_REFUSING, "does not allow the channel %.*s",
		                BYTES_FMT(bytes_first(s->channel, REDIS_ERROR_SHOWN)));
		return;
	}
	redis_subs_settled(h->subs, s);
}

static void on_late(struct redis_feed *f)
{
	struct redis_handover *h = f->ctx;

	if (f == h->next)
		redis_link_fail(&f->link, REDIS_SILENT, "does not confirm subscriptions");
	else if (redis_feed_late(f))
		redis_handover_doubt(h, REDIS_DOUBT_LATE);
	else
		redis_handover_trust(h, REDIS_DOUBT_LATE);
}

static void on_displaced(struct redis_feed *f, struct node_sub *s, const struct redis_reply *why)
{
	struct redis_handover *h = f->ctx;

	redis_subs_led_away(h->subs, s, why);
}

/* While something is under way for it, Redis is still to say how it stands. */
static void on_lost(struct redis_feed *f, struct bytes channel)
{
	struct redis_handover *h = f->ctx;
	struct node_sub *s = map_get(&h->subs->by_channel, channel);

	if (s == NULL || !redis_sub_on(s, f->slot))
		return;
	list_remove(&s->at[f->slot].dirty);
	s->at[f->slot].on = false;
	redis_subs_displaced(h->subs, s);
}

static const struct redis_feed_events feed_events = {
	.on_up = on_up,
	.on_down = on_down,
	.on_message = on_message,
	.on_settled = on_settled,
	.on_late = on_late,
	.on_displaced = on_displaced,
	.on_lost = on_lost,
};

/* --- the face --- */

void redis_handover_touch(struct redis_handover *h, struct node_sub *s)
{
	for (unsigned i = 0; i < REDIS_FEEDS; i++)
		redis_feed_touch(&h->feeds[i], s);
}

/* Once the next feed has caught up, what is new must be there too, or it would never be complete. */
bool redis_handover_confirmed(const struct redis_handover *h, const struct node_sub *s)
{
	if (h->active == NULL || !redis_sub_on(s, h->active->slot))
		return false;
	if (h->next == NULL || !redis_link_up(&h->next->link) || h->next->to_confirm > 0)
		return true;
	return redis_sub_on(s, h->next->slot);
}

static void leave(struct redis_feed *f)
{
	if (f != NULL && f->link.phase != LINK_DOWN)
		redis_link_fail(&f->link, REDIS_AWAY, "is not the master any more");
}

/* The next one first: it is to take over from nobody. */
void redis_handover_leave(struct redis_handover *h)
{
	leave(h->next);
	leave(h->active);
	assert(h->active == NULL && h->next == NULL);
}

void redis_handover_arrive(struct redis_handover *h)
{
	h->backoff = (struct redis_backoff){0};
	make_next(h);
}

void redis_handover_unmark(struct redis_handover *h)
{
	if (h->marked && h->next != NULL && h->next->link.phase != LINK_DOWN)
		redis_link_fail(&h->next->link, REDIS_AWAY, "is not heard by the marker any more");
}

void redis_handover_doubt(struct redis_handover *h, enum redis_doubt cause)
{
	if (h->active == NULL)
		return;
	if (h->doubts == 0)
		h->doubted_ms = clock_ms();
	h->doubts |= cause;
	if (!timer_armed(&h->retry))
		make_next(h);
	h->subs->on_change(h->subs->ctx, false);
}

void redis_handover_trust(struct redis_handover *h, enum redis_doubt cause)
{
	if (!(h->doubts & cause))
		return;
	h->doubts &= ~(unsigned)cause;
	if (h->doubts == 0 && !h->marked) {
		timer_stop(&h->retry);
		timer_stop(&h->check);
		if (h->next != NULL)
			close_feed(h, h->next);
		h->next = NULL;
		redis_subs_tell(h->subs, false);
	}
	h->subs->on_change(h->subs->ctx, false);
}

void redis_handover_init(struct redis_handover *h, struct redis_subs *subs,
                         const struct redis_endpoint *endpoint, const struct config *config,
                         const char *link_name)
{
	*h = (struct redis_handover){
		.subs = subs, .retry.fire = on_retry, .check.fire = on_check, .trouble = REDIS_CONNECTING};
	buf_init(&h->hold, REDIS_HANDOVER_HOLD_BYTES);
	for (unsigned i = 0; i < REDIS_FEEDS; i++)
		redis_feed_init(&h->feeds[i], i, subs->sharded, subs->loop, endpoint, &feed_events, h,
		                link_name, config->redis.connect_timeout_ms, config->redis.call_timeout_ms);
	make_next(h);
}

void redis_handover_free(struct redis_handover *h)
{
	redis_call_cancel(&h->publish);
	timer_stop(&h->retry);
	timer_stop(&h->check);
	for (unsigned i = 0; i < REDIS_FEEDS; i++)
		redis_feed_close(&h->feeds[i]);
	buf_free(&h->hold);
}
