#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "codes.h"
#include "list.h"
#include "mem.h"
#include "metrics.h"
#include "outq.h"
#include "stream.h"
#include "ws_handshake.h"

enum {
	HEAD_TIMEOUT_MS = 10000,       /* for a request head to arrive */
	KEEP_ALIVE_TIMEOUT_MS = 60000, /* for the next request to begin */
	CLOSE_TIMEOUT_MS = 5000,       /* for the peer to answer a close, or to hang up */
	DRAIN_STEP_MS = 20,
	DESCRIPTORS_KEPT = 64, /* for Redis, above all: a worker full of clients must be able to reconnect */
	HANDSHAKE_MAX = 1024,
	RESPONSE_MAX = 16 * 1024 * 1024, /* the largest thing served is our own page */
	RESPONSES_AHEAD = 65536, /* bytes of responses that wait: then no further request is looked at */
};

/* In the order in which a connection can pass through them; it may skip, and never goes back. */
enum phase {
	PHASE_HTTP,      /* reads request heads */
	PHASE_WEBSOCKET, /* reads frames for the app */
	PHASE_CLOSING, /* a close frame, or a last response, is on its way; what comes is read and dropped */
	PHASE_DEAD,    /* no socket; freed at the end of the turn */
};

struct conn {
	struct stream stream;
	struct conns *set;
	struct list node; /* in set->all */
	struct task turn; /* at the end of the turn: go on reading after a stop, flush */
	struct timer timer;
	struct outq out;
	struct buf
		in; /* read, but not consumed: an incomplete head or header, or what waits during a pause */
	struct buf message; /* the fragments so far of a message that did not come in one piece */
	struct ws_decoder decoder;
	const struct ws_app *app; /* NULL: none yet, or told already that it is over */
	void *state;
	uint64_t number;
	uint32_t head_scanned; /* how far an incomplete request head was looked through */
	uint8_t phase;         /* enum phase */
	bool paused;
	bool deaf;           /* conn_stop_reading() */
	bool announced;      /* the app was told that the close frame comes next */
	bool head_begun;     /* part of a request head has come */
	bool dropping;       /* what comes cannot, or need not, be understood any more */
	bool peer_done;      /* in PHASE_CLOSING: the peer has closed, too; the end of the queue is the end */
	bool shutdown_after; /* in PHASE_CLOSING: we are the ones who end the stream, when the queue is empty
	                      */
	uint8_t peer_family;
	in_port_t peer_port;
	struct in6_addr peer_addr; /* IPv4 in the first four bytes */
};

struct conns {
	struct conns_params params;
	struct list all;
	size_t count;
	size_t most; /* that there are descriptors for */
	uint64_t accepted;
	bool draining;
	bool freeing;
	uint64_t drain_started_ms;
	uint64_t drain_duration_ms;
	size_t drain_total;
	uint64_t drain_last; /* the number of the youngest that was there */
	size_t drain_closed;
	struct timer drain_timer;
	struct task drained;
};

static void on_readable(struct stream *s);
static void on_writable(struct stream *s);
static void conn_turn(struct task *t);
static void on_timer(struct timer *t);

static void set_phase(struct conn *c, enum phase phase)
{
	assert(phase > c->phase);
	c->phase = (uint8_t)phase;
}

static void conn_free(struct task *t)
{
	mem_free(container_of(t, struct conn, turn));
}

/* The app hears of the end once. */
static void tell_app(struct conn *c)
{
	const struct ws_app *app = c->app;

	c->app = NULL;
	if (app != NULL)
		app->on_close(c);
}

/* Drops the socket and everything kept for it. The struct itself outlives the turn, since callers up the
 * stack may hold it. */
static void conn_die(struct conn *c, bool reset)
{
	struct conns *set = c->set;

	if (c->phase == PHASE_DEAD)
		return;
	set_phase(c, PHASE_DEAD);
	tell_app(c);
	stream_close(&c->stream, reset);
	timer_stop(&c->timer);
	outq_clear(&c->out);
	buf_free(&c->in);
	buf_free(&c->message);
	list_remove(&c->node);
	set->count--;
	metrics_dec(connections);
	task_cancel(&c->turn);
	c->turn.run = conn_free;
	loop_defer_free(set->params.loop, &c->turn);
	if (set->draining && set->count == 0 && !set->freeing)
		loop_defer(set->params.loop, &set->drained);
}

static void wait_for_peer(struct conn *c)
{
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

static void conn_wake(struct conn *c)
{
	loop_defer(c->set->params.loop, &c->turn);
}

static void on_writable(struct stream *s)
{
	conn_wake(container_of(s, struct conn, stream));
}

/* Queues a frame that this function owns; NULL means that there was no memory for it. */
static void send_own(struct conn *c, struct frame *f, size_t limit)
{
	if (f == NULL || !outq_push(&c->out, f, limit))
		conn_die(c, true);
	else
		conn_wake(c);
	frame_unref(&f);
}

void conn_send(struct conn *c, struct frame *f)
{
	size_t limit = c->set->params.config->client.queue_max_size;

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

static void log_close(struct conn *c, uint16_t code, const char *fmt, va_list args)
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
	set_phase(c, PHASE_CLOSING);
	tell_app(c);
	buf_free(&c->message);
	c->paused = false;
	/* What came after conn_stop_reading() was dropped, perhaps within a frame. */
	c->dropping = c->shutdown_after = c->deaf;
	wait_for_peer(c);
	send_own(c, ws_frame_close(code, reason), SIZE_MAX);
}

void conn_stop_reading(struct conn *c)
{
	if (c->phase != PHASE_WEBSOCKET)
		return;
	c->deaf = true;
	buf_free(&c->in);
	stream_want_read(&c->stream, false);
	wait_for_peer(c);
}

static void on_timer(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	log_conn(LOG_DEBUG, c, "%s",
	         c->phase == PHASE_HTTP ? "no request in time" : "the peer did not close in time");
	conn_die(c, c->phase == PHASE_CLOSING);
}

/* --- WebSocket --- */

static void deliver(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	if (c->phase == PHASE_WEBSOCKET)
		c->app->on_message(c, opcode, message);
}

static void on_piece(struct conn *c, const struct ws_piece *piece)
{
	struct buf whole;

	if (c->phase != PHASE_WEBSOCKET)
		return;
	if (piece->start && piece->end) {
		deliver(c, piece->opcode, piece->payload);
		return;
	}
	buf_put_bytes(&c->message, piece->payload);
	if (!buf_ok(&c->message)) {
		conn_close(c, WS_CLOSE_INTERNAL_ERROR, "out of memory", "no memory for a message");
		return;
	}
	if (!piece->end)
		return;
	/* The handler may close the connection, which frees c->message. */
	whole = c->message;
	buf_init(&c->message, whole.max);
	deliver(c, piece->opcode, buf_bytes(&whole));
	buf_free(&whole);
}

/* The peer closes: answer with its own code, and be done once that is written (RFC 6455, 5.5.1). */
static void on_peer_close(struct conn *c, const struct ws_piece *piece)
{
	c->peer_done = true;
	if (c->phase == PHASE_CLOSING) {
		conn_wake(c);
		return;
	}
	log_conn(LOG_DEBUG, c, "the peer closed with %u", piece->code);
	set_phase(c, PHASE_CLOSING);
	tell_app(c);
	wait_for_peer(c);
	send_own(c, ws_frame_close(piece->code, ""), SIZE_MAX);
}

static void on_control(struct conn *c, const struct ws_piece *piece)
{
	struct frame *pong;

	switch (piece->opcode) {
	case WS_CLOSE: on_peer_close(c, piece); return;
	case WS_PING:
		pong = ws_frame_new(WS_PONG, piece->payload);
		if (pong != NULL)
			conn_send(c, pong);
		frame_unref(&pong);
		return;
	default: return; /* an unasked pong is legal, and means nothing to us (5.5.3) */
	}
}

/* The decoder is of no use any more. The peer may be in the middle of a long message: reading on, unseen,
 * until it hangs up lets it find our close frame, which a reset would destroy. */
static void on_undecodable(struct conn *c, const struct ws_piece *piece)
{
	if (c->phase == PHASE_CLOSING) {
		conn_die(c, true);
		return;
	}
	conn_close(c, piece->code, piece->error, "%s", piece->error);
	c->dropping = true;
	c->shutdown_after = true;
}

static bool may_decode(const struct conn *c)
{
	if (c->phase == PHASE_CLOSING)
		return !c->peer_done && !c->dropping;
	return c->phase == PHASE_WEBSOCKET && !c->paused && !c->deaf;
}

/* Returns the bytes consumed. */
static size_t process_frames(struct conn *c, char *data, size_t len)
{
	size_t done = 0;

	while (done < len && may_decode(c)) {
		struct ws_piece piece;
		size_t used;
		enum ws_event event = ws_decode(&c->decoder, data + done, len - done, &used, &piece);

		done += used;
		switch (event) {
		case WS_NEED_MORE: return done;
		case WS_PIECE: on_piece(c, &piece); break;
		case WS_CONTROL: on_control(c, &piece); break;
		case WS_FAILED: on_undecodable(c, &piece); return len;
		}
	}
	return done;
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

/* --- HTTP --- */

static void finish_http(struct conn *c)
{
	set_phase(c, PHASE_CLOSING);
	c->dropping = true;
	c->shutdown_after = true;
	wait_for_peer(c);
}

/* A request with a body is answered and not gone on with: no route takes one. */
static bool keeps_alive(const struct conn *c, const struct http1_request *req)
{
	return req->keep_alive && req->content_length == 0 && !req->chunked && !c->set->draining;
}

void conn_respond(struct conn *c, const struct http1_request *req, int status, const char *content_type,
                  const char *extra, struct bytes body)
{
	bool head = bytes_eq(req->method, BYTES("HEAD"));
	bool keep_alive = keeps_alive(c, req);
	struct buf out;

	assert(c->phase == PHASE_HTTP);
	if (status >= 400)
		metrics_inc(http_errors);
	buf_init(&out, RESPONSE_MAX);
	http1_response(&out, status, content_type, extra, body, keep_alive);
	if (head)
		out.len -= body.len;
	if (keep_alive)
		timer_start(c->set->params.loop, &c->timer, KEEP_ALIVE_TIMEOUT_MS);
	else
		finish_http(c);
	send_own(c, buf_ok(&out) ? frame_copy(buf_bytes(&out)) : NULL, RESPONSE_MAX);
	buf_free(&out);
}

void conn_upgrade(struct conn *c, const struct http1_request *req, const struct ws_app *app, void *state,
                  const char *subprotocol, uint64_t max_message)
{
	struct buf out;

	assert(c->phase == PHASE_HTTP);
	set_phase(c, PHASE_WEBSOCKET);
	timer_stop(&c->timer);
	ws_decoder_init(&c->decoder, true, max_message);
	buf_init(&c->message, max_message);
	c->app = app;
	c->state = state;
	buf_init(&out, HANDSHAKE_MAX);
	ws_handshake_response(&out, req, subprotocol);
	send_own(c, buf_ok(&out) ? frame_copy(buf_bytes(&out)) : NULL, SIZE_MAX);
	buf_free(&out);
	if (c->phase == PHASE_WEBSOCKET)
		app->on_open(c);
	if (c->set->draining)
		conn_close(c, DISCONNECT_SHUTDOWN, disconnect_reason(DISCONNECT_SHUTDOWN),
		           "came during shutdown");
}

static void on_bad_request(struct conn *c, struct http1_request *req)
{
	struct bytes text = BYTES_OF_STR(req->error);

	log_conn(LOG_DEBUG, c, "bad request: %s", req->error);
	req->keep_alive = false;
	req->method = BYTES_NONE;
	conn_respond(c, req, req->status, "text/plain; charset=utf-8", NULL, text);
}

/* Takes one request; false when its head is not complete. */
static bool process_request(struct conn *c, const char *data, size_t len, size_t *used)
{
	struct http1_request req = {.scanned = c->head_scanned};

	switch (http1_parse((struct bytes){data, len}, &req)) {
	case HTTP1_PARTIAL:
		if (!c->head_begun)
			timer_start(c->set->params.loop, &c->timer, HEAD_TIMEOUT_MS);
		c->head_begun = true;
		c->head_scanned = (uint32_t)req.scanned;
		return false;
	case HTTP1_BAD:
		metrics_inc(http_requests);
		*used = len;
		on_bad_request(c, &req);
		return true;
	case HTTP1_COMPLETE:
		metrics_inc(http_requests);
		c->head_begun = false;
		c->head_scanned = 0;
		*used = req.head_len;
		c->set->params.on_request(c->set->params.ctx, c, &req);
		return true;
	}
	return false;
}

/* --- input --- */

/* Whether what comes is of use now. Else reading stops, so that the peer's own queue fills up: during a
 * pause, and while a client that pipelines requests does not read the responses. */
static bool may_read(const struct conn *c)
{
	switch ((enum phase)c->phase) {
	case PHASE_HTTP: return c->out.bytes < RESPONSES_AHEAD;
	case PHASE_WEBSOCKET: return !c->paused && !c->deaf;
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

	while (c->phase == PHASE_HTTP && done < len && may_read(c)) {
		if (!process_request(c, data + done, len - done, &used))
			return done;
		done += used;
	}
	if (c->phase == PHASE_HTTP)
		return done;
	if (c->dropping || c->phase == PHASE_DEAD)
		return len;
	return done + process_frames(c, data + done, len - done);
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
	size_t len = c->in.len;
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
	n = (ssize_t)process(c, data, len);
	keep_rest(c, data + n, len - (size_t)n);
	if (!may_read(c))
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
	if (may_read(c))
		stream_want_read(&c->stream, true);
}

static bool may_read_again(const struct conn *c)
{
	return may_read(c) && !stream_wants_read(&c->stream);
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

/* --- questions --- */

bool conn_paused(const struct conn *c)
{
	return c->paused;
}

bool conn_closing(const struct conn *c)
{
	return c->phase >= PHASE_CLOSING;
}

void *conn_state(const struct conn *c)
{
	return c->state;
}

struct loop *conn_loop(const struct conn *c)
{
	return c->set->params.loop;
}

uint64_t conn_number(const struct conn *c)
{
	return c->number;
}

static void peer_address(const struct conn *c, struct address *a)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->sa.storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->sa.storage;

	*a = (struct address){.len = sizeof(*v6)};
	a->sa.any.sa_family = c->peer_family;
	if (c->peer_family == AF_INET) {
		v4->sin_port = c->peer_port;
		memcpy(&v4->sin_addr, &c->peer_addr, sizeof(v4->sin_addr));
	} else {
		v6->sin6_port = c->peer_port;
		v6->sin6_addr = c->peer_addr;
	}
}

const char *conn_name(const struct conn *c)
{
	static char name[ADDRESS_TEXT_MAX + 32];
	char peer[ADDRESS_TEXT_MAX] = "unix";
	struct address a;

	if (c->peer_family != AF_UNIX) {
		peer_address(c, &a);
		address_format(&a, peer);
	}
	snprintf(name, sizeof(name), "conn %llu %s", (unsigned long long)c->number, peer);
	return name;
}

static void remember_peer(struct conn *c, const struct address *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->sa.storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->sa.storage;

	c->peer_family = (uint8_t)a->sa.any.sa_family;
	if (c->peer_family == AF_INET) {
		c->peer_port = v4->sin_port;
		memcpy(&c->peer_addr, &v4->sin_addr, sizeof(v4->sin_addr));
	} else if (c->peer_family == AF_INET6) {
		c->peer_port = v6->sin6_port;
		c->peer_addr = v6->sin6_addr;
	}
}

/* --- the set --- */

static void on_all_gone(struct task *t)
{
	struct conns *set = container_of(t, struct conns, drained);

	if (set->count == 0)
		set->params.on_drained(set->params.ctx);
}

static void on_drain_timer(struct timer *t);

static size_t descriptors_for_connections(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return SIZE_MAX;
	return limit.rlim_cur < 2 * DESCRIPTORS_KEPT ? limit.rlim_cur / 2 : limit.rlim_cur - DESCRIPTORS_KEPT;
}

struct conns *conns_new(const struct conns_params *params)
{
	struct conns *set = mem_alloc(sizeof(*set));

	set->params = *params;
	set->most = descriptors_for_connections();
	list_init(&set->all);
	set->drain_timer.fire = on_drain_timer;
	set->drained.run = on_all_gone;
	return set;
}

void conns_free(struct conns **set)
{
	if (*set == NULL)
		return;
	(*set)->freeing = true;
	list_for_each (node, &(*set)->all)
		conn_die(container_of(node, struct conn, node), true);
	timer_stop(&(*set)->drain_timer);
	task_cancel(&(*set)->drained);
	mem_free(*set);
	*set = NULL;
}

static void refuse(int fd)
{
	static const char answer[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	static struct log_limit limit;

	metrics_inc(connections_refused);
	if (log_allowed(&limit))
		log_warning(
			"connection refused: client.connection_limit, or what descriptors there are for, is "
			"reached");
	if (send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("refusal not sent: %s", strerror(errno));
	close(fd);
}

static bool is_full(const struct conns *set)
{
	size_t limit = (size_t)set->params.config->client.connection_limit;

	return set->count >= set->most || (limit > 0 && set->count >= limit);
}

void conns_accept(struct conns *set, int fd, const struct address *peer)
{
	struct conn *c;

	if (is_full(set)) {
		refuse(fd);
		return;
	}
	c = mem_alloc(sizeof(*c));
	c->set = set;
	c->number = ++set->accepted;
	c->turn.run = conn_turn;
	c->timer.fire = on_timer;
	buf_init(&c->in, LOOP_SCRATCH);
	remember_peer(c, peer);
	list_append(&set->all, &c->node);
	set->count++;
	metrics_inc(connections);
	metrics_inc(connections_accepted);
	stream_init(&c->stream, set->params.loop, on_readable, on_writable);
	stream_attach(&c->stream, fd);
	timer_start(set->params.loop, &c->timer, HEAD_TIMEOUT_MS);
}

size_t conns_count(const struct conns *set)
{
	return set->count;
}

bool conns_draining(const struct conns *set)
{
	return set->draining;
}

/* Closes the oldest ones first, as many as the time gone by demands; the first at once. Those that came since
 * the start are closed when they are upgraded, and at the end with all others. */
static void on_drain_timer(struct timer *t)
{
	struct conns *set = container_of(t, struct conns, drain_timer);
	uint64_t elapsed = clock_ms() - set->drain_started_ms;
	bool over = elapsed >= set->drain_duration_ms;
	size_t due = over ? SIZE_MAX : (size_t)(set->drain_total * elapsed / set->drain_duration_ms) + 1;

	list_for_each (node, &set->all) {
		struct conn *c = container_of(node, struct conn, node);

		if (set->drain_closed >= due || (!over && c->number > set->drain_last))
			break;
		if (c->phase >= PHASE_CLOSING)
			continue;
		set->drain_closed++;
		conn_close(c, c->phase == PHASE_HTTP ? 0 : DISCONNECT_SHUTDOWN,
		           disconnect_reason(DISCONNECT_SHUTDOWN), "shutdown");
	}
	if (!over)
		timer_start(set->params.loop, t, DRAIN_STEP_MS);
}

void conns_drain(struct conns *set, uint64_t duration_ms)
{
	if (set->draining)
		return;
	set->draining = true;
	set->drain_started_ms = clock_ms();
	set->drain_duration_ms = duration_ms;
	set->drain_total = set->count;
	set->drain_last = set->accepted;
	timer_start(set->params.loop, &set->drain_timer, 0);
	if (set->count == 0)
		loop_defer(set->params.loop, &set->drained);
}
