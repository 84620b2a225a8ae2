#include "rate.h"

enum { US_PER_MS = 1000, US_PER_S = 1000000 };

/* The clock in 32 bits comes round after 49 days: a bucket that was left alone for that long is then taken
 * for fuller than it is, never for fuller than it was. */
static uint32_t debt_at(const struct rate *r, uint64_t now_ms)
{
	uint64_t leaked_us = (uint64_t)(uint32_t)((uint32_t)now_ms - r->at_ms) * US_PER_MS;

	return leaked_us < r->debt_us ? r->debt_us - (uint32_t)leaked_us : 0;
}

void rate_add(struct rate *r, uint64_t now_ms, uint64_t count, uint64_t per_s)
{
	uint64_t debt_us = debt_at(r, now_ms) + count * US_PER_S / per_s;

	r->debt_us = debt_us < UINT32_MAX ? (uint32_t)debt_us : UINT32_MAX;
	r->at_ms = (uint32_t)now_ms;
}

uint64_t rate_wait_ms(const struct rate *r, uint64_t now_ms, uint32_t burst_s)
{
	uint64_t debt_us = debt_at(r, now_ms), burst_us = (uint64_t)burst_s * US_PER_S;

	return debt_us > burst_us ? (debt_us - burst_us + US_PER_MS - 1) / US_PER_MS : 0;
}

bool rate_take(struct rate *r, uint64_t now_ms, uint64_t per_s, uint32_t burst_s)
{
	struct rate after = *r;

	rate_add(&after, now_ms, 1, per_s);
	if (rate_wait_ms(&after, now_ms, burst_s) > 0)
		return false;
	*r = after;
	return true;
}
