#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codes.h"
#include "conn_internal.h"
#include "gate.h"
#include "metrics.h"
#include "slab.h"
#include "tls.h"

enum {
	CLOSE_TIMEOUT_MS = 5000, /* for the peer to answer a close, or to hang up */
	RESPONSES_AHEAD = 65536, /* bytes of responses that wait: then no further request is looked at */
	ROOM = 4, /* so many parts has the queue, of which one may be full when there is room */
};

void conn_set_phase(struct conn *c, enum phase phase)
{
	assert(phase > c->phase);
	c->phase = (uint8_t)phase;
}

static void conn_free(struct task *t)
{
	slab_free(container_of(t, struct conn, turn));
}

void conn_tell_app(struct conn *c)
{
	const struct ws_app *app = c->app;

	c->app = NULL;
	if (app != NULL)
		app->on_close(c);
}

void conn_die(struct conn *c, bool reset)
{
	struct conns *set = c->set;

	if (c->phase == PHASE_DEAD)
		return;
	conn_set_phase(c, PHASE_DEAD);
	conn_tell_app(c);
	stream_close(&c->stream, reset);
	timer_stop(&c->timer);
	outq_clear(&c->out);
	conn_drop_answer(c);
	conn_drop_input(c);
	list_remove(&c->node);
	if (c->counted)
		gate_leave(set->gate, &c->peer);
	set->count--;
	metrics_dec(connections);
	task_cancel(&c->turn);
	c->turn.run = conn_free;
	loop_defer_free(set->params.loop, &c->turn);
	if (set->draining && set->count == 0 && !set->freeing)
		loop_defer(set->params.loop, &set->drained);
}

void conn_wait_for_peer(struct conn *c)
{
	c->held_back = false; /* the timer is ours now */
	timer_start(c->set->params.loop, &c->timer, CLOSE_TIMEOUT_MS);
}

/* --- output --- */

static void after_flush(struct conn *c)
{
	if (c->phase != PHASE_CLOSING)
		return;
	if (c->peer_done) {
		conn_die(c, false);
	} else if (c->shutdown_after) {
		c->shutdown_after = false;
		stream_shutdown(&c->stream);
	}
}

static ssize_t write_one(struct conn *c)
{
	struct iovec iov;

	return stream_writev(&c->stream, &iov, outq_gather(&c->out, &iov, 1));
}

static ssize_t write_some(struct conn *c)
{
	struct iovec iov[OUTQ_MAX_IOV];

	return stream_writev(&c->stream, iov, outq_gather(&c->out, iov, OUTQ_MAX_IOV));
}

static void conn_flush(struct conn *c)
{
	while (c->phase != PHASE_DEAD && !outq_empty(&c->out)) {
		/* The kilobyte of write_some(), which the hardened compiler fills, is a quarter of all
		 * instructions of a delivery (callgrind: 574, and 416 without it). */
		ssize_t n = c->out.count == 1 ? write_one(c) : write_some(c);

		if (n == STREAM_AGAIN) {
			stream_want_write(&c->stream, true);
			return;
		}
		if (n == STREAM_ERROR) {
			log_conn(LOG_DEBUG, c, "write failed: %s", strerror(errno));
			conn_die(c, true);
			return;
		}
		metrics_add(bytes_sent, n);
		c->taken += (uint32_t)n;
		outq_consume(&c->out, (size_t)n);
		if (c->answer != NULL)
			conn_answer_taken(c, (size_t)n);
	}
	after_flush(c);
}

void conn_wake(struct conn *c)
{
	loop_defer(c->set->params.loop, &c->turn);
}

static void on_writable(struct stream *s)
{
	conn_wake(container_of(s, struct conn, stream));
}

void conn_send_own(struct conn *c, struct frame *f, size_t limit)
{
	if (f == NULL || !outq_push(&c->out, f, limit))
		conn_die(c, true);
	else
		conn_wake(c);
	frame_unref(&f);
}

/* Whoever is read only as far as it reads what it gets cannot fill a queue. */
static size_t queue_limit(const struct conn *c)
{
	return c->read_behind < UINT32_MAX ? SIZE_MAX : c->set->params.config->client.queue_max_size;
}

void conn_send(struct conn *c, struct frame *f)
{
	size_t limit = queue_limit(c);

	if (c->phase != PHASE_WEBSOCKET)
		return;
	if (outq_push(&c->out, f, limit)) {
		conn_wake(c);
		return;
	}
	/* Only a socket that takes no more is slow: much may have been queued in this one turn. */
	conn_flush(c);
	if (c->phase != PHASE_WEBSOCKET)
		return;
	if (outq_push(&c->out, f, limit)) {
		conn_wake(c);
		return;
	}
	metrics_inc(slow_disconnects);
	conn_close(c, DISCONNECT_SLOW, disconnect_reason(DISCONNECT_SLOW), "%zu bytes wait unread",
	           c->out.bytes);
}

bool conn_has_room(const struct conn *c)
{
	return c->out.bytes <= c->set->params.config->client.queue_max_size / ROOM;
}

void conn_want_room(struct conn *c)
{
	c->wants_room = true;
}

bool conn_is_answering(const struct conn *c)
{
	return c->wants_room || outq_spared(&c->out) > 0;
}

uint32_t conn_taken(struct conn *c)
{
	uint32_t taken = c->taken;

	c->taken = 0;
	return taken;
}

static void tell_room(struct conn *c)
{
	if (!c->wants_room || c->phase != PHASE_WEBSOCKET || !conn_has_room(c))
		return;
	c->wants_room = false;
	if (c->app->on_room != NULL)
		c->app->on_room(c);
}

/* --- the end --- */

static PRINTF_LIKE(3, 0) void log_close(struct conn *c, uint16_t code, const char *fmt, va_list args)
{
	static struct log_limit limit;
	char text[256];
	bool worth_info = code != 0 && code != DISCONNECT_SHUTDOWN && code != WS_CLOSE_NORMAL;

	vsnprintf(text, sizeof(text), fmt, args);
	if (worth_info && log_allowed(&limit))
		log_conn(LOG_INFO, c, "closed with %u: %s", code, text);
	else
		log_conn(LOG_DEBUG, c, "closed with %u: %s", code, text);
}

static bool has_close_frame(const struct conn *c, uint16_t code)
{
	return c->phase == PHASE_WEBSOCKET && code != 0 && code != DISCONNECT_CONNECTION_CLOSED;
}

/* What the app says now may itself find the queue full, or the socket dead, and end the connection. */
static void announce_close(struct conn *c, uint16_t code)
{
	if (c->announced || c->app->on_closing == NULL)
		return;
	c->announced = true;
	c->app->on_closing(c, code);
}

void conn_close(struct conn *c, uint16_t code, const char *reason, const char *fmt, ...)
{
	va_list args;

	if (c->phase >= PHASE_CLOSING)
		return;
	va_start(args, fmt);
	log_close(c, code, fmt, args);
	va_end(args);
	if (!has_close_frame(c, code)) {
		conn_die(c, false);
		return;
	}
	if (code == DISCONNECT_SLOW)
		outq_drop_unsent(&c->out);
	announce_close(c, code);
	if (c->phase >= PHASE_CLOSING)
		return;
	metrics_inc(disconnects);
	conn_set_phase(c, PHASE_CLOSING);
	conn_tell_app(c);
	if (c->input != NULL)
		buf_free(&c->input->message);
	c->paused = false;
	/* What came after conn_stop_reading() was dropped, perhaps within a frame. */
	c->dropping = c->shutdown_after = c->deaf;
	conn_wait_for_peer(c);
	conn_send_own(c, ws_frame_close(code, reason), SIZE_MAX);
}

void conn_stop_reading(struct conn *c)
{
	if (c->phase != PHASE_WEBSOCKET)
		return;
	c->deaf = true;
	if (c->input != NULL)
		buf_free(&c->input->rest);
	stream_want_read(&c->stream, false);
	conn_wait_for_peer(c);
}

static void on_timer(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	if (c->held_back) {
		c->held_back = false;
		conn_wake(c);
		return;
	}
	log_conn(LOG_DEBUG, c, "%s",
	         c->phase == PHASE_HTTP ? "no request in time" : "the peer did not close in time");
	if (c->phase == PHASE_HTTP && !c->kept_alive)
		metrics_inc(heads_late);
	conn_die(c, c->phase == PHASE_CLOSING);
}

static void conn_turn(struct task *t)
{
	struct conn *c = container_of(t, struct conn, turn);
	bool tired = conn_is_tired(c);

	conn_rest(c);
	if (!tired && conn_may_read_again(c))
		conn_go_on_reading(c);
	/* A full socket says when it takes more; asking it for each message costs a system call. */
	if (!stream_wants_write(&c->stream))
		conn_flush(c);
	tell_room(c);
	if (tired && c->phase != PHASE_DEAD)
		loop_defer_next(c->set->params.loop, t);
	/* Responses that were sent made room for the next. */
	else if (conn_may_read_again(c))
		conn_wake(c);
}

void conn_read_behind(struct conn *c, uint32_t bytes)
{
	c->read_behind = bytes;
}

void conn_pause(struct conn *c, bool pause)
{
	if (c->phase != PHASE_WEBSOCKET || c->deaf || c->paused == pause)
		return;
	c->paused = pause;
	if (pause)
		stream_want_read(&c->stream, false);
	else
		conn_wake(c);
}

/* --- the beginning --- */

/* False when there is no memory for it. */
static bool attach(struct conn *c, int fd, struct tls_server *tls)
{
	if (tls != NULL)
		return tls_accept(tls, &c->stream, fd);
	stream_attach(&c->stream, fd);
	return true;
}

static const struct stream_events events = {conn_on_readable, on_writable};

void conn_open(struct conns *set, int fd, const struct peer *client, bool counted,
               const struct conns_door *door)
{
	struct conn *c = slab_alloc(set->slab);

	c->set = set;
	c->number = ++set->accepted;
	c->read_behind = RESPONSES_AHEAD;
	c->turn.run = conn_turn;
	c->timer.fire = on_timer;
	c->peer = *client;
	c->counted = counted;
	c->by_proxy = gate_trusts_forwarded(set->gate, client);
	c->deflate = door->deflate;
	list_append(&set->all, &c->node);
	set->count++;
	metrics_inc(connections);
	metrics_inc(connections_accepted);
	stream_init(&c->stream, set->params.loop, &events);
	if (!attach(c, fd, door->tls)) {
		conn_die(c, true);
		return;
	}
	timer_start(set->params.loop, &c->timer, set->params.config->limits.head_timeout_ms);
}

/* --- questions --- */

void *conn_state(const struct conn *c)
{
	return c->state;
}

const char *conn_name(const struct conn *c)
{
	static char name[PEER_TEXT_MAX + 32];
	char peer[PEER_TEXT_MAX];

	peer_format(&c->peer, peer);
	snprintf(name, sizeof(name), "conn %llu %s", (unsigned long long)c->number, peer);
	return name;
}
