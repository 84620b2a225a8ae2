/* A list, since most sessions have one or a few and the channel limit bounds the others. */
#include "subscriptions.h"

#include "compiler.h"
#include "config.h"
#include "session_internal.h"
#include "slab.h"

struct client_subscription *subscriptions_find(const struct session *s, struct bytes channel)
{
	struct channel *wanted = hub_find_channel(s->clients->hub, channel);

	if (wanted == NULL)
		return NULL;
	list_for_each (node, &s->subscriptions) {
		struct client_subscription *cs = container_of(node, struct client_subscription, node);

		if (cs->in_hub.channel == wanted)
			return cs;
	}
	return NULL;
}

/* Client protocol 15: who may recover has a position, too. A cache may be sent to those who do not ask. */
static struct want grant(const struct channel_options *options, const struct subscribe_request *req,
                         uint8_t *flags)
{
	bool recoverable = options->force_recovery || (options->allow_recovery && req->recoverable);
	bool unasked = options->auto_cache_recover && options->force_recovery_mode == RECOVERY_CACHE;
	struct want want = {
		.together = (*flags & SUBSCRIPTION_SERVER_SIDE) != 0,
		.hears_joins = options->join_leave && (options->force_push_join_leave || req->join_leave),
		.positioned = recoverable || options->force_positioning ||
	                      (options->allow_positioning && req->positioned),
		.recover = recoverable && (req->recover || unasked),
		.offset = req->offset,
		.epoch = req->epoch,
	};

	if (req->recover || want.recover)
		*flags |= SUBSCRIPTION_WAS_RECOVERING;
	if (recoverable)
		*flags |= SUBSCRIPTION_RECOVERABLE;
	if (req->recover && (req->flag & FLAG_STRICT_RECOVERY))
		*flags |= SUBSCRIPTION_STRICT;
	return want;
}

static uint8_t form_for(const struct session *s, const struct channel_options *options,
                        const struct subscribe_request *req)
{
	if (s->uni)
		return WIRE_JSON_UNI;
	return options->allow_channel_compaction && (req->flag & FLAG_CHANNEL_IDS) ? WIRE_JSON_ID : WIRE_JSON;
}

struct client_subscription *subscriptions_add(struct session *s, const struct channel_options *options,
                                              const struct subscribe_request *req, uint8_t flags)
{
	struct client_subscription *cs = slab_alloc(s->clients->subscription_slab);
	const struct want want = grant(options, req, &flags);
	enum error_code error;

	cs->in_hub.target = s->conn;
	cs->in_hub.form = form_for(s, options, req);
	cs->in_hub.deflate_bits = (uint8_t)conn_deflate_bits(s->conn);
	cs->in_hub.flags = flags;
	if (!hub_subscribe(s->clients->hub, req->channel, &cs->in_hub, &want, &error) &&
	    error != ERROR_NONE) {
		slab_free(cs);
		return NULL;
	}
	list_append(&s->subscriptions, &cs->node);
	s->subscription_count++;
	return cs;
}

struct conn *subscriptions_conn(const struct client_subscription *cs)
{
	return cs->in_hub.target;
}

uint64_t subscriptions_channel_id(const struct client_subscription *cs)
{
	return cs->in_hub.form == WIRE_JSON_ID ? subscription_channel_id(&cs->in_hub) : 0;
}

void subscriptions_drop(struct client_subscription **cs)
{
	struct session *s = conn_state(subscriptions_conn(*cs));

	hub_unsubscribe(s->clients->hub, &(*cs)->in_hub);
	list_remove(&(*cs)->node);
	s->subscription_count--;
	slab_free(*cs);
	*cs = NULL;
}

void subscriptions_drop_all(struct session *s)
{
	list_for_each (node, &s->subscriptions) {
		struct client_subscription *cs = container_of(node, struct client_subscription, node);

		subscriptions_drop(&cs);
	}
}
