/* One-off business with Redis, for the command line: a link of worker/redis in a loop of its own, used as if
 * it blocked. What a worker can reach (by name, by socket, over TLS, with a password) a command can reach by
 * the same code, and is told the same words when it cannot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "bytes.h"
#include "compiler.h"
#include "config.h"
#include "redis_url.h"

struct redis_errand;

enum { REDIS_ERRAND_OUT_MAX = 20 << 20 }; /* bytes of a channel and a message together */

/* Connects to the address, with what config->redis.tls says if it is of rediss://, or without one to the
 * master that the sentinels of the configuration name; logs in, and selects the database. timeout_ms is for
 * this, and for each call later. NULL with the reasons in `why`, a line each. */
struct redis_errand *redis_errand_open(const struct config *config, const char *address, uint64_t timeout_ms,
                                       struct buf *why) MUST_CHECK;
/* Where it has connected to; lives as long as the errand. */
const struct redis_url *redis_errand_url(const struct redis_errand *e);
void redis_errand_close(struct redis_errand **e);

struct redis_errand_message {
	struct bytes channel; /* in Redis */
	struct bytes data;    /* JSON */
	/* Of the channel. They win over those that the function library was told; NULL: only that knows. */
	const struct channel_options *options;
	bool plain; /* by PUBLISH: to who is there now, never kept */
};
struct redis_errand_result {
	uint64_t receivers; /* connections of brokers */
	uint64_t offset;    /* 0: the channel has no history */
	char epoch[64];
};
/* Publishes by the function library, for which it waits a few seconds, as brokers put it back when it was
 * lost. Without it: by a script where the options are known, and by PUBLISH where these keep nothing. False
 * when Redis has refused it, or the connection is lost: redis_errand_why() tells. */
bool redis_errand_publish(struct redis_errand *e, const struct redis_errand_message *m,
                          struct redis_errand_result *result) MUST_CHECK;
/* Whether that was since there are no functions for us, so that it is not known what the channel keeps. */
bool redis_errand_lacks_functions(const struct redis_errand *e);
/* What went wrong last. */
const char *redis_errand_why(const struct redis_errand *e);
/* False when the connection is lost, so that nothing more will go well. */
bool redis_errand_connected(const struct redis_errand *e);
