#include "redis_canary.h"

#include <inttypes.h>
#include <stdio.h>

#include "clock.h"
#include "config.h"
#include "metrics.h"

static void set_heard(struct redis_canary *c, bool heard)
{
	if (heard) {
		c->heard_ms = clock_ms();
		c->missed = false;
	}
	c->heard = heard;
	c->on_change(c->ctx);
}

/* Its channel has gone to another server, so it says nothing about this one; the next one flies in a channel
 * that is here. But a node from which all go says nothing for long. */
static void on_moved(struct redis_canary *c)
{
	c->flying = false;
	timer_start(c->loop, &c->timer, c->interval_ms);
	if (clock_ms() - c->heard_ms > c->interval_ms + c->timeout_ms) {
		c->missed = c->deaf = true;
		set_heard(c, false);
	}
	redis_subs_displaced(c->subs, c->subs->node);
}

static void on_published(void *arg, const struct redis_reply *reply)
{
	struct redis_canary *c = arg;

	c->call = NULL;
	if (reply != NULL && resp_is_error(reply, "MOVED") && c->subs->sharded) {
		on_moved(c);
		return;
	}
	if (reply != NULL && reply->type == REDIS_ERROR) {
		snprintf(c->refusal, sizeof(c->refusal), "%.*s%s", BYTES_FMT(redis_error_text(reply)),
		         redis_error_remedy(reply));
		c->flying = false;
		timer_start(c->loop, &c->timer, c->interval_ms);
		set_heard(c, false);
		return;
	}
	c->published = reply != NULL;
	if (!c->published)
		return;
	c->refusal[0] = '\0';
	if (c->flying)
		timer_start(c->loop, &c->doubt, c->timeout_ms / REDIS_CANARY_LATE_PART);
}

static bool can_fly(const struct redis_canary *c)
{
	return redis_link_up(&c->calls->link) && redis_sub_confirmed(&c->subs->node->handle);
}

static void fly(struct redis_canary *c)
{
	struct bytes args[3] = {redis_subs_publish_word(c->subs), c->subs->node->channel, BYTES_NONE};

	snprintf(c->token, sizeof(c->token), "canary %s %" PRIu64, c->subs->secret, ++c->number);
	args[2] = BYTES_OF_STR(c->token);
	redis_call_cancel(&c->call);
	c->call = redis_calls_send(c->calls, args, 3, on_published, c);
	c->published = false;
	c->flying = true;
	timer_start(c->loop, &c->timer, c->timeout_ms);
}

/* Only when Redis says that it published the canary is it the subscriber connection that does not hear. */
static void missed(struct redis_canary *c)
{
	bool deaf = c->published;

	c->flying = false;
	timer_stop(&c->doubt);
	c->missed = true;
	c->deaf = deaf;
	metrics_inc(redis_canaries_missed);
	redis_canary_kick(c);
	set_heard(c, false);
	if (deaf)
		redis_handover_doubt(&c->subs->handover, REDIS_DOUBT_CANARY);
}

static void on_timer(struct timer *t)
{
	struct redis_canary *c = container_of(t, struct redis_canary, timer);

	if (c->flying)
		missed(c);
	else
		redis_canary_kick(c);
}

static void on_late(struct timer *t)
{
	struct redis_canary *c = container_of(t, struct redis_canary, doubt);

	redis_handover_doubt(&c->subs->handover, REDIS_DOUBT_CANARY);
}

void redis_canary_message(struct redis_canary *c, struct bytes payload)
{
	if (!c->flying || !bytes_eq(payload, BYTES_OF_STR(c->token)))
		return;
	c->flying = false;
	timer_stop(&c->doubt);
	timer_start(c->loop, &c->timer, c->interval_ms);
	set_heard(c, true);
	redis_handover_trust(&c->subs->handover, REDIS_DOUBT_CANARY);
}

void redis_canary_kick(struct redis_canary *c)
{
	if (!c->flying && !timer_armed(&c->timer) && can_fly(c))
		fly(c);
}

void redis_canary_renew(struct redis_canary *c)
{
	c->flying = false;
	timer_stop(&c->timer);
	timer_stop(&c->doubt);
	redis_call_cancel(&c->call);
	if (!redis_link_up(&c->calls->link) || c->subs->handover.active == NULL)
		c->heard = c->missed = false;
	redis_canary_kick(c);
	c->on_change(c->ctx);
}

enum redis_trouble redis_canary_trouble(const struct redis_canary *c)
{
	if (c->heard)
		return REDIS_FINE;
	if (c->refusal[0] != '\0')
		return REDIS_REFUSING;
	if (!c->missed)
		return REDIS_CONNECTING;
	return c->deaf ? REDIS_DEAF : REDIS_SILENT;
}

void redis_canary_init(struct redis_canary *c, struct loop *loop, struct redis_calls *calls,
                       struct redis_subs *subs, const struct config *config, void (*on_change)(void *ctx),
                       void *ctx)
{
	*c = (struct redis_canary){
		.loop = loop,
		.calls = calls,
		.subs = subs,
		.interval_ms = config->redis.canary_interval_ms,
		.timeout_ms = config->redis.canary_timeout_ms,
		.timer.fire = on_timer,
		.doubt.fire = on_late,
		.heard_ms = clock_ms(),
		.on_change = on_change,
		.ctx = ctx,
	};
}

void redis_canary_free(struct redis_canary *c)
{
	timer_stop(&c->timer);
	timer_stop(&c->doubt);
	redis_call_cancel(&c->call);
}
