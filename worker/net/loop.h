/* The turn of a worker's loop, around libev: wait; refresh the clock; run the handlers; then, before it
 * sleeps again, flush what was queued and free what was closed. Also the timers: a wheel, so that arming one
 * costs a list insertion. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "list.h"

struct loop;
struct ev_loop;

struct loop *loop_new(void);
/* Nothing may be queued or armed any more. */
void loop_free(struct loop **l);
/* Runs turns until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* For the watchers of this layer, and of worker/redis and worker.c. */
struct ev_loop *loop_ev(struct loop *l);
/* Scratch memory for reading, LOOP_SCRATCH bytes, shared by all handlers of the loop: whoever uses it is done
 * with it when he returns to the loop. This is why an idle connection needs no buffer. */
enum { LOOP_SCRATCH = 65536 };
char *loop_scratch(struct loop *l);

/* Something to do once at the end of this turn. Embedded in its owner; zeroed at birth. */
struct task {
	struct list node;
	void (*run)(struct task *t);
};
/* Runs t->run before the loop sleeps, after all handlers of this turn. Queueing it again meanwhile does
 * nothing. A task that is queued while tasks run is run in the same pass. */
void loop_defer(struct loop *l, struct task *t);
/* The same at the end of the next turn, before which the loop does not sleep: for the rest of what would take
 * too much of this one. */
void loop_defer_next(struct loop *l, struct task *t);
/* As loop_defer(), but after all deferred tasks: for freeing what others may still point to in this turn. */
void loop_defer_free(struct loop *l, struct task *t);
void task_cancel(struct task *t);

/* Timers fire in the turn in which they are due, late by up to TIMER_TICK_MS, never early, and after what has
 * come from sockets in that turn: what a deadline waits for may be there. Embedded; zeroed at birth. */
enum { TIMER_TICK_MS = 8 };
struct timer {
	struct list node;
	uint64_t due_ms;
	void (*fire)(struct timer *t);
};
/* Arms it, or moves it if it was armed. `fire` must be set. */
void timer_start(struct loop *l, struct timer *t, uint64_t delay_ms);
void timer_stop(struct timer *t);
bool timer_armed(const struct timer *t);
