#include "wheel.h"

#include "compiler.h"

#include <stddef.h>

void wheel_init(struct wheel *w, uint64_t now_ms)
{
	w->tick = now_ms / TIMER_TICK_MS;
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		w->used[level] = 0;
		for (int slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
	}
}

static unsigned slot_of(uint64_t tick, int level)
{
	return (unsigned)(tick >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
}

/* The level whose slots are fine enough to tell the tick from now, and no finer. */
static int level_for(uint64_t distance)
{
	int level = 0;

	while (level < WHEEL_LEVELS - 1 && distance >> ((level + 1) * WHEEL_BITS) != 0)
		level++;
	return level;
}

void wheel_add(struct wheel *w, struct timer *t)
{
	/* The last slot that the coarsest level can tell from the present one. */
	uint64_t farthest = w->tick + ((uint64_t)(WHEEL_SLOTS - 1) << ((WHEEL_LEVELS - 1) * WHEEL_BITS));
	uint64_t due = (t->due_ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS;
	int level;

	if (due <= w->tick)
		due = w->tick + 1;
	if (due > farthest)
		due = farthest;
	level = level_for(due - w->tick);
	list_append(&w->slots[level][slot_of(due, level)], &t->node);
	w->used[level] |= UINT64_C(1) << slot_of(due, level);
}

/* Empties the slot of that level which begins at the present tick into finer levels. */
static void wheel_cascade(struct wheel *w, int level)
{
	unsigned slot = slot_of(w->tick, level);
	struct list moved;
	struct list *node;

	list_init(&moved);
	list_move_all(&moved, &w->slots[level][slot]);
	w->used[level] &= ~(UINT64_C(1) << slot);
	while ((node = list_pop(&moved)) != NULL) {
		struct timer *t = container_of(node, struct timer, node);
		uint64_t due = (t->due_ms + TIMER_TICK_MS - 1) / TIMER_TICK_MS;

		/* Due at this very tick: its slot of the finest level is emptied right after this. */
		if (due <= w->tick) {
			list_append(&w->slots[0][slot_of(w->tick, 0)], node);
			w->used[0] |= UINT64_C(1) << slot_of(w->tick, 0);
		} else {
			wheel_add(w, t);
		}
	}
}

static void wheel_fire(struct wheel *w)
{
	unsigned slot = slot_of(w->tick, 0);
	struct list due;
	struct list *node;

	if ((w->used[0] & UINT64_C(1) << slot) == 0)
		return;
	list_init(&due);
	list_move_all(&due, &w->slots[0][slot]);
	w->used[0] &= ~(UINT64_C(1) << slot);
	while ((node = list_pop(&due)) != NULL) {
		struct timer *t = container_of(node, struct timer, node);

		t->fire(t);
	}
}

void wheel_advance(struct wheel *w, uint64_t now_ms)
{
	uint64_t target = now_ms / TIMER_TICK_MS;

	while (w->tick < target) {
		uint64_t next = wheel_next_ms(w) / TIMER_TICK_MS;

		/* Nothing happens before `next`: skip the empty ticks. */
		w->tick = next > target ? target : next;
		for (int level = WHEEL_LEVELS - 1; level > 0; level--) {
			if ((w->tick & ((UINT64_C(1) << (level * WHEEL_BITS)) - 1)) == 0)
				wheel_cascade(w, level);
		}
		wheel_fire(w);
	}
}

/* The first tick after the present one at which a used slot of the level begins. */
static uint64_t next_tick(const struct wheel *w, int level)
{
	unsigned here = slot_of(w->tick, level);
	unsigned turn = (here + 1) & (WHEEL_SLOTS - 1);
	uint64_t ahead;

	if (w->used[level] == 0)
		return UINT64_MAX;
	ahead = turn == 0 ? w->used[level] : w->used[level] >> turn | w->used[level] << (WHEEL_SLOTS - turn);
	return ((w->tick >> (level * WHEEL_BITS)) + 1 + (uint64_t)__builtin_ctzll(ahead))
	       << (level * WHEEL_BITS);
}

uint64_t wheel_next_ms(const struct wheel *w)
{
	uint64_t next = UINT64_MAX;

	for (int level = 0; level < WHEEL_LEVELS; level++) {
		uint64_t tick = next_tick(w, level);

		if (tick < next)
			next = tick;
	}
	return next == UINT64_MAX ? UINT64_MAX : next * TIMER_TICK_MS;
}
