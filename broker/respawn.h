/* How long to wait before a child that ended is started again: no time for one that was healthy, a growing
 * one for one that keeps dying young, so that a broken configuration or a crash at start does not burn the
 * machine. Pure: no clock, no processes, the chance is handed in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	RESPAWN_FIRST_MS = 100,
	RESPAWN_MAX_MS = 30000,
	/* A child that did its work for so long was healthy. */
	RESPAWN_HEALTHY_MS = 10000,
	/* Who waits so long is missed: its work is for the others. */
	RESPAWN_LONG_MS = 1000,
};

/* Of one child; zeroed at birth. */
struct respawn {
	unsigned young_deaths; /* in a row */
};

/* The child ended. Returns the delay in milliseconds: 0 after a healthy life, else between half and all of
 * 100 ms, 200 ms, … 30 s, as the random number decides: children that fall together do not rise together. */
uint64_t respawn_delay_ms(struct respawn *r, bool was_healthy, uint32_t random);
