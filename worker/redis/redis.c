/* The face of this layer: builds its parts, passes events between them, and tells the state of the whole. */
#include "redis.h"

#include <stdio.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "redis_calls.h"
#include "redis_canary.h"
#include "redis_endpoint.h"
#include "redis_functions.h"
#include "redis_subs.h"

enum { REDIS_START_MS = 500 };

struct redis {
	struct loop *loop;
	struct redis_events events;
	struct redis_endpoint endpoint;
	struct redis_calls calls;
	struct redis_functions functions;
	struct redis_subs subs;
	struct redis_canary canary;
	char *node_channel;
	char *calls_name;
	char *subs_name;
	struct task look; /* at the state, once a turn */
	bool ready;
	bool was_ready; /* ever */
	enum redis_trouble trouble;
	uint64_t since_ms; /* not ready */
	char reason[REDIS_ERROR_MAX + 64];
};

/* --- readiness --- */

static void describe(struct redis *r, enum redis_trouble trouble, const char *text)
{
	const char *where = r->endpoint.text;

	switch (trouble) {
	case REDIS_FINE: r->reason[0] = '\0'; return;
	case REDIS_CONNECTING:
		snprintf(r->reason, sizeof(r->reason), "connecting to Redis at %s", where);
		return;
	case REDIS_DEAF:
	case REDIS_SILENT:
	case REDIS_AWAY:
	case REDIS_UNFIT:
	case REDIS_REFUSING: snprintf(r->reason, sizeof(r->reason), "%s", text); return;
	}
}

/* The trouble that explains most. */
static enum redis_trouble find_trouble(struct redis *r, char text[REDIS_ERROR_MAX])
{
	const char *subs_text;
	enum redis_trouble calls = redis_calls_trouble(&r->calls);
	enum redis_trouble subs = redis_subs_trouble(&r->subs, &subs_text);
	enum redis_trouble canary = redis_canary_trouble(&r->canary);
	const char *functions_text;
	enum redis_trouble functions = redis_functions_trouble(&r->functions, &functions_text);

	if (calls != REDIS_FINE && calls >= subs) {
		if (redis_link_up(&r->calls.link))
			snprintf(text, REDIS_ERROR_MAX, "Redis at %s does not answer", r->endpoint.text);
		else
			snprintf(text, REDIS_ERROR_MAX, "%s", r->calls.link.error);
		return calls;
	}
	if (subs != REDIS_FINE) {
		snprintf(text, REDIS_ERROR_MAX, "%s", subs_text);
		return subs;
	}
	if (functions != REDIS_FINE && functions >= canary) {
		snprintf(text, REDIS_ERROR_MAX, "%s", functions_text);
		return functions;
	}
	if (canary == REDIS_REFUSING)
		snprintf(text, REDIS_ERROR_MAX, "Redis refuses to publish: %s", r->canary.refusal);
	else if (canary == REDIS_SILENT)
		snprintf(text, REDIS_ERROR_MAX, "Redis at %s does not answer", r->endpoint.text);
	else if (canary == REDIS_DEAF)
		snprintf(text, REDIS_ERROR_MAX, "what is published in Redis is not heard since %.1f s",
		         (double)(clock_ms() - r->canary.heard_ms) / 1000.0);
	return canary;
}

/* In its first moments a worker is often faster than the Redis that is started with it; whoever waits for the
 * worker says so if it lasts. */
static bool just_started(const struct redis *r)
{
	return !r->was_ready && clock_ms() - r->since_ms < REDIS_START_MS;
}

static void log_trouble(struct redis *r)
{
	if (r->trouble == REDIS_CONNECTING || just_started(r))
		log_debug("%s", r->reason);
	else
		log_warning("%s", r->reason);
}

static void log_ready(struct redis *r)
{
	if (r->was_ready)
		log_info("Redis at %s is back, after %.1f s", r->endpoint.text,
		         (double)(clock_ms() - r->since_ms) / 1000.0);
	else
		log_info("Redis at %s is ready", r->endpoint.text);
	r->was_ready = true;
}

/* Logs when the kind of trouble changes, not at each try; tells when being ready changes. */
static void on_look(struct task *t)
{
	struct redis *r = container_of(t, struct redis, look);
	char text[REDIS_ERROR_MAX] = "";
	enum redis_trouble trouble = find_trouble(r, text);
	bool ready = trouble == REDIS_FINE;
	bool new_trouble = trouble != r->trouble;

	describe(r, trouble, text);
	r->trouble = trouble;
	if (!ready && r->ready)
		r->since_ms = clock_ms();
	if (new_trouble && ready)
		log_ready(r);
	else if (new_trouble)
		log_trouble(r);
	if (ready == r->ready)
		return;
	r->ready = ready;
	metrics_set(redis_ready, ready);
	r->events.on_ready(r->events.ctx, ready, r->reason);
}

static void look_later(void *ctx)
{
	struct redis *r = ctx;

	loop_defer(r->loop, &r->look);
}

bool redis_ready(const struct redis *r, const char **reason)
{
	*reason = r->reason;
	return r->ready;
}

/* --- events between the parts --- */

static void on_calls_change(void *ctx)
{
	struct redis *r = ctx;

	redis_functions_link_changed(&r->functions);
	if (!redis_link_up(&r->calls.link))
		redis_canary_renew(&r->canary);
	else
		redis_canary_kick(&r->canary);
	look_later(r);
}

static void on_subs_change(void *ctx, bool renewed)
{
	struct redis *r = ctx;

	if (renewed)
		redis_canary_renew(&r->canary);
	else
		redis_canary_kick(&r->canary);
	look_later(r);
}

static void on_node_message(void *ctx, struct bytes payload)
{
	struct redis *r = ctx;

	redis_canary_message(&r->canary, payload);
}

/* --- the face --- */

/* A name that no channel under the prefix can have: it differs from the prefix in its last character.
 * "fanfare:" gives "fanfare.canary.<id>". */
static char *make_node_channel(const char *prefix, const char *node_id)
{
	size_t base = strlen(prefix) > 0 ? strlen(prefix) - 1 : 0;
	char separator = prefix[base] == '.' ? ':' : '.';

	return mem_printf("%.*s%ccanary.%s", (int)base, prefix, separator, node_id);
}

struct redis *redis_new(struct loop *loop, const struct config *config, struct tls_client *tls,
                        const char *node_id, const struct redis_events *events)
{
	struct redis *r = mem_alloc(sizeof(*r));
	struct redis_subs_setup setup;

	r->loop = loop;
	r->events = *events;
	r->look.run = on_look;
	r->since_ms = clock_ms();
	r->trouble = REDIS_CONNECTING;
	redis_endpoint_init(&r->endpoint, config->redis.address, tls);
	describe(r, REDIS_CONNECTING, "");
	r->node_channel = make_node_channel(config->redis.prefix, node_id);
	r->calls_name = mem_printf("fanfare.%s.calls", node_id);
	r->subs_name = mem_printf("fanfare.%s.subs", node_id);
	metrics_set(redis_ready, 0);
	redis_calls_init(&r->calls, loop, &r->endpoint, config, r->calls_name, on_calls_change, r);
	redis_functions_init(&r->functions, loop, &r->calls, config, look_later, r);
	setup = (struct redis_subs_setup){
		.calls = &r->calls,
		.endpoint = &r->endpoint,
		.config = config,
		.events = &r->events,
		.link_name = r->subs_name,
		.node_channel = BYTES_OF_STR(r->node_channel),
		.on_change = on_subs_change,
		.on_node_message = on_node_message,
		.ctx = r,
	};
	redis_subs_init(&r->subs, loop, &setup);
	redis_canary_init(&r->canary, loop, &r->calls, &r->subs, config, look_later, r);
	return r;
}

void redis_free(struct redis **redis)
{
	struct redis *r = *redis;

	*redis = NULL;
	if (r == NULL)
		return;
	task_cancel(&r->look);
	redis_canary_free(&r->canary);
	redis_subs_free(&r->subs);
	redis_functions_free(&r->functions);
	redis_calls_free(&r->calls);
	redis_endpoint_free(&r->endpoint);
	mem_free(r->node_channel);
	mem_free(r->calls_name);
	mem_free(r->subs_name);
	mem_free(r);
}

struct redis_sub *redis_sub_open(struct redis *r, struct bytes channel, void *owner)
{
	return redis_subs_open(&r->subs, channel, owner);
}

struct redis_call *redis_call(struct redis *r, const struct bytes *argv, size_t argc,
                              void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	return redis_calls_send(&r->calls, argv, argc, done, arg);
}

struct redis_call *redis_fcall(struct redis *r, const char *function, const struct bytes *argv, size_t argc,
                               void (*done)(void *arg, const struct redis_reply *reply), void *arg)
{
	return redis_functions_call(&r->functions, function, argv, argc, done, arg);
}
