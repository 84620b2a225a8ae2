#include "cluster_calls.h"

#include <assert.h>

#include "clock.h"
#include "config.h"
#include "mem.h"
#include "metrics.h"
#include "redis_args.h"
#include "redis_cluster.h"

/* Owned by the list it is in. Keeps its arguments, as it may have to be sent again. */
struct cluster_call {
	struct redis_call handle;
	struct list node;
	struct cluster_calls *calls;
	struct cluster_node *at;   /* where it was sent; NULL: nowhere */
	struct redis_call *asking; /* what is sent before it where an ASK has led */
	struct redis_call *sent;
	const char *function; /* NULL: a command */
	unsigned slot;
	bool anywhere; /* it has no key */
	bool waits;    /* it is counted in waiting_in */
	unsigned hops;
	uint64_t number;
	uint64_t due_ms;
	char *copy; /* NULL: there was no room */
	size_t size;
	void (*done)(void *arg, const struct redis_reply *reply);
	void *arg;
	size_t argc;
	struct bytes argv[];
};

static struct cluster_call *of_list(struct list *node)
{
	return container_of(node, struct cluster_call, node);
}

/* --- one call --- */

static void leave_node(struct cluster_call *call)
{
	redis_call_cancel(&call->asking);
	redis_call_cancel(&call->sent);
	if (call->at != NULL)
		call->at->calls--;
	call->at = NULL;
}

static void take_out(struct cluster_call *call)
{
	list_remove(&call->node);
	if (call->waits)
		call->calls->waiting_in[call->slot]--;
	call->waits = false;
}

static void forget(struct cluster_call *call)
{
	leave_node(call);
	take_out(call);
	call->calls->count--;
	call->calls->bytes -= call->size;
	mem_free(call->copy);
	mem_free(call);
}

static void answer(struct cluster_call *call, const struct redis_reply *reply)
{
	void (*done)(void *, const struct redis_reply *) = call->done;
	void *arg = call->arg;

	forget(call);
	done(arg, reply);
}

static void cancel(struct redis_call *handle)
{
	forget(container_of(handle, struct cluster_call, handle));
}

static void refuse(struct cluster_call *call)
{
	take_out(call);
	list_append(&call->calls->refused, &call->node);
	loop_defer(call->calls->cluster->loop, &call->calls->answer_refused);
}

static void on_answer_refused(struct task *t)
{
	struct cluster_calls *calls = container_of(t, struct cluster_calls, answer_refused);

	/* An answer may make new calls, which are refused in the next turn. */
	for (size_t left = calls->count; left > 0 && !list_empty(&calls->refused); left--) {
		metrics_inc(redis_call_failures);
		answer(of_list(calls->refused.next), NULL);
	}
	if (!list_empty(&calls->refused))
		loop_defer(calls->cluster->loop, &calls->answer_refused);
}

/* --- sending --- */

static void on_asking(void *arg, const struct redis_reply *reply)
{
	struct cluster_call *call = arg;

	call->asking = NULL;
}

static void on_reply(void *arg, const struct redis_reply *reply);

static void send_to(struct cluster_call *call, struct cluster_node *n, bool asking)
{
	const struct bytes word = BYTES("ASKING");

	take_out(call);
	list_append(&call->calls->sent, &call->node);
	call->at = n;
	n->calls++;
	if (asking)
		call->asking = redis_calls_send(&n->node.calls, &word, 1, on_asking, call);
	call->sent = call->function != NULL
	                     ? redis_functions_call(&n->node.functions, call->function, call->argv,
	                                            call->argc, on_reply, call)
	                     : redis_calls_send(&n->node.calls, call->argv, call->argc, on_reply, call);
}

/* Behind those that were made before it. */
static void wait_to_send(struct cluster_call *call)
{
	struct cluster_calls *calls = call->calls;
	struct list *behind = calls->waiting.prev;

	take_out(call);
	while (behind != &calls->waiting && of_list(behind)->number > call->number)
		behind = behind->prev;
	list_append(behind->next, &call->node);
	if (!call->anywhere) {
		calls->waiting_in[call->slot]++;
		call->waits = true;
	}
	if (!timer_armed(&calls->pause))
		timer_start(calls->cluster->loop, &calls->pause, CLUSTER_CALL_PAUSE_MS);
}

static bool is_up(const struct cluster_node *n)
{
	return n != NULL && redis_link_up(&n->node.calls.link);
}

/* False when there is no node for it now. */
static bool try_to_send(struct cluster_call *call)
{
	struct redis_cluster *c = call->calls->cluster;
	struct cluster_node *n = call->anywhere ? redis_cluster_any(c, NULL) : c->owner[call->slot];

	if (!is_up(n))
		return false;
	send_to(call, n, false);
	return true;
}

/* --- answers --- */

/* A function is not asked for where an ASK leads: it would not do anything there (check_slot in
 * functions.lua). */
static void follow(struct cluster_call *call, const struct redis_redirect *to)
{
	struct redis_cluster *c = call->calls->cluster;
	struct cluster_node *n = redis_cluster_find(c, &to->place);

	if (!to->ask)
		redis_cluster_moved(c, to->slot, &to->place);
	if (++call->hops > CLUSTER_CALL_HOPS || !is_up(n) || (to->ask && call->function != NULL))
		wait_to_send(call);
	else
		send_to(call, n, to->ask);
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct cluster_call *call = arg;
	struct redis_redirect to;
	bool redirected;

	call->sent = NULL;
	redirected = reply != NULL && redis_redirect_read(reply, &call->at->place, &to);
	if (reply == NULL || !redis_means_again(reply) || clock_ms() >= call->due_ms) {
		answer(call, reply);
		return;
	}
	leave_node(call);
	if (redirected)
		follow(call, &to);
	else
		wait_to_send(call);
}

/* --- those that wait --- */

void cluster_calls_retry(struct cluster_calls *calls)
{
	struct list all;

	list_init(&all);
	list_move_all(&all, &calls->waiting);
	while (!list_empty(&all)) {
		struct cluster_call *call = of_list(all.next);

		if (call->due_ms <= clock_ms())
			refuse(call);
		else if (!try_to_send(call))
			wait_to_send(call);
	}
}

static void on_pause(struct timer *t)
{
	struct cluster_calls *calls = container_of(t, struct cluster_calls, pause);

	cluster_map_want(&calls->cluster->map);
	cluster_calls_retry(calls);
}

/* --- the face --- */

/* What waits for a master that is not heard must leave room for calls to the others. */
static bool has_room(const struct cluster_call *call)
{
	const struct cluster_calls *calls = call->calls;
	bool heard = call->anywhere || redis_cluster_hears_slot(calls->cluster, call->slot);
	size_t share = heard ? 1 : CLUSTER_CALL_SHARE;

	return calls->count < REDIS_CALLS_MAX / share &&
	       calls->bytes + call->size <= REDIS_CALLS_MAX_BYTES / share;
}

static bool take_arguments(struct cluster_call *call, const struct bytes *argv)
{
	call->size = redis_args_size(argv, call->argc);
	if (!has_room(call))
		return false;
	call->copy = redis_args_copy(call->argv, argv, call->argc);
	return call->copy != NULL;
}

static void start(struct cluster_call *call)
{
	bool must_wait = !call->anywhere && call->calls->waiting_in[call->slot] > 0;

	if (must_wait || !try_to_send(call))
		wait_to_send(call);
}

struct redis_call *cluster_calls_send(struct cluster_calls *calls, const char *function,
                                      const struct bytes *argv, size_t argc,
                                      void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	struct cluster_call *call = mem_alloc(sizeof(*call) + argc * sizeof(call->argv[0]));
	size_t key = function != NULL ? 0 : 1;
	bool fits;

	assert(argc > 0 && done != NULL);
	call->handle.cancel = cancel;
	call->calls = calls;
	call->function = function;
	call->argc = argc;
	call->anywhere = argc <= key;
	call->slot = call->anywhere ? 0 : redis_slot_of(argv[key]);
	call->number = calls->made++;
	call->due_ms = clock_ms() + calls->cluster->config->redis.call_timeout_ms;
	call->done = done;
	call->arg = arg;
	fits = take_arguments(call, argv);
	if (!fits)
		call->size = 0;
	calls->count++;
	calls->bytes += call->size;
	if (fits)
		start(call);
	else
		refuse(call);
	return &call->handle;
}

void cluster_calls_init(struct cluster_calls *calls, struct redis_cluster *c)
{
	*calls = (struct cluster_calls){
		.cluster = c,
		.answer_refused.run = on_answer_refused,
		.pause.fire = on_pause,
	};
	list_init(&calls->sent);
	list_init(&calls->waiting);
	list_init(&calls->refused);
}

void cluster_calls_free(struct cluster_calls *calls)
{
	assert(calls->count == 0);
	timer_stop(&calls->pause);
	task_cancel(&calls->answer_refused);
}
