#include "turns.h"

#include "clock.h"
#include "heartbeat.h"
#include "log.h"
#include "metrics.h"
#include "pending.h"
#include "session_internal.h"

enum {
	TURN_MAX = 1 << 20, /* bytes of answers in a turn, and one answer more */
	TURN_MS = 1,
	FULL_MS = 20,        /* between two looks for room */
	SLOW_MIN = 64 << 10, /* bytes of an answer that a client is watched while it reads them */
};

static void serve(struct timer *timer);

void turns_init(struct turns *t)
{
	*t = (struct turns){0};
	list_init(&t->small);
	list_init(&t->large);
	t->timer.fire = serve;
}

void turns_stop(struct turns *t)
{
	timer_stop(&t->timer);
}

/* The clock stands still within a turn. */
static bool is_over(struct turns *t)
{
	if (t->now_ms != clock_ms()) {
		t->now_ms = clock_ms();
		t->written = 0;
	}
	return t->written >= TURN_MAX;
}

static struct session *first_of(const struct list *waiting)
{
	return list_empty(waiting) ? NULL : container_of(waiting->next, struct pending, turn)->session;
}

/* Who reads nothing makes room for the first, but it may be the first itself. */
static bool has_room(const struct list *waiting)
{
	struct session *s = first_of(waiting);
	size_t bytes = pending_bytes(s);

	if (conn_answer_fits(s->conn, bytes))
		return true;
	conn_hurry_others(s->conn, bytes);
	return first_of(waiting) == s && conn_answer_fits(s->conn, bytes);
}

static void serve_some(struct turns *t, struct list *waiting)
{
	while (!list_empty(waiting) && !is_over(t) && has_room(waiting)) {
		struct session *s = first_of(waiting);

		list_pop(waiting);
		pending_go_on(s);
	}
}

static void go_on_later(struct turns *t, struct loop *loop, uint64_t ms)
{
	if (!timer_armed(&t->timer) && !(list_empty(&t->small) && list_empty(&t->large)))
		timer_start(loop, &t->timer, ms);
}

/* There is time left, and still somebody waits: for room. */
static void note_full(struct turns *t)
{
	static struct log_limit limit;
	bool full = !is_over(t) && !(list_empty(&t->small) && list_empty(&t->large));

	if (full && !t->full) {
		metrics_inc(answers_full);
		if (log_allowed(&limit))
			log_info("answers wait, as clients do not read theirs");
	}
	t->full = full;
}

/* Those who wait have as much as those who come, whatever these have had of this turn. */
static void serve(struct timer *timer)
{
	struct turns *t = container_of(timer, struct turns, timer);
	struct clients *clients = container_of(t, struct clients, turns);

	t->written = 0;
	t->serving = true;
	t->large_first = !t->large_first;
	serve_some(t, t->large_first ? &t->large : &t->small);
	serve_some(t, t->large_first ? &t->small : &t->large);
	t->serving = false;
	note_full(t);
	go_on_later(t, clients->loop, t->full ? FULL_MS : TURN_MS);
}

bool turns_may_begin(struct session *s)
{
	if (conn_has_room(s->conn))
		return true;
	conn_want_room(s->conn);
	heartbeat_watch(s);
	return false;
}

bool turns_may_write(struct session *s, struct pending *first)
{
	struct turns *t = &s->clients->turns;
	size_t bytes = pending_bytes(s);
	struct list *waiting = conn_answer_is_small(bytes) ? &t->small : &t->large;

	if (!turns_may_begin(s))
		return false;
	if (!is_over(t) && (t->serving || list_empty(waiting)) && conn_answer_fits(s->conn, bytes))
		return true;
	if (!list_linked(&first->turn))
		list_append(waiting, &first->turn);
	go_on_later(t, s->clients->loop, TURN_MS);
	return false;
}

void turns_go_on(struct session *s, struct pending *first)
{
	struct turns *t = &s->clients->turns;

	t->written += TURN_MAX;
	list_remove(&first->turn);
	list_prepend(conn_answer_is_small(pending_bytes(s)) ? &t->small : &t->large, &first->turn);
	go_on_later(t, s->clients->loop, TURN_MS);
}

void turns_written(struct session *s, size_t bytes)
{
	is_over(&s->clients->turns);
	s->clients->turns.written += bytes;
	if (bytes >= SLOW_MIN)
		heartbeat_watch(s);
}
