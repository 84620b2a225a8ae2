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

/* What may be held of one channel, and of all of a worker. What is beyond is read from Redis instead. */
enum { HELD_MAX = 4 << 20, HELD_MAX_OF_ALL = 64 << 20 };
/* No more than that is read back for who missed more. */
enum { RECOVERED_MAX = 32 << 20 };

/* Owned by the list it is in. */
struct held {
	struct list node;
	uint32_t sent; /* reads, when it came */
	size_t len;
	char payload[];
};

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
	list_init(&h->held);
	recent_init(&h->recent, pool, most_recent(ch->hub, options));
	replay_init(&h->replay, &ch->hub->replays);
	return h;
}

/* What it takes, which for a short message is more than what it says. */
static size_t held_cost(size_t len)
{
	return mem_cost(sizeof(struct held) + len);
}

static void count_held(struct history *h, size_t len)
{
	h->held_bytes += held_cost(len);
	h->reads->held_bytes += held_cost(len);
}

static void forget_held(struct history *h, struct held *held)
{
	list_remove(&held->node);
	h->held_bytes -= held_cost(held->len);
	h->reads->held_bytes -= held_cost(held->len);
	mem_free(held);
}

static void drop_held(struct history *h)
{
	while (!list_empty(&h->held))
		forget_held(h, container_of(h->held.next, struct held, node));
}

void history_free(struct history **h)
{
	if (*h == NULL)
		return;
	assert(list_empty(&(*h)->waiters));
	history_reads_forget(*h);
	drop_held(*h);
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

static void take_repeated(struct history *h, uint64_t offset, struct bytes payload)
{
	metrics_inc(publications_repeated);
	if (contradicts(h, offset, payload))
		history_doubt(h);
}

static void hold(struct history *h, const struct publication *p, struct bytes payload)
{
	struct held *held = NULL;

	if (h->held_bytes + held_cost(payload.len) <= HELD_MAX &&
	    h->reads->held_bytes + held_cost(payload.len) <= HELD_MAX_OF_ALL)
		held = mem_try_alloc(sizeof(*held) + payload.len);
	if (held == NULL && p->offset == 0) {
		deliver(h, p);
		return;
	}
	if (held == NULL) {
		h->doubted = true;
		return;
	}
	held->sent = h->sent;
	held->len = payload.len;
	memcpy(held->payload, payload.ptr, payload.len);
	list_append(&h->held, &held->node);
	count_held(h, payload.len);
}

/* Once the position is what a client claims to have seen, its answer is known. */
static void settle(struct history *h);

void history_message(struct history *h, const struct publication *p, struct bytes payload)
{
	if (h->behind) {
		hold(h, p, payload);
		return;
	}
	if (p->offset == 0) {
		deliver(h, p);
		return;
	}
	switch (fit(h, p)) {
	case REPEATED: take_repeated(h, p->offset, payload); return;
	case FITS:
		advance(h, p->offset, payload);
		history_reads_verified(h);
		deliver(h, p);
		break;
	case BEYOND:
		h->behind = true;
		hold(h, p, payload);
		break;
	}
	if (!list_empty(&h->waiters))
		settle(h);
	history_reads_want(h);
}

void history_removed(struct history *h)
{
	forget_kept(h);
	h->removed = h->reading || !list_empty(&h->held);
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

/* --- what was held --- */

/* What came before Redis was asked, and is newer than what Redis then told, is no publication of this stream:
 * of an epoch that is over, of writes that a failover has lost, or made up. */
static void drop_impossible(const struct history *h)
{
	static struct log_limit limit;

	metrics_inc(publications_invalid);
	if (log_allowed(&limit))
		log_chan(LOG_WARNING, h->channel, "dropped a message from Redis that is not in the history");
}

/* False when something is missing before it. */
static bool take_held(struct history *h, const struct held *held)
{
	const struct bytes payload = {held->payload, held->len};
	struct fanout *fanout = &h->channel->hub->fanout;
	struct envelope envelope;
	enum fit how;

	fanout_decode(fanout, h->channel, payload, &envelope);
	if (envelope.publication.offset == 0) {
		deliver(h, &envelope.publication);
		return true;
	}
	how = fit(h, &envelope.publication);
	if (how == REPEATED) {
		h->doubted = h->doubted || (held->sent >= h->answered &&
		                            contradicts(h, envelope.publication.offset, payload));
		return true;
	}
	if (held->sent < h->answered) {
		drop_impossible(h);
		return true;
	}
	if (how == BEYOND)
		return false;
	advance(h, envelope.publication.offset, payload);
	deliver(h, &envelope.publication);
	return true;
}

static void release_held(struct history *h)
{
	while (!h->behind && !list_empty(&h->held)) {
		struct held *held = container_of(h->held.next, struct held, node);

		if (!take_held(h, held)) {
			h->behind = true;
			return;
		}
		forget_held(h, held);
	}
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
		.limit = h->reading_newest ? h->recent.most : HISTORY_READ_MAX,
	};
	if (!is_known(h) && !read->newest)
		read->limit = 0;
	h->reading_before = read->newest ? read_on_before(h) : 0;
	h->reading_on = false;
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

	fanout_decode(&h->channel->hub->fanout, h->channel, e->payload, &envelope);
	advance(h, e->offset, e->payload);
	envelope.publication.offset = e->offset;
	metrics_inc(publications_filled);
	deliver(h, &envelope.publication);
}

/* Those that are newer than the position. What is missing before the first of them is gone, unless only the
 * newest were asked for. */
static void go_forward(struct history *h, const struct history_reply *r)
{
	for (size_t i = 0; i < r->count; i++) {
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
	if (!h->removed)
		return;
	forget_kept(h);
	h->removed = !list_empty(&h->held);
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
		release_held(h);
	}
	forget_removed(h);
	settle(h);
	history_reads_want(h);
}

void history_no_reply(struct history *h)
{
	h->reading = false;
	h->removed = !list_empty(&h->held) && h->removed;
	h->doubted = h->doubted || h->behind;
}
