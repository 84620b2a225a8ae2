/* Who waits for a position, and what he gets. */
#include "history_waiters.h"

#include <string.h>

#include "channel.h"
#include "clock.h"
#include "config.h"
#include "fanout.h"
#include "history.h"
#include "history_internal.h"
#include "history_reads.h"
#include "list.h"
#include "mem.h"
#include "recovery.h"
#include "replay.h"

/* A subscription that is not live yet; what it wants. */
struct waiter {
	struct list node; /* in history->waiters until it is told, or in a list of those to be told */
	struct subscription *subscription;
	struct want want; /* the epoch stands behind */
	uint32_t sent;    /* reads, when it came, or when it lacked nothing */
	bool pinned;      /* what is kept is not given up */
	char epoch[];
};

static enum recovery_mode mode_of(const struct history *h)
{
	return (enum recovery_mode)h->options->force_recovery_mode;
}

/* Should what it gets be given up before it begins, a read after this moment is of use. */
static bool can_begin(const struct history *h, struct waiter *w)
{
	if (!history_is_known(h))
		return false;
	switch (recovery_lacks(&w->want, mode_of(h), &h->position, &h->recent)) {
	case RECOVERY_LACKS_NOTHING: w->sent = h->sent; return true;
	case RECOVERY_LACKS_TOP: return h->answered > w->sent && !h->behind;
	case RECOVERY_LACKS_RECENT: return h->remembered > w->sent;
	}
	return true;
}

static void pin(struct history *h, struct waiter *w, bool on)
{
	if (w->pinned == on)
		return;
	w->pinned = on;
	if (on)
		recent_pin(&h->recent);
	else
		recent_unpin(&h->recent);
}

/* Only while it is read for who waits, is what is kept not given up: a client may take long until it begins.
 */
static bool try_to_begin(struct history *h, struct waiter *w)
{
	bool can = can_begin(h, w);

	pin(h, w, w->want.recover && (!can || w->want.together));
	return can;
}

void history_settle(struct history *h)
{
	struct list now;
	struct list *node;

	list_init(&now);
	list_for_each (each, &h->waiters) {
		struct waiter *w = container_of(each, struct waiter, node);

		if (!try_to_begin(h, w))
			continue;
		list_remove(&w->node);
		list_append(&now, &w->node);
	}
	while ((node = list_pop(&now)) != NULL)
		channel_settled(h->channel, container_of(node, struct waiter, node)->subscription);
}

bool history_wait(struct history *h, struct subscription *s, const struct want *want)
{
	/* One that is longer than any is as good as cut: it is none of ours either way. */
	struct bytes epoch = bytes_first(want->epoch, EPOCH_MAX + 1);
	struct waiter *w = mem_alloc(sizeof(*w) + epoch.len);

	w->subscription = s;
	w->want = *want;
	if (epoch.len > 0)
		memcpy(w->epoch, epoch.ptr, epoch.len);
	w->want.epoch = (struct bytes){w->epoch, epoch.len};
	w->sent = h->sent;
	list_init(&w->node);
	w->pinned = false;
	s->waiter = w;
	return history_may_begin(h, s);
}

/* Redis forgets a stream as a whole, its time to live after the last publication; so do we. */
static void forget_expired(struct history *h)
{
	if (clock_ms() - h->newest_ms > h->options->history_ttl_ms)
		recent_clear(&h->recent);
}

bool history_may_begin(struct history *h, struct subscription *s)
{
	struct waiter *w = s->waiter;

	forget_expired(h);
	if (try_to_begin(h, w))
		return true;
	list_append(&h->waiters, &w->node);
	history_reads_want(h);
	return false;
}

size_t history_missed_bytes(const struct history *h, const struct subscription *s)
{
	struct recovery r = recovery_of(&s->waiter->want, mode_of(h), &h->position, &h->recent);
	size_t bytes = 0;

	for (uint64_t offset = r.first; offset <= r.last; offset++)
		bytes += recent_get(&h->recent, offset).len;
	return bytes;
}

bool history_prepare(struct history *h, const struct subscription *s)
{
	struct recovery r = recovery_of(&s->waiter->want, mode_of(h), &h->position, &h->recent);

	return replay_prepare(&h->replay, fanout_codec(s->form), &h->recent, r.first, r.last);
}

void history_stop_waiting(struct history *h, struct subscription *s)
{
	struct waiter *w = s->waiter;

	if (w == NULL)
		return;
	pin(h, w, false);
	list_remove(&w->node);
	mem_free(w);
	s->waiter = NULL;
}

void history_begin(struct history *h, struct subscription *s, struct hub_answer *answer,
                   struct buf *publications)
{
	const struct want *want = &s->waiter->want;
	struct recovery r = recovery_of(want, mode_of(h), &h->position, &h->recent);

	*answer = (struct hub_answer){
		.epoch = {h->position.epoch, h->position.epoch_len},
		.offset = h->position.offset,
		.recovered = r.recovered,
		.asked_from = want->offset,
	};
	replay_put(&h->replay, fanout_codec(s->form), &h->recent, r.first, r.last, publications);
	history_stop_waiting(h, s);
}

bool history_lacks_recent(const struct history *h)
{
	list_for_each (node, &h->waiters) {
		const struct waiter *w = container_of(node, struct waiter, node);

		if (!history_is_known(h) ? w->want.recover
		                         : recovery_lacks(&w->want, mode_of(h), &h->position, &h->recent) ==
		                                   RECOVERY_LACKS_RECENT)
			return true;
	}
	return false;
}
