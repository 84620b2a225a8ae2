/* Unidirectional WebSocket. What such a client sends after its request is read and ignored. */
#include "uni.h"

#include "commands.h"
#include "pending.h"
#include "session_internal.h"

void uni_refuse(struct session *s, enum error_code error)
{
	enum disconnect_code code = DISCONNECT_INTERNAL_ERROR;

	switch (error) {
	case ERROR_TOKEN_EXPIRED:
	case ERROR_EXPIRED: code = DISCONNECT_EXPIRED; break;
	case ERROR_TOO_MANY_REQUESTS: code = DISCONNECT_TOO_MANY_REQUESTS; break;
	case ERROR_PERMISSION_DENIED: code = DISCONNECT_PERMISSION_DENIED; break;
	default: break;
	}
	session_disconnect(s, code, error_message(error));
}

void uni_connect(struct session *s, struct bytes request)
{
	struct clients *clients = s->clients;
	struct connect_request req;
	struct verdict v;

	if (!clients->codec->connect_request(request, &clients->scratch, &req)) {
		session_disconnect(s, DISCONNECT_BAD_REQUEST, "not a connect request");
		return;
	}
	v = connect_begin(s, 0, &req);
	if (v.disconnect != DISCONNECT_NONE)
		session_disconnect(s, v.disconnect, v.why);
	else if (!v.later)
		pending_answer(s, COMMAND_CONNECT, 0, &v);
}

static void on_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct session *s = conn_state(c);

	if (s->phase == SESSION_NEW)
		uni_connect(s, message);
}

/* Such clients get a disconnect as a push, too: not all of them can read a close frame. Codes of WebSocket
 * itself say nothing in the protocol's terms. */
static void on_closing(struct conn *c, uint16_t code)
{
	struct session *s = conn_state(c);
	struct buf *out = &s->clients->out;
	const struct push push = {
		.kind = PUSH_DISCONNECT,
		.disconnect = {.code = code, .reason = disconnect_reason((enum disconnect_code)code)},
	};

	if (code < DISCONNECT_CONNECTION_CLOSED)
		return;
	buf_reset(out);
	s->clients->codec->put_push(out, &push, true);
	session_send_out(s);
}

const struct ws_app uni_app = {
	.name = "unidirectional client",
	.on_open = session_on_open,
	.on_message = on_message,
	.on_closing = on_closing,
	.on_room = session_on_room,
	.on_close = session_on_close,
};
