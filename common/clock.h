/* Time, in milliseconds. The loop refreshes the cached moment once per turn; everything that happens in a
 * turn happens at that moment. Tests set the clock instead of sleeping. */
#pragma once

#include <stdint.h>

/* Monotonic, cached. */
uint64_t clock_ms(void);
/* Unix time, cached at the same moment. */
uint64_t clock_unix_ms(void);
/* Reads the real clocks. */
void clock_refresh(void);
/* From now on the clock stands at these values; clock_refresh() no longer moves it. For tests. */
void clock_freeze(uint64_t mono_ms, uint64_t unix_ms);
