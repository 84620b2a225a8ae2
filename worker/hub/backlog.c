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
	uint32_t stamp;
	bool marked;
	char payload[];
};

/* Owned by the channel. */
struct backlog_queue {
	struct list node; /* in backlog->channels; unlinked while the channel is not ready */
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

uint32_t backlog_spent(const struct backlog *b, const struct channel *ch)
{
	return ch->share.turn == b->turn ? ch->share.spent : 0;
}

/* Whether it had its share of this turn. */
static bool is_satisfied(const struct backlog *b, const struct channel *ch)
{
	return backlog_spent(b, ch) >= BACKLOG_CHANNEL;
}

bool backlog_turn_has_room(const struct backlog *b)
{
	return b->spent < BACKLOG_TURN;
}

bool backlog_has_room(const struct backlog *b, const struct channel *ch)
{
	return backlog_turn_has_room(b) && !is_satisfied(b, ch);
}

static void begin_turn(struct backlog *b)
{
	if (b->begun)
		return;
	b->begun = true;
	b->events->turn_began(b);
}

/* The last one that is delivered may go beyond the share: a channel can have more subscribers than that. */
void backlog_spend(struct backlog *b, struct channel *ch, uint32_t work)
{
	ch->share.spent = backlog_spent(b, ch) + work;
	ch->share.turn = b->turn;
	b->spent += work;
	begin_turn(b);
}

bool backlog_admit(struct backlog *b, struct channel *ch)
{
	if (ch->share.queue != NULL || !backlog_has_room(b, ch))
		return false;
	backlog_spend(b, ch, BACKLOG_MESSAGE);
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

static bool has_place(const struct backlog *b, const struct backlog_queue *q, size_t size)
{
	bool ready = list_linked(&q->node);

	return b->bytes + q->bytes + size <= BACKLOG_BYTES && (ready || q->bytes + size <= BACKLOG_HELD);
}

/* A copy that is counted; NULL, and it is dropped, when there is no room for it. */
static struct waiting *waiting_new(struct backlog *b, struct backlog_queue *q, struct bytes payload,
                                   uint32_t stamp)
{
	struct waiting *w = NULL;

	if (has_place(b, q, cost(payload.len)))
		w = mem_try_alloc(sizeof(*w) + payload.len);
	if (w == NULL) {
		drop(q);
		return NULL;
	}
	w->len = payload.len;
	w->stamp = stamp;
	w->marked = false;
	if (payload.len > 0)
		memcpy(w->payload, payload.ptr, payload.len);
	q->bytes += cost(payload.len);
	b->bytes += cost(payload.len);
	return w;
}

void backlog_put(struct backlog *b, struct channel *ch, struct bytes payload, uint32_t stamp)
{
	struct backlog_queue *q = queue_of(b, ch);
	struct waiting *w = waiting_new(b, q, payload, stamp);

	if (w != NULL)
		list_append(&q->waiting, &w->node);
}

bool backlog_waits(const struct channel *ch)
{
	return ch->share.queue != NULL;
}

struct waiting *backlog_look(const struct channel *ch,
                             bool (*see)(void *arg, struct bytes payload, uint32_t stamp), void *arg)
{
	struct waiting *last = NULL;

	if (ch->share.queue == NULL)
		return NULL;
	list_for_each (node, &ch->share.queue->waiting) {
		struct waiting *w = container_of(node, struct waiting, node);

		if (!see(arg, (struct bytes){w->payload, w->len}, w->stamp))
			break;
		last = w;
	}
	return last;
}

void backlog_put_after(struct backlog *b, struct channel *ch, struct waiting **after, struct bytes payload,
                       uint32_t stamp)
{
	struct waiting *w = waiting_new(b, ch->share.queue, payload, stamp);

	if (w == NULL)
		return;
	w->marked = (*after)->marked;
	(*after)->marked = false;
	/* A list goes round, so the end of one that begins behind a node is before the next. */
	list_append((*after)->node.next, &w->node);
	*after = w;
}

void backlog_mark(struct channel *ch)
{
	struct backlog_queue *q = ch->share.queue;

	if (q != NULL && !list_empty(&q->waiting))
		container_of(q->waiting.prev, struct waiting, node)->marked = true;
}

void backlog_resume(struct backlog *b, struct channel *ch)
{
	struct backlog_queue *q = ch->share.queue;

	if (q == NULL || list_linked(&q->node))
		return;
	list_append(&b->channels, &q->node);
	begin_turn(b);
}

static struct waiting *first_of(const struct backlog_queue *q)
{
	return list_empty(&q->waiting) ? NULL : container_of(q->waiting.next, struct waiting, node);
}

static void waiting_free(struct backlog *b, struct backlog_queue *q, struct waiting *w)
{
	list_remove(&w->node);
	q->bytes -= cost(w->len);
	b->bytes -= cost(w->len);
	mem_free(w);
}

void backlog_trim(struct backlog *b, struct channel *ch)
{
	struct backlog_queue *q = ch->share.queue;

	if (q == NULL || list_linked(&q->node))
		return;
	while (q->bytes > BACKLOG_HELD) {
		struct waiting *newest = container_of(q->waiting.prev, struct waiting, node);
		bool marked = newest->marked;

		waiting_free(b, q, newest);
		if (marked)
			backlog_mark(ch);
		drop(q);
	}
}

void backlog_forget(struct backlog *b, struct channel *ch)
{
	struct backlog_queue *q = ch->share.queue;
	struct waiting *w;

	if (q == NULL)
		return;
	while ((w = first_of(q)) != NULL)
		waiting_free(b, q, w);
	list_remove(&q->node);
	mem_free(q);
	ch->share.queue = NULL;
}

/* False: the channel is not ready for it. */
static bool deliver_one(struct backlog *b, struct backlog_queue *q, struct waiting *w)
{
	struct channel *ch = q->channel;
	bool marked;

	backlog_spend(b, ch, BACKLOG_MESSAGE);
	if (!b->events->take(ch, (struct bytes){w->payload, w->len}, w->stamp))
		return false;
	marked = w->marked;
	waiting_free(b, q, w);
	if (marked)
		b->events->marked(ch);
	return true;
}

/* The channel is not dropped meanwhile: the caller holds it by a walk. */
static void deliver_some(struct backlog *b, struct backlog_queue *q)
{
	uint32_t before = backlog_spent(b, q->channel);
	struct waiting *w;

	while (backlog_spent(b, q->channel) - before < BACKLOG_VISIT && !is_satisfied(b, q->channel) &&
	       (w = first_of(q)) != NULL) {
		if (!deliver_one(b, q, w)) {
			list_remove(&q->node);
			return;
		}
	}
}

static void finish(struct backlog *b, struct channel *ch)
{
	bool dropped = ch->share.queue->dropped;

	backlog_forget(b, ch);
	b->events->delivered(ch, dropped);
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
	b->begun = !list_empty(&b->channels);
	return b->begun;
}
