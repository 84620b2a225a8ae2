/* A loop without a loop. */
#include "fake_loop.h"

#include <assert.h>
#include <stddef.h>

#include "clock.h"
#include "compiler.h"
#include "loop.h"

static struct list tasks = {&tasks, &tasks};
static struct list next = {&next, &next};
static struct list frees = {&frees, &frees};
static struct list timers = {&timers, &timers};

void loop_defer(struct loop *l, struct task *t)
{
	if (!list_linked(&t->node))
		list_append(&tasks, &t->node);
}

void loop_defer_next(struct loop *l, struct task *t)
{
	if (!list_linked(&t->node))
		list_append(&next, &t->node);
}

void loop_defer_free(struct loop *l, struct task *t)
{
	if (!list_linked(&t->node))
		list_append(&frees, &t->node);
}

void task_cancel(struct task *t)
{
	list_remove(&t->node);
}

void timer_start(struct loop *l, struct timer *t, uint64_t delay_ms)
{
	assert(t->fire != NULL);
	list_remove(&t->node);
	t->due_ms = clock_ms() + delay_ms;
	list_append(&timers, &t->node);
}

void timer_stop(struct timer *t)
{
	list_remove(&t->node);
}

bool timer_armed(const struct timer *t)
{
	return list_linked(&t->node);
}

static void run(struct list *queue)
{
	struct list *node;

	while ((node = list_pop(queue)) != NULL) {
		struct task *t = container_of(node, struct task, node);

		t->run(t);
	}
}

void fake_loop_turn(void)
{
	run(&tasks);
	run(&frees);
	assert(list_empty(&tasks));
	list_move_all(&tasks, &next);
}

static struct timer *nearest(void)
{
	struct timer *best = NULL;

	list_for_each (node, &timers) {
		struct timer *t = container_of(node, struct timer, node);

		if (best == NULL || t->due_ms < best->due_ms)
			best = t;
	}
	return best;
}

static void set_clock(uint64_t ms)
{
	clock_freeze(ms, clock_unix_ms() + (ms - clock_ms()));
}

void fake_loop_advance(uint64_t ms)
{
	uint64_t end = clock_ms() + ms;
	struct timer *t;

	while ((t = nearest()) != NULL && t->due_ms <= end) {
		if (t->due_ms > clock_ms())
			set_clock(t->due_ms);
		list_remove(&t->node);
		t->fire(t);
		fake_loop_turn();
	}
	set_clock(end);
}

unsigned fake_loop_timers(void)
{
	unsigned count = 0;

	list_for_each (node, &timers)
		count++;
	return count;
}
