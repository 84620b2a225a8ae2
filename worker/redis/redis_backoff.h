/* How long to wait before the next try to connect: at once after a connection that had lasted, then twice as
 * long each time, with jitter, so that a fleet of workers does not come back in one instant. Counted from the
 * beginning of the try that failed: one that took its time has kept nobody busy meanwhile. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct redis_backoff {
	unsigned failures; /* since the last connection that lasted */
	uint64_t tried_ms; /* when it was tried to make it */
	uint64_t up_ms;    /* when the connection was made; 0: it was not */
};

enum {
	REDIS_BACKOFF_FIRST_MS = 50,
	REDIS_BACKOFF_MAX_MS = 1000,
	/* When Redis refuses to let us in, asking more often does not help anybody. */
	REDIS_BACKOFF_REFUSED_MS = 5000,
	/* A connection that was up for so long was a good one. */
	REDIS_BACKOFF_LASTED_MS = 5000,
};

/* A try begins. Who does not tell has the whole delay. */
void redis_backoff_try(struct redis_backoff *b);
void redis_backoff_up(struct redis_backoff *b);
/* Counts the failure and returns the delay in ms. */
uint64_t redis_backoff_next(struct redis_backoff *b, bool refused);
