#include "backlog.h"

#include <string.h>

#include "channel.h"
#include "hub_internal.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"

/* Owned by the queue it is in. */
struct waiting {
	struct list node;
	size_t len;
	char payload[];
};

/* Owned by the channel. */
struct backlog_queue {
	struct list node; /* in backlog->channels */
	struct channel *channel;
	struct list waiting; /* in the order in which they came */
	size_t bytes;
	bool dropped; /* something for which there was no room */
};

void backlog_init(struct backlog *b, const struct backlog_events *events)
{
	*b = (struct backlog){.events = events, .turn = 1};
	list_init(&b->channels);
}

static uint32_t spent_by(const struct backlog *b, const struct channel *ch)
{
	return ch->share.turn == b->turn ? ch->share.spent : 0;
}

/* Whether it had its share of this turn. */
static bool is_satisfied(const struct backlog *b, const struct channel *ch)
{
	return spent_by(b, ch) >= BACKLOG_CHANNEL;
}

/* The last one that is delivered may go beyond the share: a channel can have more subscribers than that. */
static uint32_t spend(struct backlog *b, struct channel *ch)
{
	uint32_t work = BACKLOG_MESSAGE + ch->count;

	ch->share.spent = spent_by(b, ch) + work;
	ch->share.turn = b->turn;
	b->spent += work;
	return work;
}

bool backlog_admit(struct backlog *b, struct channel *ch)
{
	if (ch->share.queue != NULL || b->spent >= BACKLOG_TURN || is_satisfied(b, ch))
		return false;
	spend(b, ch);
	return true;
}

static size_t cost(size_t len)
{
	return mem_cost(sizeof(struct waiting) + len);
}

static struct backlog_queue *queue_of(struct backlog *b, struct channel *ch)
{
	struct backlog_queue *q = ch->share.queue;

	if (q != NULL)
		return q;
	q = mem_alloc(sizeof(*q));
	q->channel = ch;
	list_init(&q->waiting);
	list_append(&b->channels, &q->node);
	ch->share.queue = q;
	return q;
}

static void drop(struct backlog_queue *q)
{
	static struct log_limit limit;

	q->dropped = true;
	metrics_inc(publications_shed);
	if (log_allowed(&limit))
		log_chan(LOG_WARNING, q->channel,
		         "dropped a publication: %zu bytes wait already, more comes than can be delivered",
		         q->bytes);
}

void backlog_put(struct backlog *b, struct channel *ch, struct bytes payload)
{
	struct backlog_queue *q = queue_of(b, ch);
	struct waiting *w = NULL;

	if (b->bytes + q->bytes + cost(payload.len) <= BACKLOG_BYTES)
		w = mem_try_alloc(sizeof(*w) + payload.len);
	if (w == NULL) {
		drop(q);
		return;
	}
	w->len = payload.len;
	if (payload.len > 0)
		memcpy(w->payload, payload.ptr, payload.len);
	list_append(&q->waiting, &w->node);
	q->bytes += cost(payload.len);
	b->bytes += cost(payload.len);
}

static struct waiting *next_of(struct backlog *b, struct backlog_queue *q)
{
	struct list *node = list_pop(&q->waiting);
	struct waiting *w;

	if (node == NULL)
		return NULL;
	w = container_of(node, struct waiting, node);
	q->bytes -= cost(w->len);
	b->bytes -= cost(w->len);
	return w;
}

void backlog_forget(struct backlog *b, struct channel *ch)
{
	struct backlog_queue *q = ch->share.queue;
	struct waiting *w;

	if (q == NULL)
		return;
	while ((w = next_of(b, q)) != NULL)
		mem_free(w);
	list_remove(&q->node);
	mem_free(q);
	ch->share.queue = NULL;
}

/* The channel is not dropped meanwhile: the caller holds it by a walk. */
static void deliver_some(struct backlog *b, struct backlog_queue *q)
{
	uint32_t visit = 0;
	struct waiting *w;

	while (visit < BACKLOG_VISIT && !is_satisfied(b, q->channel) && (w = next_of(b, q)) != NULL) {
		visit += spend(b, q->channel);
		b->events->take(q->channel, (struct bytes){w->payload, w->len});
		mem_free(w);
	}
}

static void finish(struct backlog *b, struct channel *ch)
{
	bool dropped = ch->share.queue->dropped;

	backlog_forget(b, ch);
	if (dropped)
		b->events->dropped(ch);
}

static void visit(struct backlog *b, struct backlog_queue *q)
{
	struct channel *ch = q->channel;

	channel_walk_begin(ch);
	deliver_some(b, q);
	if (list_empty(&q->waiting))
		finish(b, ch);
	hub_let_go(ch);
}

void backlog_release(struct backlog *b, struct channel *ch)
{
	struct backlog_queue *q = ch->share.queue;
	struct waiting *w;

	if (q == NULL)
		return;
	while ((w = next_of(b, q)) != NULL) {
		b->events->take(ch, (struct bytes){w->payload, w->len});
		mem_free(w);
	}
	finish(b, ch);
}

static void deliver_until(struct backlog *b, uint32_t spent)
{
	struct list done; /* with this turn */
	struct list *node;

	list_init(&done);
	while (b->spent < spent && (node = list_pop(&b->channels)) != NULL) {
		struct backlog_queue *q = container_of(node, struct backlog_queue, node);

		if (is_satisfied(b, q->channel)) {
			list_append(&done, node);
			continue;
		}
		list_append(&b->channels, node);
		visit(b, q);
	}
	list_move_all(&b->channels, &done);
}

bool backlog_end_turn(struct backlog *b)
{
	uint32_t least = b->spent + BACKLOG_LEAST;

	deliver_until(b, least > BACKLOG_TURN ? least : BACKLOG_TURN);
	b->spent = 0;
	b->turn = b->turn < UINT32_MAX ? b->turn + 1 : 1;
	return !list_empty(&b->channels);
}
