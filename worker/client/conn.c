#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codes.h"
#include "conn_internal.h"
#include "gate.h"
#include "mem.h"
#include "metrics.h"
#include "tls.h"

enum {
	CLOSE_TIMEOUT_MS = 5000, /* for the peer to answer a close, or to hang up */
	RESPONSES_AHEAD = 65536, /* bytes of responses that wait: then no further request is looked at */
};

void conn_set_phase(struct conn *c, enum phase phase)
{
	assert(phase > c->phase);
	c->phase = (uint8_t)phase;
}

static void conn_free(struct task *t)
{
	mem_free(container_of(t, struct conn, turn));
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
	buf_free(&c->in);
	buf_free(&c->message);
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

static void conn_flush(struct conn *c)
{
	struct iovec iov[OUTQ_MAX_IOV];

	while (c->phase != PHASE_DEAD && !outq_empty(&c->out)) {
		int count = outq_gather(&c->out, iov, OUTQ_MAX_IOV);
		ssize_t n = stream_writev(&c->stream, iov, count);

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
		outq_consume(&c->out, (size_t)n);
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
	buf_free(&c->message);
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
	buf_free(&c->in);
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

/* --- input --- */

/* Else reading stops, so that the peer's own queue fills up: during a pause, at a limit, and while a client
 * that only gets answers does not read them. */
bool conn_may_read(const struct conn *c)
{
	switch ((enum phase)c->phase) {
	case PHASE_HTTP: return c->out.bytes < c->read_behind;
	case PHASE_WEBSOCKET: return !c->paused && !c->deaf && !c->held_back && c->out.bytes < c->read_behind;
	case PHASE_CLOSING: return true;
	case PHASE_DEAD: return false;
	}
	return false;
}

/* Returns the bytes consumed; the rest has to wait. */
static size_t process(struct conn *c, char *data, size_t len)
{
	size_t done = 0;
	size_t used;

	while (c->phase == PHASE_HTTP && done < len && conn_may_read(c)) {
		if (!conn_take_request(c, data + done, len - done, &used))
			return done;
		done += used;
	}
	if (c->phase == PHASE_HTTP)
		return done;
	if (c->dropping || c->phase == PHASE_DEAD)
		return len;
	return done + conn_take_frames(c, data + done, len - done);
}

/* Keeps what was not consumed, in a buffer no larger than needed. */
static void keep_rest(struct conn *c, const char *data, size_t len)
{
	struct buf rest;

	if (c->phase == PHASE_DEAD || c->deaf || c->peer_done)
		len = 0;
	buf_init(&rest, LOOP_SCRATCH);
	buf_put(&rest, data, len);
	buf_free(&c->in);
	c->in = rest;
	if (!buf_ok(&rest))
		conn_die(c, true);
}

static void on_end(struct conn *c, ssize_t n)
{
	if (n == STREAM_ERROR)
		log_conn(LOG_DEBUG, c, "read failed: %s", strerror(errno));
	else
		log_conn(LOG_DEBUG, c, "the peer hung up");
	conn_die(c, false);
}

static void on_readable(struct stream *s)
{
	struct conn *c = container_of(s, struct conn, stream);
	char *data = loop_scratch(c->set->params.loop);
	size_t len = c->in.len, used;
	ssize_t n;

	assert(len < LOOP_SCRATCH);
	if (len > 0)
		memcpy(data, c->in.data, len);
	n = stream_read(s, data + len, LOOP_SCRATCH - len);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		on_end(c, n);
		return;
	}
	metrics_add(bytes_received, n);
	len += (size_t)n;
	used = process(c, data, len);
	keep_rest(c, data + used, len - used);
	conn_count_bytes(c, (size_t)n);
	if (!conn_may_read(c))
		stream_want_read(s, false);
}

/* What had been read before reading stopped is worked off before anything new is read. */
static void go_on_reading(struct conn *c)
{
	struct buf in = c->in;
	size_t used;

	buf_init(&c->in, LOOP_SCRATCH);
	if (in.len > 0) {
		used = process(c, in.data, in.len);
		keep_rest(c, in.data + used, in.len - used);
	}
	buf_free(&in);
	if (conn_may_read(c))
		stream_want_read(&c->stream, true);
}

static bool may_read_again(const struct conn *c)
{
	return conn_may_read(c) && !stream_wants_read(&c->stream);
}

static void conn_turn(struct task *t)
{
	struct conn *c = container_of(t, struct conn, turn);

	if (may_read_again(c))
		go_on_reading(c);
	/* A full socket says when it takes more; asking it for each message costs a system call. */
	if (!stream_wants_write(&c->stream))
		conn_flush(c);
	/* Responses that were sent made room for the next. */
	if (may_read_again(c))
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

void conn_open(struct conns *set, int fd, const struct peer *client, bool counted,
               const struct conns_door *door)
{
	struct conn *c = mem_alloc(sizeof(*c));

	c->set = set;
	c->number = ++set->accepted;
	c->read_behind = RESPONSES_AHEAD;
	c->turn.run = conn_turn;
	c->timer.fire = on_timer;
	buf_init(&c->in, LOOP_SCRATCH);
	c->peer = *client;
	c->counted = counted;
	c->by_proxy = gate_trusts_forwarded(set->gate, client);
	c->deflate = door->deflate;
	list_append(&set->all, &c->node);
	set->count++;
	metrics_inc(connections);
	metrics_inc(connections_accepted);
	stream_init(&c->stream, set->params.loop, on_readable, on_writable);
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
