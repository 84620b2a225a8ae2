/* A Redis layer without a Redis. What it hands out lives exactly as long as promised, so that a sanitizer
 * sees who keeps it longer. */
#include "fake_redis.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "list.h"
#include "mem.h"

enum { CALL_TEXT_MAX = 128 << 10, FAKE_ARGS_MAX = 256 };

struct redis {
	struct redis_events events;
	struct list subs;
	struct list calls;
	bool ready;
	bool confirm_at_once;
};

struct redis_sub {
	struct list node;
	char *channel;
	void *owner;
	bool confirmed;
};

struct redis_call {
	struct list node;
	void (*done)(void *arg, const struct redis_reply *reply);
	void *arg;
	char text[CALL_TEXT_MAX];
};

static struct redis *the;

struct redis *redis_new(struct loop *loop, const struct config *config, const struct redis_tls *tls,
                        const char *node_id, const struct redis_events *events)
{
	assert(the == NULL);
	the = mem_alloc(sizeof(*the));
	the->events = *events;
	the->ready = true;
	list_init(&the->subs);
	list_init(&the->calls);
	return the;
}

void redis_free(struct redis **r)
{
	assert(*r == the && list_empty(&the->subs) && list_empty(&the->calls));
	mem_free(the);
	*r = the = NULL;
}

bool redis_ready(const struct redis *r, const char **reason)
{
	*reason = r->ready ? NULL : "away";
	return r->ready;
}

bool redis_hears(const struct redis *r, struct bytes channel)
{
	return r->ready;
}

void fake_redis_set_ready(bool ready)
{
	if (the->ready == ready)
		return;
	the->ready = ready;
	the->events.on_ready(the->events.ctx, ready, ready ? NULL : "away");
}

static struct redis_sub *find(const char *channel)
{
	list_for_each (node, &the->subs) {
		struct redis_sub *s = container_of(node, struct redis_sub, node);

		if (strcmp(s->channel, channel) == 0)
			return s;
	}
	return NULL;
}

struct redis_sub *redis_sub_open(struct redis *r, struct bytes channel, void *owner)
{
	struct redis_sub *s = mem_alloc(sizeof(*s));

	s->channel = mem_strndup(channel.ptr, channel.len);
	s->owner = owner;
	s->confirmed = r->confirm_at_once;
	assert(find(s->channel) == NULL);
	list_append(&r->subs, &s->node);
	return s;
}

bool redis_sub_confirmed(const struct redis_sub *s)
{
	return s->confirmed;
}

void redis_sub_close(struct redis_sub **s)
{
	list_remove(&(*s)->node);
	mem_free((*s)->channel);
	mem_free(*s);
	*s = NULL;
}

size_t fake_redis_subs(void)
{
	size_t count = 0;

	list_for_each (node, &the->subs)
		count++;
	return count;
}

bool fake_redis_has_sub(const char *channel)
{
	return find(channel) != NULL;
}

void fake_redis_confirm_at_once(bool yes)
{
	the->confirm_at_once = yes;
}

static void confirm(struct redis_sub *s)
{
	s->confirmed = true;
	the->events.on_confirmed(s->owner);
}

void fake_redis_confirm(const char *channel)
{
	struct redis_sub *s = find(channel);

	assert(s != NULL);
	confirm(s);
}

bool fake_redis_confirm_next(void)
{
	list_for_each (node, &the->subs) {
		struct redis_sub *s = container_of(node, struct redis_sub, node);

		if (!s->confirmed) {
			confirm(s);
			return true;
		}
	}
	return false;
}

void fake_redis_message(const char *channel, const char *payload)
{
	struct redis_sub *s = find(channel);
	size_t len = strlen(payload);
	char *copy = mem_try_alloc(len + 1);

	assert(s != NULL && copy != NULL);
	memcpy(copy, payload, len);
	the->events.on_message(s->owner, (struct bytes){copy, len});
	mem_free(copy);
}

struct redis_call *redis_call(struct redis *r, const struct bytes *argv, size_t argc,
                              void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	struct redis_call *call = mem_alloc(sizeof(*call));
	size_t len = 0;

	call->done = done;
	call->arg = arg;
	for (size_t i = 0; i < argc; i++)
		len += (size_t)snprintf(call->text + len, sizeof(call->text) - len, "%s%.*s",
		                        i == 0 ? "" : " ", BYTES_FMT(argv[i]));
	assert(len < sizeof(call->text));
	list_append(&r->calls, &call->node);
	return call;
}

void redis_call_cancel(struct redis_call **c)
{
	if (*c == NULL)
		return;
	list_remove(&(*c)->node);
	mem_free(*c);
	*c = NULL;
}

/* A call of a function looks as it goes to Redis. */
struct redis_call *redis_publish(struct redis *r, struct bytes channel, struct bytes payload,
                                 void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	return redis_call(r, (struct bytes[]){BYTES("PUBLISH"), channel, payload}, 3, done, arg);
}

struct redis_call *redis_fcall(struct redis *r, const char *function, const struct bytes *argv, size_t argc,
                               void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	struct bytes all[FAKE_ARGS_MAX] = {BYTES("FCALL"), BYTES_OF_STR(function), BYTES("1")};

	assert(argc + 3 <= FAKE_ARGS_MAX);
	for (size_t i = 0; i < argc; i++)
		all[3 + i] = argv[i];
	return redis_call(r, all, argc + 3, done, arg);
}

size_t fake_redis_calls(void)
{
	size_t count = 0;

	list_for_each (node, &the->calls)
		count++;
	return count;
}

const char *fake_redis_call(void)
{
	assert(!list_empty(&the->calls));
	return container_of(the->calls.next, struct redis_call, node)->text;
}

void fake_redis_answer(const struct redis_reply *reply)
{
	struct redis_call *call = container_of(list_pop(&the->calls), struct redis_call, node);
	void (*done)(void *arg, const struct redis_reply *r) = call->done;
	void *arg = call->arg;

	mem_free(call);
	done(arg, reply);
}
