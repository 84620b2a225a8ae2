/* The subscriptions of one session. */
#pragma once

#include "bytes.h"
#include "command.h"
#include "compiler.h"
#include "hub.h"
#include "list.h"

struct channel_options;
struct conn;
struct session;

/* In subscription.flags. */
enum {
	SUBSCRIPTION_WAS_RECOVERING = 1,
	SUBSCRIPTION_SERVER_SIDE = 2,
	SUBSCRIPTION_RECOVERABLE = 4,
	SUBSCRIPTION_STRICT = 8, /* an error is wanted in place of a subscription that recovers nothing */
};

struct client_subscription {
	struct subscription in_hub; /* its target is the connection, as that is what every delivery needs */
	struct list node;
};

struct conn *subscriptions_conn(const struct client_subscription *cs);

/* NULL when there is none, pending or live. */
struct client_subscription *subscriptions_find(const struct session *s, struct bytes channel);
/* Subscribes in the hub, with as much of what the request asks for as the options of its channel allow; NULL
 * with ERROR_INTERNAL when Redis is away. The session owns what it gets; whether it can go live already,
 * in_hub.waiting says. */
struct client_subscription *subscriptions_add(struct session *s, const struct channel_options *options,
                                              const struct subscribe_request *req, uint8_t flags) MUST_CHECK;
/* The number that pushes to this subscription have in place of the channel's name; 0: they have the name. */
uint64_t subscriptions_channel_id(const struct client_subscription *cs);
/* Sets *cs to NULL. */
void subscriptions_drop(struct client_subscription **cs);
void subscriptions_drop_all(struct session *s);
