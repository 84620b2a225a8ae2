/* The stream itself: where it stands, and what becomes of a message. */
#include "history.h"

#include <assert.h>
#include <string.h>

#include "channel.h"
#include "clock.h"
#include "config.h"
#include "history_ahead.h"
#include "history_internal.h"
#include "history_reads.h"
#include "history_waiters.h"
#include "hub_internal.h"
#include "log.h"
#include "map.h"
#include "mem.h"
#include "metrics.h"
#include "recovery.h"

/* --- birth and end --- */

/* No more than may be sent at once to who comes back, and no more than Redis has. */
static uint32_t most_recent(const struct hub *hub, const struct channel_options *options)
{
	int limit = hub->config->client.recovery_max_publication_limit;

	return (uint32_t)(limit < options->history_size ? limit : options->history_size);
}

struct history *history_new(struct channel *ch, const struct channel_options *options,
                            struct history_reads *reads, struct recent_pool *pool)
{
	struct history *h = mem_alloc(sizeof(*h));

	h->channel = ch;
	h->options = options;
	h->reads = reads;
	h->behind = true;
	h->trusted = TRUST_ALL;
	list_init(&h->waiters);
	recent_init(&h->recent, pool, most_recent(ch->hub, options));
	replay_init(&h->replay, &ch->hub->replays);
	return h;
}

void history_free(struct history **h)
{
	if (*h == NULL)
		return;
	assert(list_empty(&(*h)->waiters));
	history_reads_forget(*h);
	recent_clear(&(*h)->recent);
	replay_forget(&(*h)->replay);
	mem_free(*h);
	*h = NULL;
}

/* --- the position --- */

bool history_is_known(const struct history *h)
{
	return h->position.epoch_len > 0;
}

void history_forget(struct history *h)
{
	recent_clear(&h->recent);
	replay_forget(&h->replay);
	h->reading_on = false;
}

void history_set_position(struct history *h, struct bytes epoch, uint64_t offset)
{
	h->position.offset = offset;
	h->position.epoch_len = (uint8_t)epoch.len;
	memmove(h->position.epoch, epoch.ptr, epoch.len);
	h->newest_hash = 0;
	h->lacked = 0;
	history_forget(h);
}

void history_advance(struct history *h, uint64_t offset, struct bytes payload)
{
	h->position.offset = offset;
	h->newest_hash = map_hash(payload);
	h->newest_ms = clock_ms();
	recent_append(&h->recent, offset, payload);
}

void history_deliver(struct history *h, const struct publication *p)
{
	struct hub *hub = h->channel->hub;

	if (p->data.ptr == NULL)
		return;
	fanout_publication(&hub->fanout, h->channel, p, hub->events.deliver);
}

void history_tell_lost(struct history *h)
{
	static struct log_limit limit;
	struct channel *ch = h->channel;

	metrics_inc(positions_lost);
	if (log_allowed(&limit))
		log_chan(LOG_WARNING, ch, "publications after offset %llu cannot be had any more",
		         (unsigned long long)h->position.offset);
	channel_walk_begin(ch);
	for (uint32_t i = 0; i < ch->count; i++) {
		struct subscription *s = ch->subscribers[i];

		if (s != NULL && s->live && s->positioned)
			ch->hub->events.lost(s);
	}
	channel_walk_end(ch);
}

/* --- messages --- */

enum fit { FITS, REPEATED, BEYOND };

static enum fit fit(const struct history *h, const struct publication *p)
{
	if (p->epoch.len > 0 && !position_has_epoch(&h->position, p->epoch))
		return BEYOND;
	if (p->offset <= h->position.offset)
		return REPEATED;
	return p->offset == h->position.offset + 1 ? FITS : BEYOND;
}

/* Whether it is known that another publication stands at that offset: two masters have told of it, and only
 * one of them is one. */
static bool contradicts(const struct history *h, uint64_t offset, struct bytes payload)
{
	if (offset == h->position.offset)
		return h->newest_hash != 0 && map_hash(payload) != h->newest_hash;
	if (h->recent.count == 0 || offset < recent_first(&h->recent) || offset > h->recent.last)
		return false;
	return !bytes_eq(recent_get(&h->recent, offset), payload);
}

/* Until Redis has said who is right, nothing goes on: what comes next may fit both, and the one that was seen
 * last would not be the one that is in question any more. */
static void take_repeated(struct history *h, uint64_t offset, struct bytes payload, bool is_old)
{
	metrics_inc(publications_repeated);
	if (is_old || !contradicts(h, offset, payload))
		return;
	h->behind = true;
	h->trusted = TRUST_NONE;
	history_doubt(h);
}

/* What came before Redis was asked, and is newer than what Redis then told, is no publication of this stream:
 * of an epoch that is over, of writes that a failover has lost, or made up. */
static void drop_impossible(const struct history *h)
{
	static struct log_limit limit;

	metrics_inc(publications_invalid);
	if (log_allowed(&limit))
		log_chan(LOG_WARNING, h->channel, "dropped a message from Redis that is not in the history");
}

static void take_next(struct history *h, const struct publication *p, struct bytes payload)
{
	history_advance(h, p->offset, payload);
	history_reads_verified(h);
	history_deliver(h, p);
	/* Once the position is what a client claims to have seen, its answer is known. */
	if (!list_empty(&h->waiters))
		history_settle(h);
	history_reads_want(h);
}

static bool wait_for_missing(struct history *h)
{
	h->behind = true;
	history_reads_want_now(h);
	return false;
}

uint32_t history_stamp(const struct history *h)
{
	return h->sent;
}

bool history_message(struct history *h, const struct publication *p, struct bytes payload, uint32_t stamp)
{
	bool is_old = stamp < h->answered;
	enum fit how;

	if (h->behind)
		return false;
	if (p->offset == 0) {
		history_deliver(h, p);
		return true;
	}
	how = fit(h, p);
	if (how == REPEATED)
		take_repeated(h, p->offset, payload, is_old);
	else if (is_old)
		drop_impossible(h);
	else if (how == FITS)
		take_next(h, p, payload);
	else
		return wait_for_missing(h);
	return true;
}

void history_removed(struct history *h)
{
	history_forget(h);
	h->removed = h->reading;
}

void history_confirmed(struct history *h)
{
	h->behind = true;
	h->doubted = true;
	h->parted = false;
	h->sent++;
	if (h->sent < h->trusted)
		h->trusted = h->sent;
	history_reads_want_now(h);
}

void history_doubt(struct history *h)
{
	h->doubted = true;
	history_reads_want(h);
}
