/* The embedded Redis: a redis-server of our own, so that one command gives a working broker. It listens on a
 * unix socket in the runtime directory and nowhere else, keeps its data in an append-only file beside it, and
 * is started again when it dies. To the workers it is a Redis like any other; they find it by its address and
 * do not wait for it.
 *
 * It must not outlive the master: it is told to end by the kernel if the master dies first, and its data
 * directory is locked for as long as it lives, so that there are never two of them on the same data. */
#pragma once

#include <ev.h>

#include "compiler.h"
#include "privileges.h"

struct embedded_redis;

enum {
	/* From start to the first answer of any kind. Loading data may take longer, and is an answer. */
	EMBEDDED_REDIS_ANSWER_LIMIT_MS = 30000,
	/* From TERM, on which it writes out what it holds, to KILL. */
	EMBEDDED_REDIS_STOP_LIMIT_MS = 10000,
};

/* The address of the embedded Redis of a runtime directory: "unix:/DIR/redis/redis.sock", whether it runs or
 * not. Free with mem_free(). */
char *embedded_redis_address(const char *runtime_dir) MUST_CHECK;

/* NULL after telling in the log what is missing: a redis-server in PATH, a path that is short enough, a place
 * for the data. The loop must be the default loop. The directory must exist. The server, and the directory of
 * its data and socket, are the user's that the privileges name; NULL: ours. Lends them. */
struct embedded_redis *embedded_redis_new(struct ev_loop *loop, const char *runtime_dir,
                                          const struct privileges *privileges) MUST_CHECK;
void embedded_redis_start(struct embedded_redis *r);
/* Ends it in good order. on_stopped comes from the loop when it is gone and may free it. Asking again while
 * it ends changes who is told, and nothing else. */
void embedded_redis_stop(struct embedded_redis *r, void (*on_stopped)(void *arg), void *arg);
/* Only when it is stopped, or was never started. Accepts NULL. */
void embedded_redis_free(struct embedded_redis **r);
