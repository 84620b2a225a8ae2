#include "redis_functions.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "redis_args.h"

enum { ARGS_MAX = 256 }; /* more than any function is given */

/* A call of a function: owned by the list it is in. Keeps its arguments, as it may have to be sent again. */
struct function_call {
	struct redis_call handle;
	struct list node;
	struct redis_functions *functions;
	struct redis_call *sent;
	const char *function;
	char *copy; /* of the arguments' bytes; NULL: there was no room */
	size_t size;
	uint64_t number;
	uint64_t due_ms;
	bool again; /* it has met a Redis without the function once */
	void (*done)(void *arg, const struct redis_reply *reply);
	void *arg;
	size_t argc;
	struct bytes argv[];
};

static const char *place(const struct redis_functions *f)
{
	return f->calls->link.endpoint->text;
}

/* --- one call --- */

static void forget(struct function_call *call)
{
	struct redis_functions *f = call->functions;

	list_remove(&call->node);
	f->count--;
	f->bytes -= call->size;
	mem_free(call->copy);
	mem_free(call);
}

static void answer(struct function_call *call, const struct redis_reply *reply)
{
	void (*done)(void *, const struct redis_reply *) = call->done;
	void *arg = call->arg;

	forget(call);
	done(arg, reply);
}

static struct function_call *first(const struct list *calls)
{
	return list_empty(calls) ? NULL : container_of(calls->next, struct function_call, node);
}

/* An answer may make new calls, but those do not come into the lists that are emptied. */
static void answer_all(struct list *calls)
{
	struct function_call *call;

	while ((call = first(calls)) != NULL) {
		metrics_inc(redis_call_failures);
		answer(call, NULL);
	}
}

static void cancel(struct redis_call *handle)
{
	struct function_call *call = container_of(handle, struct function_call, handle);

	redis_call_cancel(&call->sent);
	forget(call);
}

static void refuse(struct function_call *call)
{
	struct redis_functions *f = call->functions;

	list_remove(&call->node);
	list_append(&f->refused, &call->node);
	loop_defer(f->loop, &f->answer_refused);
}

static void on_answer_refused(struct task *t)
{
	struct redis_functions *f = container_of(t, struct redis_functions, answer_refused);

	answer_all(&f->refused);
}

/* --- calls that wait for the library --- */

static void arm(struct redis_functions *f)
{
	const struct function_call *oldest = first(&f->held);
	uint64_t now = clock_ms();

	if (oldest == NULL)
		timer_stop(&f->deadline);
	else
		timer_start(f->loop, &f->deadline, oldest->due_ms > now ? oldest->due_ms - now : 0);
}

static void on_deadline(struct timer *t)
{
	struct redis_functions *f = container_of(t, struct redis_functions, deadline);
	struct function_call *call;

	while ((call = first(&f->held)) != NULL && call->due_ms <= clock_ms()) {
		metrics_inc(redis_call_failures);
		answer(call, NULL);
	}
	arm(f);
}

/* Those that come back because the function was missing may be older than some that are held already. */
static void hold(struct function_call *call)
{
	struct redis_functions *f = call->functions;
	struct list *behind = f->held.prev;

	while (behind != &f->held && container_of(behind, struct function_call, node)->number > call->number)
		behind = behind->prev;
	list_remove(&call->node);
	list_append(behind->next, &call->node);
	arm(f);
}

/* --- calls that are sent --- */

static bool is_missing(const struct redis_reply *reply)
{
	return resp_is_error(reply, "NOSCRIPT") ||
	       (reply->type == REDIS_ERROR && bytes_start_with(reply->text, BYTES("ERR Function not found")));
}

static void on_missing(struct function_call *call)
{
	struct redis_functions *f = call->functions;

	call->again = true;
	hold(call);
	if (f->phase == FUNCTIONS_READY)
		log_info("Redis at %s has lost the function library", place(f));
	f->phase = FUNCTIONS_LOADING;
	redis_loader_missing(&f->loader);
}

static bool may_hold(const struct redis_functions *f)
{
	return f->phase == FUNCTIONS_READY || f->phase == FUNCTIONS_LOADING;
}

static void on_reply(void *arg, const struct redis_reply *reply)
{
	struct function_call *call = arg;

	call->sent = NULL;
	if (reply != NULL && is_missing(reply) && !call->again && may_hold(call->functions))
		on_missing(call);
	else
		answer(call, reply);
}

/* FCALL function 1 key arg..., or EVALSHA sha 1 key function arg... */
static void send_call(struct function_call *call)
{
	struct redis_functions *f = call->functions;
	const char *sha = redis_loader_script(&f->loader, call->function);
	struct bytes function = BYTES_OF_STR(call->function);
	struct bytes argv[ARGS_MAX + 4];
	size_t argc = 0;

	argv[argc++] = sha != NULL ? BYTES("EVALSHA") : BYTES("FCALL");
	argv[argc++] = sha != NULL ? BYTES_OF_STR(sha) : function;
	argv[argc++] = BYTES("1");
	argv[argc++] = call->argv[0];
	if (sha != NULL)
		argv[argc++] = function;
	for (size_t i = 1; i < call->argc; i++)
		argv[argc++] = call->argv[i];
	list_remove(&call->node);
	list_append(&f->sent, &call->node);
	call->sent = redis_calls_send(f->calls, argv, argc, on_reply, call);
}

/* --- the library --- */

static void on_loaded(void *ctx)
{
	struct redis_functions *f = ctx;
	struct function_call *call;

	f->phase = FUNCTIONS_READY;
	f->why[0] = '\0';
	f->was_ready = true;
	while ((call = first(&f->held)) != NULL)
		send_call(call);
	arm(f);
	f->on_change(f->ctx);
}

static void on_lost(void *ctx)
{
	struct redis_functions *f = ctx;

	if (f->phase == FUNCTIONS_READY)
		f->phase = FUNCTIONS_LOADING;
}

/* What is there goes on being used; without it, calls are refused until a later try. */
static void on_failed(void *ctx, struct bytes why)
{
	struct redis_functions *f = ctx;
	char text[REDIS_ERROR_MAX];

	if (f->phase == FUNCTIONS_READY)
		return;
	snprintf(text, sizeof(text), "cannot load the function library into Redis at %s: %.*s", place(f),
	         BYTES_FMT(bytes_first(why, REDIS_ERROR_SHOWN)));
	if (strcmp(text, f->why) != 0)
		log_info("%s", text);
	snprintf(f->why, sizeof(f->why), "%s", text);
	f->phase = FUNCTIONS_FAILED;
	answer_all(&f->held);
	arm(f);
	f->on_change(f->ctx);
}

/* --- the link --- */

static void link_up(struct redis_functions *f)
{
	f->phase = FUNCTIONS_LOADING;
	f->was_ready = false;
	redis_loader_up(&f->loader);
}

static void link_down(struct redis_functions *f)
{
	f->phase = FUNCTIONS_AWAY;
	redis_loader_down(&f->loader);
	answer_all(&f->held);
	arm(f);
}

void redis_functions_link_changed(struct redis_functions *f)
{
	bool up = redis_link_up(&f->calls->link);

	if (up && f->phase == FUNCTIONS_AWAY)
		link_up(f);
	else if (!up && f->phase != FUNCTIONS_AWAY)
		link_down(f);
}

enum redis_trouble redis_functions_trouble(const struct redis_functions *f, const char **text)
{
	*text = f->why;
	if (!f->needed || f->phase == FUNCTIONS_AWAY || f->phase == FUNCTIONS_READY)
		return REDIS_FINE;
	if (f->phase == FUNCTIONS_FAILED)
		return REDIS_REFUSING;
	return f->was_ready ? REDIS_FINE : REDIS_CONNECTING;
}

/* --- the face --- */

static bool copy_arguments(struct function_call *call, const struct bytes *argv)
{
	struct redis_functions *f = call->functions;

	call->size = redis_args_size(argv, call->argc);
	if (f->count >= REDIS_CALLS_MAX || call->size > REDIS_CALLS_MAX_BYTES - f->bytes)
		return false;
	call->copy = redis_args_copy(call->argv, argv, call->argc);
	return call->copy != NULL;
}

static void start(struct function_call *call)
{
	switch (call->functions->phase) {
	case FUNCTIONS_READY: send_call(call); return;
	case FUNCTIONS_LOADING: hold(call); return;
	case FUNCTIONS_AWAY:
	case FUNCTIONS_FAILED: refuse(call); return;
	}
}

struct redis_call *redis_functions_call(struct redis_functions *f, const char *function,
                                        const struct bytes *argv, size_t argc,
                                        void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	struct function_call *call = mem_alloc(sizeof(*call) + argc * sizeof(call->argv[0]));

	assert(argc > 0 && argc <= ARGS_MAX && done != NULL);
	call->handle.cancel = cancel;
	call->functions = f;
	call->function = function;
	call->argc = argc;
	call->number = f->made++;
	call->due_ms = clock_ms() + f->timeout_ms;
	call->done = done;
	call->arg = arg;
	if (copy_arguments(call, argv)) {
		f->count++;
		f->bytes += call->size;
		start(call);
	} else {
		f->count++;
		call->size = 0;
		refuse(call);
	}
	return &call->handle;
}

void redis_functions_init(struct redis_functions *f, struct loop *loop, struct redis_calls *calls,
                          const struct config *config, void (*on_change)(void *ctx), void *ctx)
{
	*f = (struct redis_functions){
		.loop = loop,
		.calls = calls,
		.timeout_ms = config->redis.call_timeout_ms,
		.phase = FUNCTIONS_AWAY,
		.needed = config_any_channel(config, config_has_history) ||
	                  config_any_channel(config, config_has_presence),
		.answer_refused.run = on_answer_refused,
		.deadline.fire = on_deadline,
		.on_change = on_change,
		.ctx = ctx,
	};
	redis_loader_init(&f->loader, loop, calls, config, f->needed,
	                  &(struct redis_loader_events){
				  .loaded = on_loaded,
				  .lost = on_lost,
				  .failed = on_failed,
				  .ctx = f,
			  });
	list_init(&f->held);
	list_init(&f->sent);
	list_init(&f->refused);
}

void redis_functions_free(struct redis_functions *f)
{
	assert(f->count == 0);
	redis_loader_free(&f->loader);
	timer_stop(&f->deadline);
	task_cancel(&f->answer_refused);
}
