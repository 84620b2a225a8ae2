/* Builds the parts, passes events between them, and tells the state of the whole. */
#include "redis_node.h"

#include <stdio.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "mem.h"

enum { REDIS_START_MS = 500 };

/* --- readiness --- */

static void describe(struct redis_node *n, enum redis_trouble trouble, const char *text)
{
	const char *where = n->endpoint->text;

	switch (trouble) {
	case REDIS_FINE: n->reason[0] = '\0'; return;
	case REDIS_CONNECTING:
		snprintf(n->reason, sizeof(n->reason), "connecting to Redis at %s", where);
		return;
	case REDIS_DEAF:
	case REDIS_SILENT:
	case REDIS_AWAY:
	case REDIS_UNFIT:
	case REDIS_REFUSING: snprintf(n->reason, sizeof(n->reason), "%s", text); return;
	}
}

/* The trouble that explains most. */
static enum redis_trouble find_trouble(struct redis_node *n, char text[REDIS_ERROR_MAX])
{
	const char *subs_text;
	enum redis_trouble calls = redis_calls_trouble(&n->calls);
	enum redis_trouble subs = redis_subs_trouble(&n->subs, &subs_text);
	enum redis_trouble canary = redis_canary_trouble(&n->canary);
	const char *functions_text;
	enum redis_trouble functions = redis_functions_trouble(&n->functions, &functions_text);

	if (calls != REDIS_FINE && calls >= subs) {
		if (redis_link_up(&n->calls.link))
			snprintf(text, REDIS_ERROR_MAX, "Redis at %s does not answer", n->endpoint->text);
		else
			snprintf(text, REDIS_ERROR_MAX, "%s", n->calls.link.error);
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
		snprintf(text, REDIS_ERROR_MAX, "Redis refuses to publish: %s", n->canary.refusal);
	else if (canary == REDIS_SILENT)
		snprintf(text, REDIS_ERROR_MAX, "Redis at %s does not answer", n->endpoint->text);
	else if (canary == REDIS_DEAF)
		snprintf(text, REDIS_ERROR_MAX, "what is published in Redis is not heard since %.1f s",
		         (double)(clock_ms() - n->canary.heard_ms) / 1000.0);
	return canary;
}

/* In its first moments a worker is often faster than the Redis that is started with it; whoever waits for the
 * worker says so if it lasts. */
static bool just_started(const struct redis_node *n)
{
	return !n->was_ready && clock_ms() - n->since_ms < REDIS_START_MS;
}

static void log_trouble(struct redis_node *n)
{
	if (n->trouble == REDIS_CONNECTING || just_started(n))
		log_debug("%s", n->reason);
	else
		log_warning("%s", n->reason);
}

static void log_ready(struct redis_node *n)
{
	if (n->was_ready)
		log_info("Redis at %s is back, after %.1f s", n->endpoint->text,
		         (double)(clock_ms() - n->since_ms) / 1000.0);
	else
		log_info("Redis at %s is ready", n->endpoint->text);
	n->was_ready = true;
}

/* Logs when the kind of trouble changes, not at each try; tells when being ready changes. */
static void on_look(struct task *t)
{
	struct redis_node *n = container_of(t, struct redis_node, look);
	char text[REDIS_ERROR_MAX] = "";
	enum redis_trouble trouble = find_trouble(n, text);
	bool ready = trouble == REDIS_FINE;
	bool new_trouble = trouble != n->trouble;

	describe(n, trouble, text);
	n->trouble = trouble;
	if (!ready && n->ready)
		n->since_ms = clock_ms();
	if (new_trouble && ready)
		log_ready(n);
	else if (new_trouble)
		log_trouble(n);
	if (ready == n->ready)
		return;
	n->ready = ready;
	n->on_ready(n->ctx, n);
}

static void look_later(void *ctx)
{
	struct redis_node *n = ctx;

	loop_defer(n->loop, &n->look);
}

void redis_node_leave(struct redis_node *n)
{
	redis_handover_leave(&n->subs.handover);
	redis_calls_leave(&n->calls);
}

void redis_node_arrive(struct redis_node *n)
{
	redis_calls_arrive(&n->calls);
	redis_handover_arrive(&n->subs.handover);
	look_later(n);
}

bool redis_node_ready(const struct redis_node *n, const char **reason)
{
	*reason = n->reason;
	return n->ready;
}

/* --- events between the parts --- */

/* What has silenced the command connection may have silenced the subscriber connection, too; canaries would
 * show it only when there is another command connection. */
static bool is_silent_since(const struct redis_node *n, uint64_t since_ms)
{
	const struct redis_feed *active = n->subs.handover.active;

	return active != NULL && active->link.heard_ms < since_ms;
}

static void on_calls_change(void *ctx)
{
	struct redis_node *n = ctx;

	redis_functions_link_changed(&n->functions);
	if (redis_link_up(&n->calls.link)) {
		redis_canary_kick(&n->canary);
	} else {
		redis_canary_renew(&n->canary);
		if (n->calls.link.trouble == REDIS_SILENT && is_silent_since(n, n->calls.silent_since_ms))
			redis_handover_doubt(&n->subs.handover, REDIS_DOUBT_CANARY);
	}
	look_later(n);
}

/* Nothing, in the channel that no one else listens to: what publishes is held back with all that writes. */
static void proof(void *ctx, struct bytes argv[REDIS_PROOF_WORDS])
{
	const struct redis_node *n = ctx;

	argv[0] = redis_subs_publish_word(&n->subs);
	argv[1] = n->subs.node->channel;
	argv[2] = BYTES("");
}

static const struct redis_calls_events calls_events = {on_calls_change, proof};

static void on_subs_change(void *ctx, bool renewed)
{
	struct redis_node *n = ctx;

	if (renewed)
		redis_canary_renew(&n->canary);
	else
		redis_canary_kick(&n->canary);
	look_later(n);
}

static void on_node_message(void *ctx, struct bytes payload)
{
	struct redis_node *n = ctx;

	redis_canary_message(&n->canary, payload);
}

static void on_displaced(void *ctx, void *owner, const struct redis_reply *why)
{
	struct redis_node *n = ctx;

	n->on_displaced(n->ctx, owner, why);
}

/* --- the face --- */

void redis_node_init(struct redis_node *n, struct loop *loop, const struct redis_node_setup *setup)
{
	const struct config *config = setup->config;

	*n = (struct redis_node){
		.loop = loop,
		.endpoint = setup->endpoint,
		.on_ready = setup->on_ready,
		.on_displaced = setup->on_displaced,
		.ctx = setup->ctx,
		.calls_name = mem_printf("fanfare.%s.calls", setup->node_id),
		.subs_name = mem_printf("fanfare.%s.subs", setup->node_id),
		.look.run = on_look,
		.since_ms = clock_ms(),
		.trouble = REDIS_CONNECTING,
	};
	describe(n, REDIS_CONNECTING, "");
	redis_calls_init(&n->calls, loop, n->endpoint, config, n->calls_name, &calls_events, n);
	redis_functions_init(&n->functions, loop, &n->calls, config, look_later, n);
	redis_subs_init(&n->subs, loop,
	                &(struct redis_subs_setup){
				.calls = &n->calls,
				.endpoint = n->endpoint,
				.config = config,
				.events = setup->events,
				.link_name = n->subs_name,
				.node_channel = setup->node_channel,
				.on_change = on_subs_change,
				.on_node_message = on_node_message,
				.on_displaced = on_displaced,
				.sharded = setup->sharded,
				.ctx = n,
			});
	redis_canary_init(&n->canary, loop, &n->calls, &n->subs, config, look_later, n);
}

void redis_node_free(struct redis_node *n)
{
	task_cancel(&n->look);
	redis_canary_free(&n->canary);
	redis_subs_free(&n->subs);
	redis_functions_free(&n->functions);
	redis_calls_free(&n->calls);
	mem_free(n->calls_name);
	mem_free(n->subs_name);
}
