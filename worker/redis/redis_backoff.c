#include "redis_backoff.h"

#include <unistd.h>

#include "clock.h"

/* Somewhere between the half and the whole. Not for secrets: differs from process to process, that is all. */
static uint64_t jitter(uint64_t delay_ms)
{
	static uint64_t state;

	if (state == 0)
		state = clock_unix_ms() ^ ((uint64_t)getpid() << 32) ^ (uint64_t)(uintptr_t)&state;
	/* Knuth's MMIX linear congruential generator; its upper bits are good enough. */
	state = state * 6364136223846793005u + 1442695040888963407u;
	return delay_ms / 2 + (state >> 33) % (delay_ms / 2 + 1);
}

void redis_backoff_up(struct redis_backoff *b)
{
	b->up_ms = clock_ms();
}

uint64_t redis_backoff_next(struct redis_backoff *b, bool refused)
{
	uint64_t delay_ms;

	if (b->up_ms != 0 && clock_ms() - b->up_ms >= REDIS_BACKOFF_LASTED_MS)
		b->failures = 0;
	b->up_ms = 0;
	if (refused)
		return jitter(REDIS_BACKOFF_REFUSED_MS);
	delay_ms = b->failures < 5 ? (uint64_t)REDIS_BACKOFF_FIRST_MS << b->failures : REDIS_BACKOFF_MAX_MS;
	b->failures++;
	return jitter(delay_ms);
}
