/* A worker's way to Redis: one subscriber link and one command link, both pipelined, both watched. The face
 * of this layer; knows nothing of channels in Fanfare's sense beyond their names in Redis. Inside, redis_node
 * is one server, redis_link a connection to it, redis_calls the command link, redis_functions what is loaded
 * into Redis and called there, redis_subs what is wanted, redis_feed one subscriber link, redis_handover the
 * change from one to the next, redis_canary the proof that it hears. Where Redis has no fixed address,
 * redis_sentinels knows which server it is; redis_cluster has a node for each master of a Redis Cluster, and
 * knows which one to ask.
 *
 * Promises: every call is answered exactly once or cancelled; no wait is without a deadline; a worker that
 * does not hear Redis any more knows it within canary_interval + canary_timeout, says so (redis_ready), and
 * rebuilds the link beside the old one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

struct loop;
struct redis;
struct redis_sub;
struct redis_call;
struct config;
struct tls_client;

/* How TLS is spoken, NULL where it is not. */
struct redis_tls {
	struct tls_client *nodes;
	struct tls_client *sentinels;
};

struct redis_events {
	/* A message on a subscription; `owner` is that of redis_sub_open(). The payload lives until the
	 * callback returns. In Redis' order, once, also while links are exchanged. */
	void (*on_message)(void *owner, struct bytes payload);
	/* Redis has confirmed the subscription: messages published from now on will come. Again after each
	 * loss of the link: between the loss and this, messages may have been missed. Not when a link was
	 * replaced without missing any. Never called from within redis_sub_open(). */
	void (*on_confirmed)(void *owner);
	/* redis_ready() changed, or while it is not ready what redis_hears() says. The reason is of use only
	 * when it is not ready, and until this returns. */
	void (*on_ready)(void *ctx, bool ready, const char *reason);
	void *ctx;
};

/* Starts to connect at once and for ever, with jittered backoff. node_id (unique among all workers
 * everywhere) names the canary channel. tls: NULL where it is not spoken to anybody. The config and tls must
 * outlive it. */
struct redis *redis_new(struct loop *loop, const struct config *config, const struct redis_tls *tls,
                        const char *node_id, const struct redis_events *events);
/* All subscriptions must be closed and all calls cancelled or done. */
void redis_free(struct redis **r);
/* True while both links are up (in a Redis Cluster: those to every master that has slots), everything wanted
 * is confirmed or being confirmed in time, and the canary is heard. Otherwise a reason for humans, which
 * lives until the next turn. Single channels do not count: one that Redis forbids (NOPERM) is never
 * confirmed; that is logged, and the worker is ready. */
bool redis_ready(const struct redis *r, const char **reason);
/* Whether what is published on the Redis channel can be heard: as redis_ready(), but in a Redis Cluster it is
 * the master of its slot alone that counts. */
bool redis_hears(const struct redis *r, struct bytes channel);

/* Wants the Redis channel (full name, with prefix, of 1 to 4096 bytes of any kind), which must not be open
 * already. One that still lingers may be confirmed at once: redis_sub_confirmed() tells, and on_confirmed is
 * not called. */
struct redis_sub *redis_sub_open(struct redis *r, struct bytes channel, void *owner);
/* Whether messages arrive for it now. */
bool redis_sub_confirmed(const struct redis_sub *s);
/* No more callbacks; UNSUBSCRIBE follows after unsubscribe_linger_ms if nobody opens it again. */
void redis_sub_close(struct redis_sub **s);

/* A reply as Redis gave it; lives until the callback returns. */
struct redis_reply {
	enum { REDIS_NIL, REDIS_STRING, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_ARRAY } type;
	int64_t integer;
	struct bytes text;
	const struct redis_reply *const *elements;
	size_t count;
};

/* Sends a command by its argument vector (copied). `done` is called exactly once, never from within this
 * function: with the reply (which may be a REDIS_ERROR), or with NULL when the link is down, breaks, too much
 * is waiting already, or call_timeout_ms is over. What a timed out call did in Redis is unknown. Calls are
 * carried out in their order. Not for what changes how the connection talks: SUBSCRIBE, MULTI, HELLO.
 *
 * In a Redis Cluster the second word is the key, and calls for keys of one slot are carried out in their
 * order; those under way while the slot moves may change places. Where there is no node for the slot at the
 * moment, the call waits for one, which may make its deadline twice as long. */
struct redis_call *redis_call(struct redis *r, const struct bytes *argv, size_t argc,
                              void (*done)(void *arg, const struct redis_reply *reply), void *arg);
/* Publishes on a channel, where redis_sub_open() hears it. Otherwise as redis_call(). */
struct redis_call *redis_publish(struct redis *r, struct bytes channel, struct bytes payload,
                                 void (*done)(void *arg, const struct redis_reply *reply), void *arg);
/* Calls a function of the library `fanfare` (functions.lua), which is loaded into Redis before:
 * "fanfare_publish", a constant. argv begins with the key, the Redis channel, and goes on with the arguments.
 * As redis_call(); while the library is being loaded the call waits, which may make its deadline twice as
 * long. Redis carries calls of functions out in their order, but may do so after commands that were sent
 * later; when it loses its functions, those under way may change places. A function that the library there
 * does not have, or that Redis does not let us call, is answered by the error that Redis gives; no library at
 * all by NULL. */
struct redis_call *redis_fcall(struct redis *r, const char *function, const struct bytes *argv, size_t argc,
                               void (*done)(void *arg, const struct redis_reply *reply), void *arg);
/* `done` will not be called; the command may be carried out. Sets *c to NULL. Not in or after `done`. */
void redis_call_cancel(struct redis_call **c);
