/* Hierarchical timing wheel (Varghese and Lauck, 1987): four levels of 64 slots, the finest TIMER_TICK_MS
 * wide. Arming and stopping cost a list operation; a timer far off is moved to a finer level up to three
 * times on its way. Pure: time is passed in. */
#pragma once

#include <stdint.h>

#include "list.h"
#include "loop.h"

enum { WHEEL_LEVELS = 4, WHEEL_BITS = 6, WHEEL_SLOTS = 1 << WHEEL_BITS };

struct wheel {
	uint64_t tick; /* all ticks up to this one are done */
	/* A bit for each slot that may hold timers: set by adding one, cleared by emptying the slot. */
	uint64_t used[WHEEL_LEVELS];
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t now_ms);
/* Arms an unarmed timer for t->due_ms. */
void wheel_add(struct wheel *w, struct timer *t);
/* Fires all timers that are due at now_ms. They may arm and stop timers. */
void wheel_advance(struct wheel *w, uint64_t now_ms);
/* When wheel_advance() has something to do next, in ms of the same clock; UINT64_MAX when no timer is armed.
 * May be too early, never too late. */
uint64_t wheel_next_ms(const struct wheel *w);
