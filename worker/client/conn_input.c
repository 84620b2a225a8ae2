/* What comes over a connection: read into the scratch memory of the loop, handed on to what the connection
 * speaks, and kept only as far as it is not complete, or has to wait. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "conn_internal.h"
#include "deflate.h"
#include "mem.h"
#include "metrics.h"

void conn_begin_frames(struct conn *c)
{
	struct input *in = c->input;

	ws_decoder_init(&in->decoder, true, c->max_message);
	if (c->deflate_bits != 0)
		ws_decoder_take_compressed(&in->decoder);
	buf_init(&in->message, c->deflate_bits != 0 ? inflater_payload_max(c->max_message) : c->max_message);
}

static void need_input(struct conn *c)
{
	if (c->input != NULL)
		return;
	c->input = mem_alloc(sizeof(*c->input));
	buf_init(&c->input->rest, LOOP_SCRATCH);
	conn_begin_frames(c);
}

void conn_drop_input(struct conn *c)
{
	if (c->input == NULL)
		return;
	buf_free(&c->input->rest);
	buf_free(&c->input->message);
	mem_free(c->input);
	c->input = NULL;
}

/* Whether nothing of it will be asked for. */
static bool is_spent(const struct conn *c)
{
	const struct input *in = c->input;

	if (in->rest.len > 0)
		return false;
	if (c->phase == PHASE_WEBSOCKET || (c->phase == PHASE_CLOSING && !c->dropping))
		return in->message.len == 0 && ws_decoder_at_rest(&in->decoder);
	return true;
}

static void drop_spent(struct conn *c)
{
	if (c->input != NULL && is_spent(c))
		conn_drop_input(c);
}

/* Else reading stops, so that the peer's own queue fills up: during a pause, at a limit, for the rest of a
 * turn that was others' turn, too, and while a client that only gets answers does not read them. */
bool conn_may_read(const struct conn *c)
{
	switch ((enum phase)c->phase) {
	case PHASE_HTTP: return c->out.bytes < c->read_behind;
	case PHASE_WEBSOCKET:
		return !c->paused && !c->deaf && !c->held_back && !conn_is_tired(c) &&
		       c->out.bytes < c->read_behind;
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
	struct buf *rest;

	if (c->phase == PHASE_DEAD)
		return;
	rest = &c->input->rest;
	buf_free(rest);
	if (!c->deaf && !c->peer_done)
		buf_put(rest, data, len);
	if (buf_ok(rest))
		drop_spent(c);
	else
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

void conn_on_readable(struct stream *s)
{
	struct conn *c = container_of(s, struct conn, stream);
	char *data = loop_scratch(c->set->params.loop);
	size_t len = 0, used;
	ssize_t n;

	if (c->input != NULL && c->input->rest.len > 0) {
		len = c->input->rest.len;
		assert(len < LOOP_SCRATCH);
		memcpy(data, c->input->rest.data, len);
	}
	n = stream_read(s, data + len, LOOP_SCRATCH - len);
	if (n == STREAM_AGAIN)
		return;
	if (n <= 0) {
		on_end(c, n);
		return;
	}
	metrics_add(bytes_received, n);
	len += (size_t)n;
	need_input(c);
	used = process(c, data, len);
	keep_rest(c, data + used, len - used);
	conn_count_bytes(c, (size_t)n);
	if (!conn_may_read(c))
		stream_want_read(s, false);
}

void conn_go_on_reading(struct conn *c)
{
	struct buf rest = {0};
	size_t used;

	if (c->input != NULL) {
		rest = c->input->rest;
		buf_init(&c->input->rest, LOOP_SCRATCH);
	}
	if (rest.len > 0) {
		used = process(c, rest.data, rest.len);
		keep_rest(c, rest.data + used, rest.len - used);
	}
	buf_free(&rest);
	if (conn_may_read(c))
		stream_want_read(&c->stream, true);
}

bool conn_may_read_again(const struct conn *c)
{
	return !stream_wants_read(&c->stream) && conn_may_read(c);
}
