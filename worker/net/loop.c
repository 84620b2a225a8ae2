#include "loop.h"

#include <assert.h>
#include <ev.h>

#include "clock.h"
#include "mem.h"
#include "wheel.h"

struct loop {
	struct ev_loop *ev;
	struct ev_prepare before_sleep;
	struct ev_check after_sleep;
	struct ev_timer wheel_timer;
	struct ev_idle no_sleep; /* while it is on, the loop polls; a timer of 0 s sleeps for a millisecond */
	struct wheel wheel;
	struct list tasks;
	struct list next; /* tasks of the next turn */
	struct list frees;
	char *scratch;
};

static void run_tasks(struct list *tasks)
{
	struct list *node;

	while ((node = list_pop(tasks)) != NULL) {
		struct task *t = container_of(node, struct task, node);

		t->run(t);
	}
}

/* libev sleeps in seconds from its own idea of now; a millisecond more keeps us from waking too early. */
static void arm_wheel(struct loop *l)
{
	uint64_t next = wheel_next_ms(&l->wheel);
	uint64_t now = clock_ms();

	ev_timer_stop(l->ev, &l->wheel_timer);
	if (next == UINT64_MAX)
		return;
	ev_timer_set(&l->wheel_timer, next > now ? (double)(next - now + 1) / 1000.0 : 0.0, 0.0);
	ev_timer_start(l->ev, &l->wheel_timer);
}

/* The end of a turn: freeing may not queue anything that is to be flushed, but flushing often queues what is
 * to be freed. */
static void on_before_sleep(struct ev_loop *ev, struct ev_prepare *w, int events)
{
	struct loop *l = container_of(w, struct loop, before_sleep);

	run_tasks(&l->tasks);
	run_tasks(&l->frees);
	assert(list_empty(&l->tasks));
	if (!list_empty(&l->next))
		ev_idle_start(l->ev, &l->no_sleep);
	list_move_all(&l->tasks, &l->next);
	arm_wheel(l);
}

static void on_after_sleep(struct ev_loop *ev, struct ev_check *w, int events)
{
	struct loop *l = container_of(w, struct loop, after_sleep);

	clock_refresh();
	ev_idle_stop(ev, &l->no_sleep);
}

static void on_wheel_timer(struct ev_loop *ev, struct ev_timer *w, int events)
{
	struct loop *l = container_of(w, struct loop, wheel_timer);

	wheel_advance(&l->wheel, clock_ms());
}

/* It was all that is asked of it that the loop did not sleep. */
static void on_no_sleep(struct ev_loop *ev, struct ev_idle *w, int events)
{
}

struct loop *loop_new(void)
{
	struct loop *l = mem_alloc(sizeof(*l));

	l->ev = ev_loop_new(EVFLAG_AUTO);
	if (l->ev == NULL) {
		mem_free(l);
		return NULL;
	}
	clock_refresh();
	wheel_init(&l->wheel, clock_ms());
	list_init(&l->tasks);
	list_init(&l->next);
	list_init(&l->frees);
	l->scratch = mem_alloc(LOOP_SCRATCH);
	ev_prepare_init(&l->before_sleep, on_before_sleep);
	ev_prepare_start(l->ev, &l->before_sleep);
	ev_check_init(&l->after_sleep, on_after_sleep);
	ev_set_priority(&l->after_sleep, EV_MAXPRI);
	ev_check_start(l->ev, &l->after_sleep);
	ev_idle_init(&l->no_sleep, on_no_sleep);
	ev_timer_init(&l->wheel_timer, on_wheel_timer, 0.0, 0.0);
	ev_set_priority(&l->wheel_timer, EV_MINPRI);
	return l;
}

void loop_free(struct loop **l)
{
	if (*l == NULL)
		return;
	list_move_all(&(*l)->tasks, &(*l)->next);
	run_tasks(&(*l)->tasks);
	run_tasks(&(*l)->frees);
	ev_prepare_stop((*l)->ev, &(*l)->before_sleep);
	ev_check_stop((*l)->ev, &(*l)->after_sleep);
	ev_idle_stop((*l)->ev, &(*l)->no_sleep);
	ev_timer_stop((*l)->ev, &(*l)->wheel_timer);
	ev_loop_destroy((*l)->ev);
	mem_free((*l)->scratch);
	mem_free(*l);
	*l = NULL;
}

void loop_run(struct loop *l)
{
	ev_run(l->ev, 0);
}

void loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

struct ev_loop *loop_ev(struct loop *l)
{
	return l->ev;
}

char *loop_scratch(struct loop *l)
{
	return l->scratch;
}

void loop_defer(struct loop *l, struct task *t)
{
	if (!list_linked(&t->node))
		list_append(&l->tasks, &t->node);
}

void loop_defer_next(struct loop *l, struct task *t)
{
	if (!list_linked(&t->node))
		list_append(&l->next, &t->node);
}

void loop_defer_free(struct loop *l, struct task *t)
{
	if (!list_linked(&t->node))
		list_append(&l->frees, &t->node);
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
	wheel_add(&l->wheel, t);
}

void timer_stop(struct timer *t)
{
	list_remove(&t->node);
}

bool timer_armed(const struct timer *t)
{
	return list_linked(&t->node);
}
