/* Heartbeat. Only a pong counts as a sign of life, and only while we read: a client is not blamed for a pong
 * that waits behind a command of its own, or at a limit, or that we did not get round to reading. */
#include "heartbeat.h"

#include <stdlib.h>

#include "clock.h"
#include "config.h"
#include "metrics.h"
#include "pending.h"
#include "session_internal.h"

/* A worker that looks so late was stopped, or starved: the pong may wait unread behind many others. */
enum { OWN_DELAY_MS = 1000 };

enum { ROUNDS = 100 };

/* What the socket takes comes in bursts, of a third of what the system keeps for it: a megabyte or so. */
enum { PATIENCE_S = 60, TAKEN_MIN = 16 << 10 };

static uint64_t ping_interval(const struct session *s)
{
	return s->clients->config->client.ping_interval_ms;
}

uint32_t heartbeat_ping_seconds(const struct session *s)
{
	uint64_t interval_ms = ping_interval(s);

	if (s->native_ping || interval_ms == 0)
		return 0;
	return interval_ms < 1000 ? 1 : (uint32_t)(interval_ms / 1000);
}

bool heartbeat_wants_pong(const struct session *s)
{
	return heartbeat_ping_seconds(s) > 0 && !s->uni && s->clients->config->client.pong_timeout_ms > 0;
}

static uint64_t nearest(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a == 0 ? b : a;
	return a < b ? a : b;
}

void heartbeat_arm(struct session *s)
{
	uint64_t taken_due_s = s->phase < SESSION_REFUSED ? s->taken_due_s : 0;
	uint64_t due = nearest(nearest(s->due_ms, s->pong_due_ms),
	                       nearest(taken_due_s * 1000, pending_deadline(s)));
	uint64_t now = clock_ms();

	if (due == 0)
		timer_stop(&s->timer);
	else
		timer_start(s->clients->loop, &s->timer, due > now ? due - now : 0);
}

void heartbeat_open(struct session *s)
{
	uint64_t delay_ms = s->clients->config->client.stale_close_delay_ms;

	s->due_ms = delay_ms == 0 ? 0 : clock_ms() + delay_ms;
	heartbeat_arm(s);
}

/* Pings go out together, in so many rounds an interval: to wake for each alone, and for its pong, costs as
 * much as both (18,000 idle clients, pinged every 25 s: 0.017 cores in place of 0.030). The round before that
 * moment. */
static uint64_t round_before(const struct session *s, uint64_t ms)
{
	uint64_t step_ms = ping_interval(s) / ROUNDS;

	return step_ms < 2 ? ms : ms - ms % step_ms;
}

/* The rhythm is kept, unless the worker was stopped for longer than that. */
static uint64_t next_ping(const struct session *s, uint64_t now)
{
	uint64_t next = s->due_ms + ping_interval(s);

	return round_before(s, next > now ? next : now + ping_interval(s));
}

/* Clients that come back in one instant, after a deploy, are not pinged in one. */
void heartbeat_start(struct session *s)
{
	uint32_t interval_ms = (uint32_t)ping_interval(s);
	uint32_t least_ms = interval_ms / 2 + interval_ms / ROUNDS;

	s->due_ms = 0;
	if (interval_ms > 0)
		s->due_ms = round_before(s,
		                         clock_ms() + least_ms + arc4random_uniform(interval_ms - least_ms));
	heartbeat_arm(s);
}

struct verdict heartbeat_pong(struct session *s)
{
	if (s->pong_due_ms == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "a pong that was not asked for");
	s->pong_due_ms = 0;
	heartbeat_arm(s); /* now, when it is in the caches: the deadline would else wake us for nothing */
	return VERDICT_SILENT;
}

static void check_stale(struct session *s, uint64_t now)
{
	if (s->phase == SESSION_CONNECTING)
		s->due_ms = 0; /* from now on it is Redis that is late, and the command has a deadline */
	else if (s->due_ms != 0 && now >= s->due_ms)
		session_disconnect(s, DISCONNECT_STALE, "not connected in time");
}

static void check_pong(struct session *s, uint64_t now)
{
	if (s->pong_due_ms == 0 || now < s->pong_due_ms)
		return;
	if (s->held != NULL || conn_held_back(s->conn) || s->taken_due_s != 0 ||
	    now - s->pong_due_ms > OWN_DELAY_MS)
		s->pong_due_ms = now + s->clients->config->client.pong_timeout_ms;
	else
		session_disconnect(s, DISCONNECT_NO_PONG, "no pong");
}

void heartbeat_watch(struct session *s)
{
	if (s->taken_due_s != 0)
		return;
	conn_taken(s->conn);
	s->taken_due_s = (uint32_t)(clock_ms() / 1000) + PATIENCE_S;
	heartbeat_arm(s);
}

/* Who has taken all of it is given the same time once more, to read what is on its way. */
static void check_taken(struct session *s, uint64_t now)
{
	if (s->taken_due_s == 0 || now / 1000 < s->taken_due_s)
		return;
	s->taken_due_s = 0;
	if (conn_taken(s->conn) >= TAKEN_MIN) {
		heartbeat_watch(s);
	} else if (conn_is_answering(s->conn)) {
		metrics_inc(slow_disconnects);
		session_disconnect(s, DISCONNECT_SLOW, "it asks, and does not read");
	}
}

static void check_ping(struct session *s, uint64_t now)
{
	if (s->phase != SESSION_CONNECTED || s->due_ms == 0 || now < s->due_ms)
		return;
	s->due_ms = next_ping(s, now);
	if (s->pong_due_ms != 0)
		return;
	if (heartbeat_wants_pong(s))
		s->pong_due_ms = now + s->clients->config->client.pong_timeout_ms;
	conn_send(s->conn, s->native_ping ? s->clients->native_ping : s->clients->ping);
}

void heartbeat_fire(struct timer *t)
{
	struct session *s = container_of(t, struct session, timer);
	uint64_t now = clock_ms();

	pending_expire(s, now);
	if (s->phase < SESSION_CONNECTED || s->phase == SESSION_REFUSED)
		check_stale(s, now);
	else if (s->phase == SESSION_CONNECTED)
		check_pong(s, now);
	if (s->phase < SESSION_REFUSED)
		check_taken(s, now);
	check_ping(s, now);
	if (s->phase != SESSION_CLOSED)
		heartbeat_arm(s);
}
