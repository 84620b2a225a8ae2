/* The subscriptions of one session. */
#pragma once

#include "bytes.h"
#include "compiler.h"
#include "hub.h"
#include "list.h"

struct conn;
struct session;

/* In subscription.flags. */
enum { SUBSCRIPTION_WAS_RECOVERING = 1, SUBSCRIPTION_SERVER_SIDE = 2 };

struct client_subscription {
	struct subscription in_hub;
	struct conn *conn; /* not the session: this is what every delivery needs */
	struct list node;
};

/* NULL when there is none, pending or live. */
struct client_subscription *subscriptions_find(const struct session *s, struct bytes channel);
/* Subscribes in the hub; NULL with ERROR_INTERNAL when Redis is away. The session owns what it gets; whether
 * it is confirmed already, in_hub.waiting says. */
struct client_subscription *subscriptions_add(struct session *s, struct bytes channel,
                                              uint8_t flags) MUST_CHECK;
/* Sets *cs to NULL. */
void subscriptions_drop(struct client_subscription **cs);
void subscriptions_drop_all(struct session *s);
