/* A list in the order of the commands: only its front is ever answered. */
#include "pending.h"

#include <assert.h>

#include "clock.h"
#include "commands.h"
#include "config.h"
#include "heartbeat.h"
#include "mem.h"
#include "session_internal.h"
#include "subscriptions.h"

struct pending *pending_add(struct session *s, enum command_kind kind, uint32_t id)
{
	struct pending *p = mem_alloc(sizeof(*p));

	assert(s->pending_count == 0 || pending_kind(s) == kind);
	p->session = s;
	p->kind = (uint8_t)kind;
	p->id = id;
	list_init(&p->turn);
	list_append(&s->pending, &p->node);
	s->pending_count++;
	return p;
}

static void wait_for_subscriptions(struct pending *p, uint32_t count)
{
	struct session *s = p->session;

	p->done = false;
	p->waiting = count;
	p->deadline_ms = clock_ms() + s->clients->config->redis.call_timeout_ms;
	heartbeat_arm(s);
}

struct pending *pending_add_subscribing(struct session *s, enum command_kind kind, uint32_t id,
                                        uint32_t waiting)
{
	struct pending *p = pending_add(s, kind, id);

	wait_for_subscriptions(p, waiting);
	return p;
}

static struct pending *first_pending(const struct session *s)
{
	return list_empty(&s->pending) ? NULL : container_of(s->pending.next, struct pending, node);
}

enum command_kind pending_kind(const struct session *s)
{
	return first_pending(s)->kind;
}

static void pending_free(struct pending *p)
{
	list_remove(&p->node);
	list_remove(&p->turn);
	p->session->pending_count--;
	mem_free(p);
}

/* Whether it may bring what the client has missed. What others ask for that is large, they wait with asking.
 */
static bool is_large(const struct session *s, enum command_kind kind, enum error_code error,
                     const struct client_subscription *cs)
{
	if (error != ERROR_NONE)
		return false;
	if (kind == COMMAND_CONNECT)
		return s->subscription_count > 0;
	return cs != NULL && (cs->in_hub.flags & SUBSCRIPTION_WAS_RECOVERING) != 0;
}

size_t pending_bytes(const struct session *s)
{
	const struct pending *p = first_pending(s);
	size_t bytes = 0;

	if (p->kind != COMMAND_CONNECT)
		return p->subscription != NULL ? hub_missed_bytes(&p->subscription->in_hub) : 0;
	list_for_each (node, &s->subscriptions)
		bytes += hub_missed_bytes(&container_of(node, struct client_subscription, node)->in_hub);
	return bytes;
}

/* What a subscription gets may have been given up while it waited for its turn. */
static bool may_write(struct session *s, struct pending *p)
{
	struct client_subscription *cs = p->subscription;

	if (!is_large(s, (enum command_kind)p->kind, (enum error_code)p->error, cs))
		return true;
	if (!turns_may_write(s, p))
		return false;
	if (cs == NULL)
		return true;
	if (!hub_may_begin(s->clients->hub, &cs->in_hub)) {
		wait_for_subscriptions(p, 1);
		return false;
	}
	if (hub_prepare(&cs->in_hub))
		return true;
	turns_go_on(s, p);
	return false;
}

/* Each answer may be the one that ends the session. */
void pending_go_on(struct session *s)
{
	struct pending *p;

	while (s->phase < SESSION_REFUSED && (p = first_pending(s)) != NULL && p->done && may_write(s, p)) {
		struct pending decided = *p;

		pending_free(p);
		answer_write(s, &(struct answer){
					.kind = decided.kind,
					.id = decided.id,
					.error = decided.error,
					.subscription = decided.subscription,
					.result = decided.result,
				});
	}
	if (s->phase < SESSION_REFUSED && s->pending_count == 0)
		session_go_on(s);
}

static void decide(struct pending *p, enum error_code error)
{
	p->done = true;
	p->error = (uint16_t)error;
	p->publish = NULL;
	p->history = NULL;
	p->presence = NULL;
}

void pending_done(struct pending *p, enum error_code error)
{
	decide(p, error);
	pending_go_on(p->session);
}

static struct pending *pending_of(const struct client_subscription *cs)
{
	const struct session *s = conn_state(subscriptions_conn(cs));

	list_for_each (node, &s->pending) {
		struct pending *p = container_of(node, struct pending, node);

		if (p->subscription == cs || p->kind == COMMAND_CONNECT)
			return p;
	}
	return NULL;
}

void pending_subscribed(struct client_subscription *cs, enum error_code error)
{
	struct pending *p = pending_of(cs);

	assert(p != NULL && !p->done && p->waiting > 0);
	if (error != ERROR_NONE) {
		subscriptions_drop(&cs);
		p->subscription = NULL;
	}
	if (error != ERROR_NONE || --p->waiting == 0)
		pending_done(p, error);
}

static bool overdue(const struct pending *p, uint64_t now_ms)
{
	return !p->done && p->deadline_ms != 0 && p->deadline_ms <= now_ms;
}

uint64_t pending_deadline(const struct session *s)
{
	list_for_each (node, &s->pending) {
		const struct pending *p = container_of(node, struct pending, node);

		if (!p->done)
			return p->deadline_ms;
	}
	return 0;
}

void pending_expire(struct session *s, uint64_t now_ms)
{
	bool any = false;

	list_for_each (node, &s->pending) {
		struct pending *p = container_of(node, struct pending, node);

		if (!overdue(p, now_ms))
			continue;
		if (p->subscription != NULL)
			subscriptions_drop(&p->subscription);
		decide(p, ERROR_INTERNAL);
		any = true;
	}
	if (any)
		pending_go_on(s);
}

void pending_clear(struct session *s)
{
	struct pending *p;

	while ((p = first_pending(s)) != NULL) {
		hub_publish_cancel(&p->publish);
		hub_history_cancel(&p->history);
		hub_presence_cancel(&p->presence);
		pending_free(p);
	}
}

void pending_answer(struct session *s, enum command_kind kind, uint32_t id, const struct verdict *v)
{
	struct pending *p;
	bool large = is_large(s, kind, v->error, v->subscription);

	if (s->pending_count == 0 && !large) {
		answer_write(s, &(struct answer){
					.kind = kind,
					.id = id,
					.error = v->error,
					.subscription = v->subscription,
				});
		return;
	}
	p = pending_add(s, kind, id);
	p->subscription = v->subscription;
	decide(p, v->error);
	if (s->phase == SESSION_NEW)
		session_set_phase(s, SESSION_CONNECTING);
	if (s->pending_count == 1)
		pending_go_on(s);
}
