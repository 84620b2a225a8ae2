/* What is read: which part of the stream, and what becomes of it. */
#include "history_fill.h"

#include <assert.h>

#include "channel.h"
#include "clock.h"
#include "envelope.h"
#include "history.h"
#include "history_ahead.h"
#include "history_internal.h"
#include "history_reads.h"
#include "history_reply.h"
#include "history_waiters.h"
#include "hub_internal.h"
#include "map.h"
#include "metrics.h"
#include "recovery.h"

/* No more than that is read back for who missed more. */
enum { RECOVERED_MAX = 32 << 20 };
/* A link that has brought nothing for longer than that is made anew, and what it has lost is read. */
enum { ON_ITS_WAY_MS = 3000 };

/* What waits tells more of the position than Redis does: until it is delivered, Redis is not asked. */
static bool is_due(const struct history *h)
{
	return (h->doubted || !list_empty(&h->waiters)) && !backlog_waits(h->channel);
}

bool history_wants_read(const struct history *h)
{
	if (h->reading)
		return false;
	if (!history_is_known(h))
		return h->doubted;
	return h->behind || is_due(h) || history_lacks_recent(h);
}

/* Whether the next piece stands before what is kept already. */
static bool reads_on(const struct history *h)
{
	const struct recent *recent = &h->recent;

	return h->reading_on && recent->count > 0 && recent->count < recent->most &&
	       recent->last == h->position.offset;
}

/* The newest up to the position: what Redis has after it may be more than is asked for, and is on its way. */
static void ask_for_newest(struct history *h, struct history_read *read)
{
	bool on = reads_on(h);

	read->newest = true;
	read->limit = h->recent.most - (on ? h->recent.count : 0);
	if (history_is_known(h))
		read->before = on ? recent_first(&h->recent) : h->position.offset + 1;
}

/* No more than can be delivered in a turn, and the one that was seen last. */
static uint32_t fill_limit(const struct history *h)
{
	uint32_t share = BACKLOG_CHANNEL / (BACKLOG_MESSAGE + h->channel->count) + 2;

	return share < HISTORY_READ_MAX ? share : HISTORY_READ_MAX;
}

/* The read begins with the publication that was seen last, to see whether it is still the same. One that
 * waits was seen, too. */
static void ask_for_next(struct history *h, struct history_read *read)
{
	struct history_ahead ahead = {.offset = h->position.offset};

	if (h->behind)
		history_look_ahead(h, &ahead);
	h->asked_from = ahead.offset;
	h->asked_after = ahead.last;
	h->asked_hash = ahead.hash;
	h->doubted = false;
	read->since = ahead.offset > 0 ? ahead.offset - 1 : 0;
	read->limit = fill_limit(h);
}

void history_begin_read(struct history *h, struct history_read *read)
{
	bool known = history_is_known(h);
	bool fill = known && (h->behind || (h->doubted && !backlog_waits(h->channel)));

	h->asked = ++h->sent;
	h->asked_from = h->position.offset;
	h->reading = true;
	h->doubted = h->doubted && known;
	h->reading_newest = !fill && history_lacks_recent(h);
	*read = (struct history_read){.parted = h->parted};
	if (h->reading_newest)
		ask_for_newest(h, read);
	else if (known)
		ask_for_next(h, read);
	h->reading_before = read->before;
	h->reading_on = h->reading_on && !read->newest;
}

/* Redis holds another publication where we saw one, or less than it had told. */
static bool has_parted(const struct history *h, const struct history_reply *r)
{
	if (!position_has_epoch(&h->position, r->epoch) || r->top < h->asked_from)
		return true;
	for (size_t i = 0; i < r->count; i++) {
		if (r->entries[i].offset == h->position.offset)
			return h->newest_hash != 0 && map_hash(r->entries[i].payload) != h->newest_hash;
	}
	return false;
}

/* Keeps those up to the position, if they reach it. */
static void keep(struct history *h, const struct history_reply *r)
{
	h->newest_ms = clock_ms();
	for (size_t i = 0; i < r->count; i++) {
		if (r->entries[i].offset <= h->position.offset)
			recent_append(&h->recent, r->entries[i].offset, r->entries[i].payload);
	}
	if (h->recent.count > 0 && h->recent.last != h->position.offset)
		recent_clear(&h->recent);
}

/* Everything is as Redis tells it. */
static void start_from(struct history *h, const struct history_reply *r)
{
	history_set_position(h, r->epoch, r->top);
	keep(h, r);
	if (h->recent.count > 0)
		h->newest_hash = map_hash(recent_get(&h->recent, r->top));
}

static void take_entry(struct history *h, const struct history_entry *e)
{
	struct envelope envelope UNINITIALIZED; /* as for a message that comes alone */

	backlog_spend(&h->channel->hub->backlog, h->channel, BACKLOG_MESSAGE);
	fanout_decode(&h->channel->hub->fanout, h->channel, e->payload, &envelope);
	history_advance(h, e->offset, e->payload);
	envelope.publication.offset = e->offset;
	metrics_inc(publications_filled);
	history_deliver(h, &envelope.publication);
}

/* What is filled in is of the channel's share of the turn. A part it has in any case. */
static bool may_fill(const struct history *h, uint32_t spent_before)
{
	const struct channel *ch = h->channel;
	const struct backlog *b = &ch->hub->backlog;

	return backlog_has_room(b, ch) || backlog_spent(b, ch) - spent_before < BACKLOG_VISIT;
}

/* Those that are newer than the position, as far as this turn goes. What is missing before the first of them
 * is gone. */
static void go_forward(struct history *h, const struct history_reply *r)
{
	uint32_t spent_before = backlog_spent(&h->channel->hub->backlog, h->channel);

	for (size_t i = 0; i < r->count && may_fill(h, spent_before); i++) {
		const struct history_entry *e = &r->entries[i];

		if (e->offset <= h->position.offset)
			continue;
		if (e->offset > h->position.offset + 1) {
			history_tell_lost(h);
			h->position.offset = e->offset - 1;
		}
		take_entry(h, e);
	}
}

/* Those that are older than what is kept. */
static void go_back(struct history *h, const struct history_reply *r)
{
	if (h->recent.count == 0)
		keep(h, r);
	for (size_t i = r->count; i > 0; i--)
		recent_prepend(&h->recent, r->entries[i - 1].offset, r->entries[i - 1].payload);
}

/* Until it is read, what comes waits. */
static void hold_and_read(struct history *h)
{
	h->behind = h->doubted = true;
}

/* What was seen is lost, and its offsets are given away again. Who comes back with one of them would be taken
 * for one who has what stands there now, so Redis ends the epoch before anybody is told. */
static void part(struct history *h, const struct history_reply *r, bool ended)
{
	if (!ended && position_has_epoch(&h->position, r->epoch)) {
		h->parted = true;
		h->trusted = TRUST_NONE;
		hold_and_read(h);
		return;
	}
	history_tell_lost(h);
	start_from(h, r);
}

/* Whether Redis lacks what comes after an offset. */
static bool has_hole(const struct history_reply *r, uint64_t after)
{
	for (size_t i = 0; i < r->count; i++) {
		if (r->entries[i].offset > after)
			return r->entries[i].offset > after + 1;
	}
	return r->top > after;
}

static void let_go_on(struct history *h)
{
	h->behind = false;
	backlog_resume(&h->channel->hub->backlog, h->channel);
}

/* Whether nothing of what Redis lacks has come for so long that it is not on its way. */
static bool stands_still(struct history *h)
{
	if (h->lacked != h->position.offset + 1) {
		h->lacked = h->position.offset + 1;
		h->lacked_ms = clock_ms();
	}
	return clock_ms() - h->lacked_ms >= ON_ITS_WAY_MS;
}

/* Redis lacks what comes next. It waits here, or was not asked for; or it may be on its way, as long as the
 * stream goes on: then nothing stops until that is known. False: it is gone. */
static bool bridges(struct history *h)
{
	if (history_goes_on(h)) {
		let_go_on(h);
	} else if (h->behind && h->position.offset > h->asked_from) {
		hold_and_read(h);
	} else if (!h->behind && !stands_still(h)) {
		h->doubted = true;
		history_reads_want_later(h);
	} else {
		return false;
	}
	return true;
}

static void go_on(struct history *h, const struct history_reply *r)
{
	uint64_t before = h->position.offset;

	go_back(h, r);
	if (has_hole(r, before) && bridges(h))
		return;
	go_forward(h, r);
	if (h->position.offset >= r->top)
		return;
	if (history_goes_on(h)) {
		let_go_on(h);
		return;
	}
	if (h->position.offset > before) {
		h->doubted = true;
		return;
	}
	/* There is more, and Redis has nothing of it any more. */
	history_tell_lost(h);
	start_from(h, &(struct history_reply){.epoch = r->epoch, .top = r->top});
}

/* Whether Redis has the last of what waited, and all that follows it. */
static bool leads_on(const struct history *h, const struct history_reply *r)
{
	if (!position_has_epoch(&h->position, r->epoch) || r->top < h->asked_from)
		return false;
	for (size_t i = 0; i < r->count; i++) {
		if (r->entries[i].offset == h->asked_from && map_hash(r->entries[i].payload) != h->asked_hash)
			return false;
	}
	return !has_hole(r, h->asked_from);
}

/* Puts what the link has lost between what came before that and what comes since. What waits and does not
 * lead to what Redis has is as good as not there. */
static void join(struct history *h, const struct history_reply *r)
{
	struct backlog *b = &h->channel->hub->backlog;
	struct waiting *after = h->asked_after;
	uint64_t last = h->asked_from;

	if (h->doubted)
		return;
	if (!leads_on(h, r)) {
		h->trusted = TRUST_NONE;
		h->doubted = true;
		return;
	}
	let_go_on(h);
	for (size_t i = 0; i < r->count; i++) {
		if (r->entries[i].offset != last + 1)
			continue;
		backlog_put_after(b, h->channel, &after, r->entries[i].payload, h->sent);
		metrics_inc(publications_filled);
		last++;
	}
	h->trusted = TRUST_ALL;
	h->doubted = last < r->top;
}

/* What was on its way when the history was removed has put it back. */
static void forget_removed(struct history *h)
{
	if (h->removed)
		history_forget(h);
	h->removed = false;
}

/* What clients lack is read back piece by piece, until one of them brings nothing more, or all there is room
 * for. */
static bool is_read_on(const struct history *h, const struct history_reply *r)
{
	const struct recent *recent = &h->recent;

	if (!r->more || h->removed || recent->count == 0 || recent->bytes >= RECOVERED_MAX)
		return false;
	if (h->reading_before > 0 && recent_first(recent) >= h->reading_before)
		return false;
	return history_lacks_recent(h);
}

/* The end of a read of the newest. */
static void remember(struct history *h, const struct history_reply *r)
{
	h->reading_on = is_read_on(h, r);
	if (!h->removed && !h->reading_on)
		h->remembered = h->asked;
}

/* It is where Redis is. */
static void arrive(struct history *h)
{
	h->answered = h->asked;
	history_reads_verified(h);
	if (h->doubted)
		return;
	h->trusted = TRUST_ALL;
	let_go_on(h);
}

/* Who waits is told what is known now. */
static void conclude(struct history *h, const struct history_reply *r)
{
	if (h->position.offset >= r->top)
		arrive(h);
	if (h->reading_newest)
		remember(h, r);
	forget_removed(h);
	history_settle(h);
}

void history_take(struct history *h, const struct history_reply *r)
{
	bool ends_epoch = h->parted;

	assert(h->reading && r->epoch.len > 0 && r->epoch.len <= EPOCH_MAX);
	h->reading = h->parted = false;
	if (!history_is_known(h)) {
		start_from(h, r);
	} else if (h->asked_after != NULL) {
		join(h, r);
	} else if (has_parted(h, r)) {
		part(h, r, ends_epoch);
	} else if (h->reading_newest) {
		go_back(h, r);
	} else if ((!h->behind || h->doubted) && backlog_waits(h->channel)) {
		/* What waits was not known when this was asked, or the link was made anew since. */
		h->doubted = true;
	} else {
		go_on(h, r);
	}
	h->asked_after = NULL;
	if (!h->parted)
		conclude(h, r);
	history_reads_want(h);
}

void history_no_reply(struct history *h)
{
	h->reading = false;
	h->parted = false;
	h->removed = false;
	h->asked_after = NULL;
	h->doubted = h->doubted || h->behind || !h->reading_newest;
	backlog_trim(&h->channel->hub->backlog, h->channel);
}
