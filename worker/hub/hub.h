/* The hub of a worker: which channel has which subscribers here, and what happens between them and Redis.
 * Knows sessions only as subscriptions that take frames; knows no sockets. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "codec.h"
#include "codes.h"
#include "command.h"
#include "compiler.h"
#include "frame.h"

struct loop;
struct config;
struct hub;
struct channel;

/* The forms in which a push goes over the wire; each publication is encoded at most once for each. */
enum wire_form { WIRE_JSON, WIRE_JSON_UNI, WIRE_FORMS };

/* One subscriber on one channel. Embedded in, or pointed to by, the session's own record; zeroed at birth;
 * plain data but for the channel it is in. */
struct subscription {
	struct channel *channel; /* NULL: not subscribed */
	uint32_t index;		 /* in the channel's dense array of subscribers */
	uint8_t form;		 /* enum wire_form */
	uint8_t live;		 /* publications are delivered; false until the subscribe reply is written */
};

struct hub_events {
	/* A frame for a live subscription. Must not subscribe or unsubscribe anything from within (closing a
	 * connection, which does so, is deferred by the session). */
	void (*deliver)(struct subscription *s, struct frame *f);
	/* The broker confirmed the channel that this subscription waits for (ERROR_NONE), or cannot
	 * (ERROR_INTERNAL; then it is unsubscribed already). Never from within hub_subscribe(). */
	void (*subscribed)(struct subscription *s, enum error_code error);
	/* hub_ready() changed. */
	void (*ready)(void *ctx, bool ready, const char *reason);
	void *ctx;
};

struct hub *hub_new(struct loop *loop, const struct config *config, const char *node_id,
		    const struct hub_events *events);
/* All subscriptions and calls must be gone. */
void hub_free(struct hub **h);
bool hub_ready(const struct hub *h, const char **reason);
size_t hub_channel_count(const struct hub *h);

/* Registers the subscription. True: confirmed already, the reply can be written at once. False: wait for
 * events.subscribed. When Redis is known to be away it fails at once: *error is set to ERROR_INTERNAL, and
 * nothing is registered. */
bool hub_subscribe(struct hub *h, struct bytes channel, struct subscription *s, enum error_code *error);
/* Also while it is not confirmed yet; no callback follows. Not subscribed: nothing. */
void hub_unsubscribe(struct hub *h, struct subscription *s);
struct bytes subscription_channel(const struct subscription *s);

/* Publishes into Redis; `done` is called exactly once, not from within, unless cancelled. */
struct hub_publish;
struct hub_publish *hub_publish(struct hub *h, struct bytes channel, const struct publication *p,
				void (*done)(void *arg, enum error_code error), void *arg);
void hub_publish_cancel(struct hub_publish **p);
