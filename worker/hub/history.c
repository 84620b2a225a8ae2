#include "history.h"

#include <assert.h>
#include <string.h>

#include "channel.h"
#include "clock.h"
#include "config.h"
#include "envelope.h"
#include "history_reads.h"
#include "hub_internal.h"
#include "log.h"
#include "map.h"
#include "mem.h"
#include "metrics.h"
#include "recovery.h"

/* No more than that is read back for who missed more. */
enum { RECOVERED_MAX = 32 << 20 };

/* A subscription that is not live yet; what it wants. */
struct waiter {
	struct list node; /* in history->waiters until it is told, or in a list of those to be told */
	struct subscription *subscription;
	struct want want; /* the epoch stands behind */
	uint32_t sent;    /* reads, when it came, or when it lacked nothing */
	bool pinned;      /* what is kept is not given up */
	char epoch[];
};

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

static bool is_known(const struct history *h)
{
	return h->position.epoch_len > 0;
}

static void forget_kept(struct history *h)
{
	recent_clear(&h->recent);
	replay_forget(&h->replay);
	h->reading_on = false;
}

/* The stream is somewhere else than we thought, or was not known. */
static void set_position(struct history *h, struct bytes epoch, uint64_t offset)
{
	h->position.offset = offset;
	h->position.epoch_len = (uint8_t)epoch.len;
	memmove(h->position.epoch, epoch.ptr, epoch.len);
	h->newest_hash = 0;
	forget_kept(h);
}

static void advance(struct history *h, uint64_t offset, struct bytes payload)
{
	h->position.offset = offset;
	h->newest_hash = map_hash(payload);
	h->newest_ms = clock_ms();
	recent_append(&h->recent, offset, payload);
}

/* Redis forgets a stream as a whole, its time to live after the last publication; so do we. */
static void forget_expired(struct history *h)
{
	if (clock_ms() - h->newest_ms > h->options->history_ttl_ms)
		recent_clear(&h->recent);
}

static void deliver(struct history *h, const struct publication *p)
{
	struct hub *hub = h->channel->hub;

	if (p->data.ptr == NULL)
		return;
	fanout_publication(&hub->fanout, h->channel, p, hub->events.deliver);
}

/* A part of the stream is gone that live subscriptions have not seen. */
static void tell_lost(struct history *h)
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

static void take_repeated(struct history *h, uint64_t offset, struct bytes payload, bool is_old)
{
	metrics_inc(publications_repeated);
	if (!is_old && contradicts(h, offset, payload))
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

/* Once the position is what a client claims to have seen, its answer is known. */
static void settle(struct history *h);

static void take_next(struct history *h, const struct publication *p, struct bytes payload)
{
	advance(h, p->offset, payload);
	history_reads_verified(h);
	deliver(h, p);
	if (!list_empty(&h->waiters))
		settle(h);
	history_reads_want(h);
}

static bool wait_for_missing(struct history *h)
{
	h->behind = true;
	history_reads_want(h);
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
		deliver(h, p);
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
	forget_kept(h);
	h->removed = h->reading;
}

void history_forget(struct history *h)
{
	forget_kept(h);
}

void history_confirmed(struct history *h)
{
	h->behind = true;
	h->doubted = true;
	history_reads_want(h);
}

void history_doubt(struct history *h)
{
	h->doubted = true;
	history_reads_want(h);
}

/* --- waiters --- */

static enum recovery_mode mode_of(const struct history *h)
{
	return (enum recovery_mode)h->options->force_recovery_mode;
}

/* Should what it gets be given up before it begins, a read after this moment is of use. */
static bool can_begin(const struct history *h, struct waiter *w)
{
	if (!is_known(h))
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

/* Tells all that can begin. Those it tells may take others away. */
static void settle(struct history *h)
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

/* --- reads --- */

bool history_wants_read(const struct history *h)
{
	return !h->reading && (h->doubted || (is_known(h) && (h->behind || !list_empty(&h->waiters))));
}

static bool somebody_lacks_recent(const struct history *h)
{
	list_for_each (node, &h->waiters) {
		const struct waiter *w = container_of(node, struct waiter, node);

		if (!is_known(h) ? w->want.recover
		                 : recovery_lacks(&w->want, mode_of(h), &h->position, &h->recent) ==
		                           RECOVERY_LACKS_RECENT)
			return true;
	}
	return false;
}

/* Where the piece before this one ended. */
static uint64_t read_on_before(const struct history *h)
{
	const struct recent *recent = &h->recent;

	if (!h->reading_on || recent->count == 0 || recent->count >= recent->most ||
	    recent->last != h->position.offset)
		return 0;
	return recent_first(recent);
}

/* No more than can be delivered in a turn, and the one that was seen last. */
static uint32_t fill_limit(const struct history *h)
{
	uint32_t share = BACKLOG_CHANNEL / (BACKLOG_MESSAGE + h->channel->count) + 2;

	return share < HISTORY_READ_MAX ? share : HISTORY_READ_MAX;
}

/* The read begins with the publication that was seen last, to see whether it is still the same. */
void history_begin_read(struct history *h, struct history_read *read)
{
	uint64_t offset = h->position.offset;
	bool fill = is_known(h) && (h->behind || h->doubted);

	h->sent++;
	h->reading = true;
	h->doubted = false;
	h->asked_from = offset;
	h->reading_newest = !fill && somebody_lacks_recent(h);
	*read = (struct history_read){
		.newest = h->reading_newest,
		.since = offset > 0 ? offset - 1 : 0,
		.limit = h->reading_newest ? h->recent.most : fill_limit(h),
	};
	if (!is_known(h) && !read->newest)
		read->limit = 0;
	h->reading_before = read->newest ? read_on_before(h) : 0;
	h->reading_on = h->reading_on && !read->newest;
	if (h->reading_before > 0) {
		read->before = h->reading_before;
		read->limit -= h->recent.count;
	}
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
	set_position(h, r->epoch, r->top);
	keep(h, r);
	if (h->recent.count > 0)
		h->newest_hash = map_hash(recent_get(&h->recent, r->top));
}

static void take_entry(struct history *h, const struct history_entry *e)
{
	struct envelope envelope;

	backlog_spend(&h->channel->hub->backlog, h->channel, BACKLOG_MESSAGE);
	fanout_decode(&h->channel->hub->fanout, h->channel, e->payload, &envelope);
	advance(h, e->offset, e->payload);
	envelope.publication.offset = e->offset;
	metrics_inc(publications_filled);
	deliver(h, &envelope.publication);
}

/* What is filled in is of the channel's share of the turn. A part it has in any case. */
static bool may_fill(const struct history *h, uint32_t spent_before)
{
	const struct channel *ch = h->channel;
	const struct backlog *b = &ch->hub->backlog;

	return backlog_has_room(b, ch) || backlog_spent(b, ch) - spent_before < BACKLOG_VISIT;
}

/* Those that are newer than the position, as far as this turn goes. What is missing before the first of them
 * is gone, unless only the newest were asked for. */
static void go_forward(struct history *h, const struct history_reply *r)
{
	uint32_t spent_before = backlog_spent(&h->channel->hub->backlog, h->channel);

	for (size_t i = 0; i < r->count && may_fill(h, spent_before); i++) {
		const struct history_entry *e = &r->entries[i];

		if (e->offset <= h->position.offset)
			continue;
		if (e->offset > h->position.offset + 1 && h->reading_newest)
			return;
		if (e->offset > h->position.offset + 1) {
			tell_lost(h);
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

static void go_on(struct history *h, const struct history_reply *r)
{
	uint64_t before = h->position.offset;

	go_back(h, r);
	go_forward(h, r);
	if (h->position.offset >= r->top)
		return;
	if (h->position.offset > before || h->reading_newest) {
		h->behind = h->doubted = true;
		return;
	}
	/* There is more, and Redis has nothing of it any more. */
	tell_lost(h);
	start_from(h, &(struct history_reply){.epoch = r->epoch, .top = r->top});
}

/* What was on its way when the history was removed has put it back. */
static void forget_removed(struct history *h)
{
	if (h->removed)
		forget_kept(h);
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
	return somebody_lacks_recent(h);
}

/* The end of a read of the newest. */
static void remember(struct history *h, const struct history_reply *r)
{
	h->reading_on = is_read_on(h, r);
	if (!h->removed && !h->reading_on)
		h->remembered = h->sent;
}

void history_take(struct history *h, const struct history_reply *r)
{
	assert(h->reading && r->epoch.len > 0 && r->epoch.len <= EPOCH_MAX);
	h->reading = false;
	if (!is_known(h)) {
		start_from(h, r);
	} else if (has_parted(h, r)) {
		tell_lost(h);
		start_from(h, r);
	} else {
		go_on(h, r);
	}
	h->answered = h->sent;
	history_reads_verified(h);
	if (h->reading_newest)
		remember(h, r);
	if (!h->doubted) {
		h->behind = false;
		backlog_resume(&h->channel->hub->backlog, h->channel);
	}
	forget_removed(h);
	settle(h);
	history_reads_want(h);
}

void history_no_reply(struct history *h)
{
	h->reading = false;
	h->removed = false;
	h->doubted = h->doubted || h->behind;
}
