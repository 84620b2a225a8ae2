#include "respawn.h"

uint64_t respawn_delay_ms(struct respawn *r, bool was_healthy, uint32_t random)
{
	uint64_t full_ms = RESPAWN_FIRST_MS;

	if (was_healthy) {
		r->young_deaths = 0;
		return 0;
	}
	for (unsigned i = 0; i < r->young_deaths && full_ms < RESPAWN_MAX_MS; i++)
		full_ms *= 2;
	if (full_ms > RESPAWN_MAX_MS)
		full_ms = RESPAWN_MAX_MS;
	if (r->young_deaths < UINT16_MAX)
		r->young_deaths++;
	return full_ms / 2 + random % (full_ms / 2 + 1);
}
