#include "turns.h"

#include "clock.h"
#include "heartbeat.h"
#include "pending.h"
#include "session_internal.h"

enum {
	TURN_MAX = 1 << 20, /* bytes of answers in a turn, and one answer more */
	TURN_MS = 1,
	SLOW_MIN = 64 << 10, /* bytes of an answer that a client is watched while it reads them */
};

static void serve(struct timer *timer);

void turns_init(struct turns *t)
{
	*t = (struct turns){0};
	list_init(&t->waiting);
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

/* Those who wait have as much as those who come, whatever these have had of this turn. */
static void serve(struct timer *timer)
{
	struct turns *t = container_of(timer, struct turns, timer);
	struct clients *clients = container_of(t, struct clients, turns);

	t->written = 0;
	t->serving = true;
	while (!list_empty(&t->waiting) && !is_over(t))
		pending_go_on(container_of(list_pop(&t->waiting), struct pending, turn)->session);
	t->serving = false;
	if (!list_empty(&t->waiting))
		timer_start(clients->loop, &t->timer, TURN_MS);
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

	if (!turns_may_begin(s))
		return false;
	if (!is_over(t) && (t->serving || list_empty(&t->waiting)))
		return true;
	if (!list_linked(&first->turn))
		list_append(&t->waiting, &first->turn);
	if (!timer_armed(&t->timer))
		timer_start(s->clients->loop, &t->timer, TURN_MS);
	return false;
}

void turns_written(struct session *s, size_t bytes)
{
	is_over(&s->clients->turns);
	s->clients->turns.written += bytes;
	if (bytes >= SLOW_MIN)
		heartbeat_watch(s);
}
