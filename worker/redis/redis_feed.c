#include "redis_feed.h"

#include <assert.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "redis_slots.h"
#include "redis_sub.h"

/* --- what is sent --- */

static struct redis_feed_op *op_first(const struct redis_feed *f)
{
	return f->count > 0 ? &f->ops[f->first] : NULL;
}

static void op_push(struct redis_feed *f, struct node_sub *s, bool subscribe, bool last)
{
	assert(f->count < REDIS_FEED_WINDOW);
	f->ops[(f->first + f->count++) % REDIS_FEED_WINDOW] = (struct redis_feed_op){
		.sub = s, .sent_ms = clock_ms(), .subscribe = subscribe, .last = last};
	s->at[f->slot].on = subscribe;
	s->at[f->slot].in_flight++;
	if (!subscribe)
		s->told = false;
}

static struct node_sub *op_pop(struct redis_feed *f)
{
	struct node_sub *s = f->ops[f->first].sub;

	f->first = (f->first + 1) % REDIS_FEED_WINDOW;
	f->count--;
	s->at[f->slot].in_flight--;
	return s;
}

/* Takes what fits in one command out of the list. */
static size_t take_batch(struct redis_feed *f, struct list *dirty, struct node_sub **batch)
{
	size_t bytes = 0;
	size_t count = 0;

	/* The channels of a command must be of one slot. */
	while (count < (f->sharded ? 1 : REDIS_FEED_BATCH) && bytes < REDIS_FEED_BATCH_BYTES &&
	       f->count + count < REDIS_FEED_WINDOW) {
		struct list *node = dirty->next;
		struct node_sub *s;
		if (node == dirty)
			break;
		s = container_of(node, struct node_sub, at[0].dirty);
		if (f->slot != 0)
			s = container_of(node, struct node_sub, at[1].dirty);
		if (s->alone && count > 0)
			break;
		list_remove(node);
		batch[count++] = s;
		bytes += s->channel.len;
		if (s->alone)
			break;
	}
	return count;
}

static struct bytes command_word(const struct redis_feed *f, bool subscribe)
{
	if (f->sharded)
		return subscribe ? BYTES("SSUBSCRIBE") : BYTES("SUNSUBSCRIBE");
	return subscribe ? BYTES("SUBSCRIBE") : BYTES("UNSUBSCRIBE");
}

static void send_batch(struct redis_feed *f, bool subscribe)
{
	struct node_sub *batch[REDIS_FEED_BATCH];
	size_t count = take_batch(f, &f->dirty[subscribe], batch);
	struct buf *out = redis_link_out(&f->link);

	resp_put_count(out, count + 1);
	resp_put_arg(out, command_word(f, subscribe));
	for (size_t i = 0; i < count; i++) {
		resp_put_arg(out, batch[i]->channel);
		op_push(f, batch[i], subscribe, i == count - 1);
	}
}

/* Room for the largest command: a batch ends with the channel that passes REDIS_FEED_BATCH_BYTES. */
enum { COMMAND_MAX = REDIS_FEED_BATCH_BYTES + REDIS_FEED_CHANNEL_MAX + (REDIS_FEED_BATCH + 2) * 32 };

static bool may_send(const struct redis_feed *f)
{
	return f->count < REDIS_FEED_WINDOW && redis_link_room(&f->link) >= COMMAND_MAX;
}

static void arm(struct redis_feed *f);

static void on_send(struct task *t)
{
	struct redis_feed *f = container_of(t, struct redis_feed, send);

	/* What nobody wants any more first: it makes room in Redis, and it stops what would be dropped. */
	for (int subscribe = 0; subscribe < 2; subscribe++) {
		while (!list_empty(&f->dirty[subscribe]) && may_send(f))
			send_batch(f, subscribe);
	}
	arm(f);
}

void redis_feed_touch(struct redis_feed *f, struct node_sub *s)
{
	bool wanted = redis_sub_wanted(s);

	if (!redis_link_up(&f->link))
		return;
	if (list_linked(&s->at[f->slot].dirty) && !s->at[f->slot].on && !wanted && f->to_confirm > 0)
		f->to_confirm--;
	list_remove(&s->at[f->slot].dirty);
	if (s->at[f->slot].on == wanted || (wanted && s->at[f->slot].refused))
		return;
	list_append(&f->dirty[wanted], &s->at[f->slot].dirty);
	loop_defer(stream_loop(&f->link.stream), &f->send);
}

/* --- deadlines --- */

static uint64_t due_ms(const struct redis_feed *f)
{
	uint64_t since = op_first(f)->sent_ms > f->progress_ms ? op_first(f)->sent_ms : f->progress_ms;

	return since + f->timeout_ms;
}

static void set_late(struct redis_feed *f, bool late)
{
	if (f->late == late)
		return;
	f->late = late;
	f->events->on_late(f);
}

/* The timer is left alone when confirmations come: it looks again when it fires. */
static void arm(struct redis_feed *f)
{
	uint64_t now = clock_ms();

	if (f->count > 0 && !f->late && !timer_armed(&f->overdue))
		timer_start(stream_loop(&f->link.stream), &f->overdue, due_ms(f) > now ? due_ms(f) - now : 0);
}

static void on_overdue(struct timer *t)
{
	struct redis_feed *f = container_of(t, struct redis_feed, overdue);

	if (f->count > 0 && due_ms(f) <= clock_ms())
		set_late(f, true);
	else
		arm(f);
}

bool redis_feed_late(const struct redis_feed *f)
{
	return f->late;
}

/* --- what comes --- */

/* There is room again for what had to wait; and what is still to come has its deadline, also after it was
 * late once. */
static void go_on(struct redis_feed *f)
{
	if (!redis_link_up(&f->link))
		return;
	arm(f);
	if (f->count < REDIS_FEED_WINDOW / 2 && (!list_empty(&f->dirty[0]) || !list_empty(&f->dirty[1])))
		loop_defer(stream_loop(&f->link.stream), &f->send);
}

/* Redis has answered for the oldest channel, whether yes or no. */
static void settled(struct redis_feed *f)
{
	struct node_sub *s = op_pop(f);

	s->alone = false;
	if (f->to_confirm > 0)
		f->to_confirm--;
	f->events->on_settled(f, s);
	go_on(f);
}

static void fail_nonsense(struct redis_feed *f, const char *what)
{
	redis_link_fail(&f->link, REDIS_AWAY, "sent %s on a subscriber connection", what);
}

static void on_confirmation(struct redis_feed *f, bool subscribe, struct bytes channel)
{
	const struct redis_feed_op *op = op_first(f);

	if (op == NULL || op->subscribe != subscribe || !bytes_eq(op->sub->channel, channel)) {
		fail_nonsense(f, "a confirmation that was not to come now");
		return;
	}
	f->progress_ms = clock_ms();
	set_late(f, false);
	if (redis_link_up(&f->link))
		settled(f);
}

/* The rules for channels (ACL) let a command pass as a whole or not at all: tries its channels one by one. */
static void try_singly(struct redis_feed *f)
{
	bool last = false;

	while (!last && f->count > 0) {
		struct node_sub *s;

		last = op_first(f)->last;
		s = op_pop(f);
		s->alone = true;
		s->at[f->slot].on = false;
		redis_feed_touch(f, s);
		/* It may be that nobody wants it any more, and nothing else is to come for it. */
		if (!redis_sub_wanted(s))
			f->events->on_settled(f, s);
	}
}

static void refuse(struct redis_feed *f, const struct redis_reply *reply)
{
	static struct log_limit limit;
	struct node_sub *s = op_first(f)->sub;

	if (log_allowed(&limit))
		log_warning("Redis refuses the subscription of %.*s: %.*s%s", BYTES_FMT(s->channel),
		            BYTES_FMT(redis_error_text(reply)), redis_error_remedy(reply));
	s->at[f->slot].refused = true;
	s->at[f->slot].on = false;
	settled(f);
}

/* --- in a cluster --- */

/* Whether the error is about the slot of the channel. */
static bool is_about(const struct redis_reply *reply, struct bytes channel)
{
	struct redis_redirect to;
	const struct redis_place nowhere = {.host = "?"};

	return !redis_redirect_read(reply, &nowhere, &to) || to.slot == redis_slot_of(channel);
}

static void displaced(struct redis_feed *f, const struct redis_reply *reply)
{
	struct redis_feed_op op;
	struct node_sub *s;

	if (f->count == 0 || !is_about(reply, op_first(f)->sub->channel))
		return;
	op = *op_first(f);
	f->progress_ms = clock_ms();
	if (!op.subscribe) {
		settled(f);
		return;
	}
	if (op.sub->at[f->slot].in_flight > 1) { /* what was sent last decides */
		settled(f);
		return;
	}
	s = op_pop(f);
	s->alone = false;
	s->at[f->slot].on = false;
	if (f->to_confirm > 0)
		f->to_confirm--;
	f->events->on_displaced(f, s, reply);
	go_on(f);
}

static void on_error(struct redis_feed *f, const struct redis_reply *reply)
{
	const struct redis_feed_op *op = op_first(f);

	if (f->sharded && redis_means_again(reply)) {
		displaced(f, reply);
		return;
	}
	if (op == NULL || !op->subscribe || !resp_is_error(reply, "NOPERM")) {
		redis_link_fail(&f->link, REDIS_UNFIT, "refuses subscriptions: %.*s%s",
		                BYTES_FMT(redis_error_text(reply)), redis_error_remedy(reply));
		return;
	}
	f->progress_ms = clock_ms();
	if (op->last)
		refuse(f, reply);
	else
		try_singly(f);
}

static bool is_push(const struct redis_reply *reply)
{
	return reply->type == REDIS_ARRAY && reply->count == 3 && reply->elements[0]->type == REDIS_STRING &&
	       reply->elements[1]->type == REDIS_STRING;
}

/* "smessage", "ssubscribe" and "sunsubscribe" of sharded channels. False: it is a kind that is not to come.
 */
static bool strip_kind(const struct redis_feed *f, struct bytes *kind)
{
	if (!f->sharded)
		return true;
	if (kind->len == 0 || kind->ptr[0] != 's' || bytes_eq(*kind, BYTES("subscribe")))
		return false;
	*kind = bytes_skip(*kind, 1);
	return true;
}

static bool is_asked_for(const struct redis_feed *f, struct bytes channel)
{
	const struct redis_feed_op *op = op_first(f);

	return op != NULL && !op->subscribe && bytes_eq(op->sub->channel, channel);
}

static void on_push(struct redis_feed *f, struct bytes kind, struct bytes channel,
                    const struct redis_reply *last)
{
	if (!strip_kind(f, &kind)) {
		fail_nonsense(f, "a push of an unknown kind");
		return;
	}
	if (f->sharded && bytes_eq(kind, BYTES("unsubscribe")) && !is_asked_for(f, channel)) {
		f->events->on_lost(f, channel);
		return;
	}
	if (bytes_eq(kind, BYTES("message")) && last->type == REDIS_STRING)
		f->events->on_message(f, channel, last->text);
	else if (bytes_eq(kind, BYTES("subscribe")) && last->type == REDIS_INTEGER)
		on_confirmation(f, true, channel);
	else if (bytes_eq(kind, BYTES("unsubscribe")) && last->type == REDIS_INTEGER)
		on_confirmation(f, false, channel);
	else
		fail_nonsense(f, "a push of an unknown kind");
}

static void on_reply(struct redis_link *l, const struct redis_reply *reply)
{
	struct redis_feed *f = container_of(l, struct redis_feed, link);

	if (is_push(reply))
		on_push(f, reply->elements[0]->text, reply->elements[1]->text, reply->elements[2]);
	else if (reply->type == REDIS_ERROR)
		on_error(f, reply);
	else
		fail_nonsense(f, "a reply");
}

/* --- the link --- */

static void clear(struct redis_feed *f)
{
	timer_stop(&f->overdue);
	task_cancel(&f->send);
	mem_free(f->ops);
	f->ops = NULL;
	f->first = f->count = f->to_confirm = 0;
	f->late = false;
}

static void on_up(struct redis_link *l)
{
	struct redis_feed *f = container_of(l, struct redis_feed, link);

	f->ops = mem_alloc(REDIS_FEED_WINDOW * sizeof(*f->ops));
	f->progress_ms = clock_ms();
	f->events->on_up(f);
}

static void on_down(struct redis_link *l, bool was_up)
{
	struct redis_feed *f = container_of(l, struct redis_feed, link);

	clear(f);
	f->events->on_down(f, was_up);
}

/* Messages may always be. */
static bool owed(const struct redis_link *l)
{
	return true;
}

static const struct redis_link_events link_events = {on_up, on_reply, on_down};
static const struct redis_link_use use = {"subscriber", "pubsub", owed, NULL};

void redis_feed_init(struct redis_feed *f, unsigned slot, bool sharded, struct loop *loop,
                     const struct redis_endpoint *endpoint, const struct redis_feed_events *events, void *ctx,
                     const char *name, uint64_t connect_timeout_ms, uint64_t timeout_ms)
{
	*f = (struct redis_feed){
		.events = events,
		.ctx = ctx,
		.slot = slot,
		.sharded = sharded,
		.timeout_ms = timeout_ms,
		.overdue.fire = on_overdue,
		.send.run = on_send,
	};
	list_init(&f->dirty[0]);
	list_init(&f->dirty[1]);
	redis_link_init(&f->link, loop, endpoint, &link_events, name, connect_timeout_ms, REDIS_FEED_OUT_MAX);
	f->link.use = &use;
	f->link.reads = REDIS_FEED_READS;
}

void redis_feed_open(struct redis_feed *f)
{
	redis_link_open(&f->link);
}

void redis_feed_close(struct redis_feed *f)
{
	redis_link_close(&f->link);
	clear(f);
}
