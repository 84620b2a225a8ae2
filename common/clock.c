#include "clock.h"

#include <stdbool.h>
#include <time.h>

static struct {
	uint64_t mono_ms;
	uint64_t unix_ms;
	bool frozen;
} now;

static uint64_t read_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void clock_refresh(void)
{
	if (now.frozen)
		return;
	now.mono_ms = read_ms(CLOCK_MONOTONIC);
	now.unix_ms = read_ms(CLOCK_REALTIME);
}

uint64_t clock_ms(void)
{
	if (now.mono_ms == 0)
		clock_refresh();
	return now.mono_ms;
}

uint64_t clock_unix_ms(void)
{
	if (now.unix_ms == 0)
		clock_refresh();
	return now.unix_ms;
}

void clock_freeze(uint64_t mono_ms, uint64_t unix_ms)
{
	now.mono_ms = mono_ms;
	now.unix_ms = unix_ms;
	now.frozen = true;
}
