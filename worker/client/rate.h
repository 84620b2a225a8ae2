/* How many of something may come in a second: a leaky bucket, kept as the time in which it runs dry, so that
 * eight bytes are enough (the virtual scheduling algorithm of ITU-T I.371). Pure: time is passed in. Zeroed
 * at birth. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

/* What may come at once, in seconds of the rate: who was quiet for so long may make up for it. */
enum { RATE_BURST_S = 10 };

struct rate {
	uint32_t at_ms;   /* when it was looked at last */
	uint32_t debt_us; /* at that moment: until it is dry */
};

/* So many more came. per_s, up to 1 GiB, is not 0. */
void rate_add(struct rate *r, uint64_t now_ms, uint64_t count, uint64_t per_s);
/* Until the bucket is no fuller than a burst of burst_s; 0: it is not. */
uint64_t rate_wait_ms(const struct rate *r, uint64_t now_ms, uint32_t burst_s);
/* Adds one, if that is no more than the burst. */
bool rate_take(struct rate *r, uint64_t now_ms, uint64_t per_s, uint32_t burst_s) MUST_CHECK;
