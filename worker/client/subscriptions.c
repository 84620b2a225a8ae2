/* A list, since most sessions have one or a few and the channel limit bounds the others. */
#include "subscriptions.h"

#include "compiler.h"
#include "mem.h"
#include "session_internal.h"

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

struct client_subscription *subscriptions_add(struct session *s, struct bytes channel, uint8_t flags)
{
	struct client_subscription *cs = mem_alloc(sizeof(*cs));
	enum error_code error;

	cs->conn = s->conn;
	cs->in_hub.form = s->uni ? WIRE_JSON_UNI : WIRE_JSON;
	cs->in_hub.deflate_bits = (uint8_t)conn_deflate_bits(s->conn);
	cs->in_hub.flags = flags;
	if (!hub_subscribe(s->clients->hub, channel, &cs->in_hub, &error) && error != ERROR_NONE) {
		mem_free(cs);
		return NULL;
	}
	list_append(&s->subscriptions, &cs->node);
	s->subscription_count++;
	return cs;
}

void subscriptions_drop(struct client_subscription **cs)
{
	struct session *s = conn_state((*cs)->conn);

	hub_unsubscribe(s->clients->hub, &(*cs)->in_hub);
	list_remove(&(*cs)->node);
	s->subscription_count--;
	mem_free(*cs);
	*cs = NULL;
}

void subscriptions_drop_all(struct session *s)
{
	list_for_each (node, &s->subscriptions) {
		struct client_subscription *cs = container_of(node, struct client_subscription, node);

		subscriptions_drop(&cs);
	}
}
