/* What clients asked for and have not taken yet. One answer may be large, and as long as it waits no limit of
 * its connection holds; all connections together have one. Who waits for room takes it from those who do not
 * read. */
#include "clock.h"
#include "codes.h"
#include "conn_internal.h"
#include "mem.h"
#include "metrics.h"

enum {
	/* Two answers as large as they get, or, with small ones, twice that. Some hundred clients who come
	 * back at a time are enough to keep a worker busy that has to encode for them. */
	LARGE_ROOM = 64 << 20,
	ROOM = 2 * LARGE_ROOM,
	SMALL_MAX = 256 << 10,
	ANSWER_MAX = 32 << 20, /* so much is as much as any */
	PATIENCE_MS = 3000,
	SHARE = 32, /* of what it has, that a client takes in that time, or it is slow */
};

/* What a connection has of that. */
struct conn_answer {
	struct list node; /* in set->answers: who was looked at longest ago first */
	struct conn *conn;
	size_t bytes;
	uint64_t seen_ms; /* when it was looked at */
	size_t unsent;    /* bytes in the socket, then */
	size_t taken;     /* by the socket, since then */
};

static void count(struct conns *set, size_t more, size_t less)
{
	set->answer_bytes += more - less;
	metrics_add(answer_bytes, more - less);
}

static void look(struct conn_answer *a)
{
	struct conn *c = a->conn;

	list_remove(&a->node);
	list_append(&c->set->answers, &a->node);
	a->seen_ms = clock_ms();
	a->unsent = stream_unsent(&c->stream);
	a->taken = 0;
}

static bool hold(struct conn *c, size_t bytes)
{
	struct conn_answer *a = c->answer;

	if (a == NULL) {
		a = mem_try_alloc(sizeof(*a));
		if (a == NULL)
			return false;
		*a = (struct conn_answer){.conn = c};
		list_init(&a->node);
		c->answer = a;
		look(a);
	}
	a->bytes += bytes;
	count(c->set, bytes, 0);
	return true;
}

void conn_drop_answer(struct conn *c)
{
	if (c->answer == NULL)
		return;
	count(c->set, 0, c->answer->bytes);
	list_remove(&c->answer->node);
	mem_free(c->answer);
	c->answer = NULL;
}

/* While it is closing, what is left of an answer is there, though it is not spared any more. */
void conn_answer_taken(struct conn *c, size_t bytes)
{
	c->answer->taken += bytes;
	if (outq_empty(&c->out) || (c->phase == PHASE_WEBSOCKET && outq_spared(&c->out) == 0))
		conn_drop_answer(c);
}

void conn_send_answer(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct frame *f;

	if (c->phase != PHASE_WEBSOCKET)
		return;
	f = conn_make_frame(c, opcode, message);
	if (f == NULL || !hold(c, f->len) || !outq_push_spared(&c->out, f))
		conn_close(c, WS_CLOSE_INTERNAL_ERROR, "out of memory", "no memory for an answer");
	else
		conn_wake(c);
	frame_unref(&f);
}

bool conn_answer_fits(const struct conn *c, size_t bytes)
{
	size_t held = c->set->answer_bytes;

	if (bytes > ANSWER_MAX)
		bytes = ANSWER_MAX;
	return held + bytes <= (bytes <= SMALL_MAX ? ROOM : LARGE_ROOM);
}

bool conn_answer_is_small(size_t bytes)
{
	return bytes <= SMALL_MAX;
}

/* What is still in the socket was not read; what the socket takes says little, as that comes in bursts. */
static bool reads(const struct conn_answer *a)
{
	size_t unsent = stream_unsent(&a->conn->stream);

	return a->taken + a->unsent >= unsent + a->bytes / SHARE;
}

/* Behind what is left of a large one nobody finds a close frame in time. */
static void end_slow(struct conn *c)
{
	metrics_inc(slow_disconnects);
	conn_close(c, DISCONNECT_SLOW, disconnect_reason(DISCONNECT_SLOW),
	           "it does not read its answer, and others wait for room");
	if (c->out.bytes > SMALL_MAX)
		conn_die(c, true);
}

void conn_hurry_others(const struct conn *c, size_t bytes)
{
	struct conns *set = c->set;
	uint64_t now = clock_ms();

	while (!list_empty(&set->answers) && !conn_answer_fits(c, bytes)) {
		struct conn_answer *a = container_of(set->answers.next, struct conn_answer, node);
		bool slow;

		if (now - a->seen_ms < PATIENCE_MS)
			break;
		slow = a->conn->phase == PHASE_WEBSOCKET && !reads(a);
		look(a);
		if (slow)
			end_slow(a->conn);
	}
}
