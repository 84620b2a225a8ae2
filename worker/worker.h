/* A worker process: one loop, its share of the listening sockets, its own links to Redis. Forked by the
 * master, told everything it needs here, and speaking to the master over one control socket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "compiler.h"
#include "config.h"
#include "metrics.h"

struct tls_server;
struct redis_tls;

/* What TLS needs, from files that only the master may be able to read. It is made before workers are forked:
 * a successor of a worker that died needs the files no more, and all take each other's session tickets.
 *
 * Reads the files; *tls is NULL when none are configured. False with a line in `errors` for each problem. */
bool worker_load_tls(const struct config *config, struct tls_server **tls, struct buf *errors) MUST_CHECK;
/* The same anew, in the same object. A descriptor to be sent with CONTROL_TLS_FILES to the workers that are
 * there; -1 with the problems in `errors` when anything is wrong, and then everything is as it was. */
int worker_reload_tls(const struct config *config, struct tls_server *tls, struct buf *errors) MUST_CHECK;
/* As tls_server_describe(). Nothing without TLS. */
void worker_describe_tls(const struct tls_server *tls, void (*tell)(bool is_warning, const char *line));
/* As tls_server_turn_keys(). */
uint64_t worker_turn_tls_keys(struct tls_server *tls);
/* Accepts NULL. */
void worker_free_tls(struct tls_server **tls);
/* The same for TLS to Redis, and to its sentinels. */
bool worker_load_redis_tls(const struct config *config, struct redis_tls **tls,
                           struct buf *errors) MUST_CHECK;
/* Accepts NULL. */
void worker_free_redis_tls(struct redis_tls **tls);

struct worker_args {
	const struct config *config; /* redis.address is set, to the embedded Redis if need be */
	unsigned index;              /* 0 … workers-1, kept over restarts */
	const char *node_id;         /* names it among all workers everywhere, and ever */
	const char *dead_id;         /* that of its predecessor; NULL: it has none */
	int control_fd;              /* see control.h; EOF means that the master is gone */
	const int *listen_fds; /* listening, non-blocking, owned by the master's address × worker grid */
	size_t listen_count;
	struct tls_server *tls;       /* worker_load_tls() */
	struct redis_tls *redis_tls;  /* worker_load_redis_tls() */
	struct metrics_slot *metrics; /* one slot a worker, metrics[index] is this one's */
	size_t metrics_count;
};

/* Runs until drained or told to stop; returns the exit code of the process: 0 after a drain, 1 when it could
 * not start. */
int worker_run(const struct worker_args *args);
