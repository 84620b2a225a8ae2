/* The connection while it speaks WebSocket: puts pieces together to messages for the app, answers control
 * frames, and takes its part in the closing handshake (RFC 6455, sections 5.5 and 7). */
#include "conn_internal.h"
#include "deflate.h"
#include "utf8.h"

/* What could not be told of a compressed message as it came is found out, and told to the peer, here. */
static bool restore(struct conn *c, enum ws_opcode opcode, struct bytes payload, struct bytes *message)
{
	uint16_t code = WS_CLOSE_INVALID_DATA;
	const char *error = "text is not UTF-8";

	switch (inflater_message(c->set->params.inflater, payload, c->max_message, message)) {
	case INFLATE_OK:
		if (opcode != WS_TEXT || utf8_valid(*message))
			return true;
		break;
	case INFLATE_BAD: error = "cannot be decompressed"; break;
	case INFLATE_TOO_BIG:
		code = WS_CLOSE_TOO_BIG;
		error = "message is too big";
		break;
	case INFLATE_NO_MEMORY:
		code = WS_CLOSE_INTERNAL_ERROR;
		error = "out of memory";
		break;
	}
	conn_close(c, code, error, "a compressed message: %s", error);
	return false;
}

static void deliver(struct conn *c, const struct ws_piece *piece, struct bytes payload)
{
	struct bytes message = payload;

	if (piece->compressed && !restore(c, piece->opcode, payload, &message))
		return;
	c->app->on_message(c, piece->opcode, message);
	if (piece->compressed)
		inflater_trim(c->set->params.inflater);
}

static void on_piece(struct conn *c, const struct ws_piece *piece)
{
	struct buf *parts = &c->input->message;
	struct buf whole;

	if (c->phase != PHASE_WEBSOCKET)
		return;
	if (piece->start && piece->end) {
		deliver(c, piece, piece->payload);
		return;
	}
	buf_put_bytes(parts, piece->payload);
	if (!buf_ok(parts)) {
		conn_close(c, WS_CLOSE_INTERNAL_ERROR, "out of memory", "no memory for a message");
		return;
	}
	if (!piece->end)
		return;
	/* The handler may end the connection, and with it the input. */
	whole = *parts;
	buf_init(parts, whole.max);
	deliver(c, piece, buf_bytes(&whole));
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
	conn_set_phase(c, PHASE_CLOSING);
	conn_tell_app(c);
	conn_wait_for_peer(c);
	conn_send_own(c, ws_frame_close(piece->code, ""), SIZE_MAX);
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

/* Each frame, an empty one in the middle of a message, too, of which nobody else hears. */
static void count_frames(struct conn *c)
{
	uint32_t frames = c->input->decoder.frames;

	c->input->decoder.frames = 0;
	conn_count_frames(c, frames);
}

static bool may_decode(const struct conn *c)
{
	if (c->phase == PHASE_CLOSING)
		return !c->peer_done && !c->dropping;
	return c->phase == PHASE_WEBSOCKET && conn_may_read(c);
}

size_t conn_take_frames(struct conn *c, char *data, size_t len)
{
	size_t done = 0;

	while (done < len && may_decode(c)) {
		struct ws_piece piece;
		size_t used;
		enum ws_event event = ws_decode(&c->input->decoder, data + done, len - done, &used, &piece);

		done += used;
		count_frames(c);
		if (c->phase == PHASE_DEAD)
			return len;
		switch (event) {
		case WS_NEED_MORE: return done;
		case WS_PIECE: on_piece(c, &piece); break;
		case WS_CONTROL: on_control(c, &piece); break;
		case WS_FAILED: on_undecodable(c, &piece); return len;
		}
	}
	return done;
}

int conn_deflate_bits(const struct conn *c)
{
	return c->deflate_bits;
}

struct frame *conn_make_frame(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct bytes payload;

	if (c->deflate_bits != 0 && message.len >= c->deflate_min &&
	    deflater_message(c->set->params.deflater, c->deflate_bits, c->deflate_level, message, &payload))
		return ws_frame_new_compressed(opcode, payload);
	return ws_frame_new(opcode, message);
}

void conn_send_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct frame *f = conn_make_frame(c, opcode, message);

	if (f != NULL)
		conn_send(c, f);
	else
		conn_close(c, WS_CLOSE_INTERNAL_ERROR, "out of memory", "no memory for a message to send");
	frame_unref(&f);
}
