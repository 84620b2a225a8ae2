/* Stands in for worker/net's loop in unit tests: no libev, time stands still until the test moves it. */
#pragma once

#include <stdint.h>

/* Ends a turn: runs what was deferred, then frees. */
void fake_loop_turn(void);
/* Moves the clock by so much, firing each timer at its moment, with a turn after each. */
void fake_loop_advance(uint64_t ms);
/* Timers armed now. */
unsigned fake_loop_timers(void);
