/* The hub of a worker: which channel has which subscribers here, and what happens between them and Redis.
 * Knows sessions only as subscriptions that take frames; knows no sockets and no timers, so whoever waits for
 * a confirmation sets his own deadline. */
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
struct deflater;
struct tls_client;

/* The forms in which a push goes over the wire; each publication is encoded at most once for each, and
 * compressed at most once for each and each window. */
enum wire_form { WIRE_JSON, WIRE_JSON_UNI, WIRE_FORMS };

/* One subscriber on one channel. Embedded in, or pointed to by, the session's own record, which must not move
 * meanwhile; zeroed at birth; plain data but for the channel it is in. */
struct subscription {
	struct channel *channel; /* NULL: not subscribed */
	uint32_t index;          /* in the channel's dense array of subscribers */
	uint8_t form;            /* enum wire_form, set by the owner before hub_subscribe() */
	uint8_t deflate_bits;    /* likewise: the window of compressed frames; 0: frames are not compressed */
	bool waiting;            /* for the confirmation of the channel; the hub's */
	bool live;               /* publications are delivered; set by the owner when the reply is written */
	uint8_t flags;           /* the owner's; the hub does not look at them */
};

struct hub_events {
	/* A frame for a live subscription. May unsubscribe, this one and others (a connection that is closed
	 * because it does not read does so), but not subscribe. */
	void (*deliver)(struct subscription *s, struct frame *f);
	/* The broker confirmed the channel that this subscription waits for (ERROR_NONE), or cannot
	 * (ERROR_INTERNAL; then it is unsubscribed already). Never from within hub_subscribe(). May
	 * unsubscribe, but not subscribe. */
	void (*subscribed)(struct subscription *s, enum error_code error);
	/* hub_ready() changed. */
	void (*ready)(void *ctx, bool ready, const char *reason);
	void *ctx;
};

/* redis_tls: as for redis_new(). */
struct hub *hub_new(struct loop *loop, const struct config *config, struct tls_client *redis_tls,
                    const char *node_id, struct deflater *deflater, const struct hub_events *events);
/* All subscriptions and calls must be gone. */
void hub_free(struct hub **h);
bool hub_ready(const struct hub *h, const char **reason);
size_t hub_channel_count(const struct hub *h);
/* The channel, if it has subscribers here; NULL otherwise. To be compared with subscription->channel. */
struct channel *hub_find_channel(const struct hub *h, struct bytes channel);

/* Registers the subscription. True: confirmed already, the reply can be written at once. False: wait for
 * events.subscribed. When Redis is known to be away it fails at once: false, *error is set to ERROR_INTERNAL
 * (ERROR_NONE otherwise), and nothing is registered. */
bool hub_subscribe(struct hub *h, struct bytes channel, struct subscription *s,
                   enum error_code *error) MUST_CHECK;
/* Also while it is not confirmed yet; no callback follows. Not subscribed: nothing. */
void hub_unsubscribe(struct hub *h, struct subscription *s);
struct bytes subscription_channel(const struct subscription *s);

/* Publishes into Redis; `done` is called exactly once, not from within, unless cancelled. The publication is
 * copied. NULL when it is too large for memory: then nothing was done, and `done` is not called. */
struct hub_publish;
struct hub_publish *hub_publish(struct hub *h, struct bytes channel, const struct publication *p,
                                void (*done)(void *arg, enum error_code error), void *arg) MUST_CHECK;
/* Sets *p to NULL. Not in or after `done`. */
void hub_publish_cancel(struct hub_publish **p);
