#include "redis_calls.h"

#include <assert.h>

#include "clock.h"
#include "config.h"
#include "mem.h"
#include "metrics.h"

/* Owned by the list it is in; the caller holds a pointer until it is answered. */
struct sent_call {
	struct redis_call handle;
	struct list node;
	void (*done)(void *arg, const struct redis_reply *reply); /* NULL: nobody waits any more */
	void *arg;
	uint64_t due_ms;
	size_t size; /* 0: never sent */
};

/* --- one call --- */

static void answer(struct sent_call *call, const struct redis_reply *reply)
{
	void (*done)(void *, const struct redis_reply *) = call->done;

	call->done = NULL;
	if (done == NULL)
		return;
	if (reply == NULL)
		metrics_inc(redis_call_failures);
	done(call->arg, reply);
}

static void forget(struct redis_calls *c, struct sent_call *call)
{
	if (call->size > 0) {
		c->count--;
		c->bytes -= call->size;
	}
	list_remove(&call->node);
	mem_free(call);
}

static void answer_all(struct redis_calls *c, struct list *calls)
{
	struct list *node;

	while ((node = list_pop(calls)) != NULL) {
		struct sent_call *call = container_of(node, struct sent_call, node);

		answer(call, NULL);
		forget(c, call);
	}
}

static void on_answer_refused(struct task *t)
{
	struct redis_calls *c = container_of(t, struct redis_calls, answer_refused);

	answer_all(c, &c->refused);
}

static void cancel(struct redis_call *handle)
{
	struct sent_call *call = container_of(handle, struct sent_call, handle);

	assert(call->done != NULL);
	call->done = NULL;
	/* What was sent waits for its reply, what was not goes with the others that were refused. */
}

void redis_call_cancel(struct redis_call **call)
{
	struct redis_call *gone = *call;

	*call = NULL;
	if (gone != NULL)
		gone->cancel(gone);
}

/* --- deadlines --- */

static struct sent_call *first(const struct list *calls)
{
	return list_empty(calls) ? NULL : container_of(calls->next, struct sent_call, node);
}

/* When the link is given up, unless it says something. A Redis that is only late shall not cost a connection.
 */
static uint64_t give_up_at(const struct redis_calls *c, const struct sent_call *oldest)
{
	uint64_t silent_ms = c->link.heard_ms + c->timeout_ms;

	return (silent_ms > oldest->due_ms ? silent_ms : oldest->due_ms) + REDIS_CALLS_GRACE_MS;
}

static uint64_t sent_ms(const struct redis_calls *c, const struct sent_call *call)
{
	return call->due_ms - c->timeout_ms;
}

/* What is owed for longest. */
static struct sent_call *oldest_of(const struct redis_calls *c)
{
	return first(list_empty(&c->overdue) ? &c->waiting : &c->overdue);
}

/* When the link is doubted, unless it says something. */
static uint64_t doubt_at(const struct redis_calls *c, const struct sent_call *oldest)
{
	uint64_t since_ms = sent_ms(c, oldest);

	return (c->link.heard_ms > since_ms ? c->link.heard_ms : since_ms) +
	       c->timeout_ms / REDIS_CALLS_DOUBT_PART;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The next moment at which something is to be done: when the link is doubted, when a call becomes overdue, or
 * when the link is given up. */
static void arm(struct redis_calls *c)
{
	uint64_t due_ms = UINT64_MAX;
	uint64_t now = clock_ms();

	if (!list_empty(&c->waiting))
		due_ms = first(&c->waiting)->due_ms;
	if (!list_empty(&c->overdue))
		due_ms = earlier(due_ms, give_up_at(c, first(&c->overdue)));
	if (oldest_of(c) != NULL && doubt_at(c, oldest_of(c)) > now)
		due_ms = earlier(due_ms, doubt_at(c, oldest_of(c)));
	if (due_ms == UINT64_MAX)
		timer_stop(&c->deadline);
	else
		timer_start(c->loop, &c->deadline, due_ms > now ? due_ms - now : 0);
}

static bool silent_for_too_long(const struct redis_calls *c)
{
	const struct sent_call *oldest = first(&c->overdue);

	return oldest != NULL && clock_ms() >= give_up_at(c, oldest);
}

static void doubt(struct redis_calls *c)
{
	const struct sent_call *oldest = oldest_of(c);

	if (oldest != NULL && doubt_at(c, oldest) <= clock_ms() && redis_link_up(&c->link))
		redis_link_doubt(&c->link);
}

static void on_deadline(struct timer *t)
{
	struct redis_calls *c = container_of(t, struct redis_calls, deadline);
	bool was_fine = redis_calls_trouble(c) == REDIS_FINE;
	struct sent_call *call;

	while ((call = first(&c->waiting)) != NULL && call->due_ms <= clock_ms()) {
		list_remove(&call->node);
		list_append(&c->overdue, &call->node);
		answer(call, NULL);
	}
	if (silent_for_too_long(c)) {
		redis_link_fail(&c->link, REDIS_SILENT, "does not answer");
		return;
	}
	doubt(c);
	arm(c);
	if (was_fine != (redis_calls_trouble(c) == REDIS_FINE))
		c->events->on_change(c->ctx);
}

/* --- the link --- */

static void open_link(struct redis_calls *c)
{
	redis_backoff_try(&c->backoff);
	redis_link_open(&c->link);
}

static void on_up(struct redis_link *l)
{
	struct redis_calls *c = container_of(l, struct redis_calls, link);

	redis_backoff_up(&c->backoff);
	metrics_inc(redis_connects);
	c->events->on_change(c->ctx);
}

static void on_reply(struct redis_link *l, const struct redis_reply *reply)
{
	struct redis_calls *c = container_of(l, struct redis_calls, link);
	bool was_overdue = !list_empty(&c->overdue);
	struct sent_call *call = first(was_overdue ? &c->overdue : &c->waiting);

	if (call == NULL) {
		redis_link_fail_unasked(l, reply);
		return;
	}
	list_remove(&call->node);
	answer(call, reply);
	forget(c, call);
	if (was_overdue && list_empty(&c->overdue))
		c->events->on_change(c->ctx);
	/* A Redis that became a replica lets us find its successor only by going there again. */
	if (l->phase == LINK_UP && resp_is_error(reply, "READONLY"))
		redis_link_fail(l, REDIS_UNFIT, "is a read-only replica");
}

/* What a rival publishes as its proof reaches whoever listens. Without one it is about the middle of the
 * silence: one connection may have brought something for a moment longer than another. */
static uint64_t silent_since(const struct redis_calls *c, uint64_t since_ms)
{
	if (c->link.race.proof_ms >= since_ms)
		return c->link.race.proof_ms;
	return since_ms + (clock_ms() - since_ms) / 2;
}

static void on_down(struct redis_link *l, bool was_up)
{
	struct redis_calls *c = container_of(l, struct redis_calls, link);

	if (was_up)
		metrics_inc(redis_link_losses);
	if (oldest_of(c) != NULL)
		c->silent_since_ms = silent_since(c, sent_ms(c, oldest_of(c)));
	timer_stop(&c->deadline);
	timer_start(c->loop, &c->retry, redis_backoff_next(&c->backoff, l->trouble == REDIS_REFUSING));
	answer_all(c, &c->overdue);
	answer_all(c, &c->waiting);
	c->events->on_change(c->ctx);
}

static void proof(struct redis_link *l, struct bytes argv[REDIS_PROOF_WORDS])
{
	struct redis_calls *c = container_of(l, struct redis_calls, link);

	c->events->proof(c->ctx, argv);
}

static bool owed(const struct redis_link *l)
{
	return oldest_of(container_of(l, struct redis_calls, link)) != NULL;
}

static const struct redis_link_use use = {"command", "normal", owed, proof};

static const struct redis_link_events link_events = {on_up, on_reply, on_down};

static void on_retry(struct timer *t)
{
	struct redis_calls *c = container_of(t, struct redis_calls, retry);

	open_link(c);
}

void redis_calls_leave(struct redis_calls *c)
{
	if (c->link.phase != LINK_DOWN)
		redis_link_fail(&c->link, REDIS_AWAY, "is not the master any more");
}

void redis_calls_arrive(struct redis_calls *c)
{
	timer_stop(&c->retry);
	c->backoff = (struct redis_backoff){0};
	open_link(c);
}

enum redis_trouble redis_calls_trouble(const struct redis_calls *c)
{
	if (!redis_link_up(&c->link))
		return c->link.trouble;
	return list_empty(&c->overdue) ? REDIS_FINE : REDIS_SILENT;
}

/* --- the face --- */

static bool may_send(const struct redis_calls *c, size_t size)
{
	return redis_link_up(&c->link) && c->count < REDIS_CALLS_MAX &&
	       c->bytes + size <= REDIS_CALLS_MAX_BYTES && size <= redis_link_room(&c->link);
}

struct redis_call *redis_calls_send(struct redis_calls *c, const struct bytes *argv, size_t argc,
                                    void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	struct sent_call *call = mem_alloc(sizeof(*call));
	size_t size = resp_command_size(argv, argc);

	assert(argc > 0 && done != NULL);
	call->handle.cancel = cancel;
	call->done = done;
	call->arg = arg;
	if (!may_send(c, size)) {
		list_append(&c->refused, &call->node);
		loop_defer(c->loop, &c->answer_refused);
		return &call->handle;
	}
	resp_put_command(redis_link_out(&c->link), argv, argc);
	call->size = size;
	call->due_ms = clock_ms() + c->timeout_ms;
	c->bytes += size;
	c->count++;
	list_append(&c->waiting, &call->node);
	if (!timer_armed(&c->deadline))
		arm(c);
	return &call->handle;
}

void redis_calls_init(struct redis_calls *c, struct loop *loop, const struct redis_endpoint *endpoint,
                      const struct config *config, const char *name, const struct redis_calls_events *events,
                      void *ctx)
{
	*c = (struct redis_calls){
		.loop = loop,
		.timeout_ms = config->redis.call_timeout_ms,
		.answer_refused.run = on_answer_refused,
		.deadline.fire = on_deadline,
		.retry.fire = on_retry,
		.events = events,
		.ctx = ctx,
	};
	list_init(&c->overdue);
	list_init(&c->waiting);
	list_init(&c->refused);
	redis_link_init(&c->link, loop, endpoint, &link_events, name, config->redis.connect_timeout_ms,
	                REDIS_CALLS_MAX_BYTES * 2);
	c->link.use = &use;
	open_link(c);
}

/* Nobody may wait any more; what is left are calls without a caller. */
static void forget_all(struct redis_calls *c, struct list *calls)
{
	struct sent_call *call;

	while ((call = first(calls)) != NULL) {
		assert(call->done == NULL);
		forget(c, call);
	}
}

void redis_calls_free(struct redis_calls *c)
{
	redis_link_close(&c->link);
	timer_stop(&c->deadline);
	timer_stop(&c->retry);
	task_cancel(&c->answer_refused);
	forget_all(c, &c->overdue);
	forget_all(c, &c->waiting);
	forget_all(c, &c->refused);
}
