/* A worker process: one loop, its share of the listening sockets, its own links to Redis. Forked by the
 * master, told everything it needs here, and speaking to the master over one control socket. */
#pragma once

#include <stddef.h>

#include "config.h"
#include "metrics.h"

struct worker_args {
	const struct config *config; /* redis.address is set, to the embedded Redis if need be */
	unsigned index;              /* 0 … workers-1, kept over restarts */
	int control_fd;              /* see control.h; EOF means that the master is gone */
	const int *listen_fds; /* listening, non-blocking, owned by the master's address × worker grid */
	size_t listen_count;
	struct metrics_slot *metrics; /* one slot a worker, metrics[index] is this one's */
	size_t metrics_count;
};

/* Runs until drained or told to stop; returns the exit code of the process: 0 after a drain, 1 when it could
 * not start. */
int worker_run(const struct worker_args *args);
