/* How fast a WebSocket may be sent to us, and how much of it is looked at in one turn. Who is too fast is not
 * read for a while: what it sends fills its own queue, and then its writes block, so that nothing is lost and
 * a client that only came in a rush does not notice. Frames count as commands do, whatever is in them: pings
 * and empty ones cost us as much. */
#include "clock.h"
#include "codes.h"
#include "conn_internal.h"
#include "metrics.h"

enum {
	/* Commands and frames of a turn. A client that sends without end, all in one piece even, has the
	 * others wait for so many; it costs itself a turn more for so many. */
	WORK_MAX = 256,
	NAP_MS = 100,        /* so that a flood wakes us no more often */
	PATIENCE_MS = 10000, /* a client that gets no answers for longer than that takes us for dead */
};

static void hold_back(struct conn *c, const struct rate *rate, const char *limit)
{
	static struct log_limit log_limit;
	uint64_t wait_ms = rate_wait_ms(rate, clock_ms(), RATE_BURST_S);

	if (wait_ms == 0)
		return;
	if (wait_ms > PATIENCE_MS) {
		metrics_inc(rate_disconnects);
		conn_close(c, DISCONNECT_TOO_MANY_REQUESTS, disconnect_reason(DISCONNECT_TOO_MANY_REQUESTS),
		           "far above %s", limit);
		return;
	}
	if (!c->held_back && log_allowed(&log_limit))
		log_conn(LOG_INFO, c, "held back at %s", limit);
	if (c->held_back && c->timer.due_ms >= clock_ms() + wait_ms)
		return;
	c->held_back = true;
	timer_start(c->set->params.loop, &c->timer, wait_ms > NAP_MS ? wait_ms : NAP_MS);
}

static bool is_limited(const struct conn *c, uint64_t per_s)
{
	return per_s > 0 && c->limited && c->phase == PHASE_WEBSOCKET && !c->deaf;
}

void conn_count_bytes(struct conn *c, size_t len)
{
	uint64_t per_s = c->set->params.config->limits.bytes_per_second;
	bool before = c->held_back;

	if (!is_limited(c, per_s))
		return;
	rate_add(&c->bytes_in, clock_ms(), len, per_s);
	hold_back(c, &c->bytes_in, "limits.bytes_per_second");
	if (!before && c->held_back)
		metrics_inc(held_back_bytes);
}

/* It goes on by its task, whether it has something to send or not. */
static void count_work(struct conn *c, uint32_t count)
{
	c->worked = (uint16_t)(c->worked + count < WORK_MAX ? c->worked + count : WORK_MAX);
	if (conn_is_tired(c) && c->phase == PHASE_WEBSOCKET)
		conn_wake(c);
}

bool conn_is_tired(const struct conn *c)
{
	return c->worked == WORK_MAX;
}

void conn_rest(struct conn *c)
{
	c->worked = 0;
}

void conn_count_frames(struct conn *c, uint32_t count)
{
	uint64_t per_s = (uint64_t)c->set->params.config->limits.commands_per_second;
	bool before = c->held_back;

	count_work(c, count);
	if (count == 0 || !is_limited(c, per_s))
		return;
	rate_add(&c->commands, clock_ms(), count, per_s);
	hold_back(c, &c->commands, "limits.commands_per_second");
	if (!before && c->held_back)
		metrics_inc(held_back_commands);
}

void conn_count_command(struct conn *c)
{
	conn_count_frames(c, 1);
}

bool conn_held_back(const struct conn *c)
{
	return c->held_back;
}
