#include "redis_backoff.h"

#include <stdlib.h>

#include "clock.h"

/* Somewhere between the half and the whole. */
static uint64_t jitter(uint64_t delay_ms)
{
	return delay_ms / 2 + arc4random_uniform((uint32_t)(delay_ms / 2 + 1));
}

void redis_backoff_try(struct redis_backoff *b)
{
	b->tried_ms = clock_ms();
}

void redis_backoff_up(struct redis_backoff *b)
{
	b->up_ms = clock_ms();
}

uint64_t redis_backoff_next(struct redis_backoff *b, bool refused)
{
	uint64_t delay_ms;
	uint64_t spent_ms = b->tried_ms != 0 && b->up_ms == 0 ? clock_ms() - b->tried_ms : 0;

	b->tried_ms = 0;
	if (b->up_ms != 0 && clock_ms() - b->up_ms >= REDIS_BACKOFF_LASTED_MS)
		b->failures = 0;
	b->up_ms = 0;
	if (refused)
		return jitter(REDIS_BACKOFF_REFUSED_MS);
	delay_ms = b->failures < 5 ? (uint64_t)REDIS_BACKOFF_FIRST_MS << b->failures : REDIS_BACKOFF_MAX_MS;
	b->failures++;
	delay_ms = delay_ms > spent_ms ? delay_ms - spent_ms : 0;
	return jitter(delay_ms > REDIS_BACKOFF_FIRST_MS ? delay_ms : REDIS_BACKOFF_FIRST_MS);
}
