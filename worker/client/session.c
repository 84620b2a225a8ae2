/* Sessions: their birth, their end, and the way of a message into commands, one by one and in order. A
 * message that cannot go on, because a command has to wait for those before it, is held, and the connection
 * paused, so that a client is never ahead of us by more than what it sent in one piece. */
#include "session.h"

#include <assert.h>

#include "commands.h"
#include "config.h"
#include "heartbeat.h"
#include "mem.h"
#include "metrics.h"
#include "pending.h"
#include "session_internal.h"
#include "slab.h"
#include "subscriptions.h"
#include "uni.h"
#include "ws_handshake.h"

/* What encoding one answer may take, and what the buffers keep between two. */
enum { OUT_MAX = 64 << 20, BUFFER_KEEP = 64 << 10 };

/* The rest of a message. */
struct held {
	struct list node; /* in clients->resumable, when its turn has come */
	struct session *session;
	size_t done; /* of the data: it was held before */
	size_t len;
	bool first; /* nothing of the message was taken yet */
	char data[];
};

static struct frame *frame_of(const struct codec *codec, void (*put)(struct buf *out))
{
	struct buf text;
	struct frame *f;

	buf_init(&text, 64);
	put(&text);
	f = ws_frame_new(codec->opcode, buf_bytes(&text));
	buf_free(&text);
	return f;
}

static void bury(struct task *t)
{
	struct clients *clients = container_of(t, struct clients, bury);
	struct session *s;

	while ((s = clients->closed) != NULL) {
		clients->closed = s->next_closed;
		slab_free(s);
	}
}

static size_t longest_message(const struct config *config)
{
	uint64_t a = config->websocket.message_size_limit;
	uint64_t b = config->uni_websocket.message_size_limit;

	return (size_t)(a > b ? a : b);
}

static void resume(struct task *t);

struct clients *clients_new(struct loop *loop, const struct config *config, struct hub *hub)
{
	struct clients *clients = mem_alloc(sizeof(*clients));

	clients->loop = loop;
	clients->config = config;
	clients->hub = hub;
	clients->codec = &codec_json;
	buf_init(&clients->scratch, CODEC_SCRATCH_MAX(longest_message(config)));
	buf_init(&clients->out, OUT_MAX);
	clients->ping = frame_of(&codec_json, codec_json.put_ping);
	clients->native_ping = ws_frame_new(WS_PING, BYTES_NONE);
	clients->session_slab = slab_new(sizeof(struct session));
	clients->subscription_slab = slab_new(sizeof(struct client_subscription));
	list_init(&clients->resumable);
	turns_init(&clients->turns);
	clients->bury.run = bury;
	clients->resume.run = resume;
	return clients;
}

void clients_free(struct clients **clients)
{
	struct clients *c = *clients;

	if (c == NULL)
		return;
	assert(c->open == 0);
	task_cancel(&c->bury);
	task_cancel(&c->resume);
	turns_stop(&c->turns);
	bury(&c->bury);
	slab_close(&c->session_slab);
	slab_close(&c->subscription_slab);
	frame_unref(&c->ping);
	frame_unref(&c->native_ping);
	buf_free(&c->scratch);
	buf_free(&c->out);
	mem_free(c);
	*clients = NULL;
}

void session_set_phase(struct session *s, enum session_phase phase)
{
	assert(phase > s->phase);
	if (s->phase == SESSION_CONNECTED)
		metrics_dec(clients);
	if (phase == SESSION_CONNECTED)
		metrics_inc(clients);
	s->phase = (uint8_t)phase;
}

struct bytes session_user(const struct session *s)
{
	return BYTES("");
}

/* --- out --- */

static void send_out(struct session *s,
                     void (*send)(struct conn *c, enum ws_opcode opcode, struct bytes message))
{
	struct buf *out = &s->clients->out;

	if (buf_ok(out))
		send(s->conn, s->clients->codec->opcode, buf_bytes(out));
	else
		session_disconnect(s, DISCONNECT_INTERNAL_ERROR, "no memory for an answer");
	if (out->cap > BUFFER_KEEP)
		buf_free(out);
}

void session_send_out(struct session *s)
{
	send_out(s, conn_send_message);
}

void session_send_answer(struct session *s)
{
	size_t len = s->clients->out.len;

	send_out(s, conn_send_answer);
	if (s->phase < SESSION_REFUSED)
		turns_written(s, len);
}

void session_disconnect(struct session *s, enum disconnect_code code, const char *why)
{
	conn_close(s->conn, (uint16_t)code, disconnect_reason(code), "%s", why);
}

static void on_deliver(struct subscription *s, struct frame *f)
{
	conn_send(s->target, f);
}

static void on_subscribed(struct subscription *s, enum error_code error)
{
	pending_subscribed(container_of(s, struct client_subscription, in_hub), error);
}

static void on_describe(const struct subscription *subscription, struct member *member)
{
	const struct client_subscription *cs = container_of(subscription, const struct client_subscription,
	                                                    in_hub);
	const struct session *s = conn_state(subscriptions_conn(cs));

	uuid_format(s->client_id, member->client);
	member->info = (struct client_info){
		.user = session_user(s),
		.client = {member->client, UUID_TEXT_LEN},
	};
}

/* The client subscribes anew, from where it is; what the server subscribed needs a new connection for that.
 */
static void on_lost(struct subscription *subscription)
{
	struct client_subscription *cs = container_of(subscription, struct client_subscription, in_hub);
	struct session *s = conn_state(subscriptions_conn(cs));
	const struct push push = {
		.kind = PUSH_UNSUBSCRIBE,
		.channel = subscription_channel(subscription),
		.id = subscriptions_channel_id(cs),
		.unsubscribe = {UNSUBSCRIBE_INSUFFICIENT_STATE,
	                        unsubscribe_reason(UNSUBSCRIBE_INSUFFICIENT_STATE)},
	};

	if (subscription->flags & SUBSCRIPTION_SERVER_SIDE) {
		session_disconnect(s, DISCONNECT_INSUFFICIENT_STATE, "publications were lost");
		return;
	}
	buf_reset(&s->clients->out);
	s->clients->codec->put_push(&s->clients->out, &push, s->uni);
	subscriptions_drop(&cs);
	session_send_out(s);
}

void session_hub_events(struct hub_events *events)
{
	events->deliver = on_deliver;
	events->subscribed = on_subscribed;
	events->lost = on_lost;
	events->describe = on_describe;
}

/* --- in --- */

static struct held *held_new(struct session *s, struct bytes data)
{
	struct held *held = mem_try_alloc(sizeof(*held) + data.len);

	if (held == NULL)
		return NULL;
	list_init(&held->node);
	held->session = s;
	held->len = data.len;
	if (data.len > 0)
		memcpy(held->data, data.ptr, data.len);
	return held;
}

/* What is the end of a message that had been held is not copied again: it may be long, and be held often. */
static void hold(struct session *s, struct bytes rest, bool first)
{
	struct held *held = s->clients->resumed;

	if (held == NULL)
		held = held_new(s, rest);
	if (held == NULL) {
		session_disconnect(s, DISCONNECT_INTERNAL_ERROR, "no memory for what has to wait");
		return;
	}
	held->done = held->len - rest.len;
	held->first = first;
	s->held = held;
	conn_pause(s->conn, true);
}

static void drop_held(struct session *s)
{
	if (s->held == NULL)
		return;
	list_remove(&s->held->node);
	mem_free(s->held);
	s->held = NULL;
}

/* Handles a command that may start. False: it ends the session, but those before it are answered first. */
static bool handle(struct session *s, const struct command *cmd)
{
	struct verdict v = command_run(s, cmd);

	if (v.disconnect != DISCONNECT_NONE) {
		if (s->pending_count > 0)
			return false;
		session_disconnect(s, v.disconnect, v.why);
	} else if (!v.later && !v.silent) {
		pending_answer(s, cmd->kind, cmd->id, &v);
	}
	return true;
}

/* One command, or what is none, off the front of *rest. False when the message has to be held there. */
static bool take(struct session *s, struct bytes *rest, bool first, bool *end)
{
	struct clients *clients = s->clients;
	enum disconnect_code code = DISCONNECT_BAD_REQUEST;
	struct command cmd;

	switch (clients->codec->next(rest, first, &clients->scratch, &cmd)) {
	case CODEC_END: *end = true; return true;
	case CODEC_COMMAND: return command_may_start(s, cmd.kind) && handle(s, &cmd);
	case CODEC_BAD: break;
	/* Clients come back after this one; 3501 would end them for good. */
	case CODEC_NO_MEMORY: code = DISCONNECT_INTERNAL_ERROR; break;
	}
	if (s->pending_count > 0)
		return false;
	session_disconnect(s, code,
	                   code == DISCONNECT_BAD_REQUEST ? "not a command" : "no memory for a command");
	return true;
}

/* What is held goes on in the next turn. */
static void hold_for_others(struct session *s, struct bytes rest)
{
	hold(s, rest, false);
	if (s->phase >= SESSION_REFUSED)
		return;
	list_append(&s->clients->resumable, &s->held->node);
	loop_defer_next(s->clients->loop, &s->clients->resume);
}

static void take_all(struct session *s, struct bytes rest, bool first)
{
	bool end = false;

	while (!end && s->phase < SESSION_REFUSED) {
		struct bytes here = rest;

		if (!first && rest.len > 0 && conn_is_tired(s->conn)) {
			hold_for_others(s, rest);
			break;
		}

		if (!take(s, &rest, first, &end)) {
			hold(s, here, first);
			break;
		}
		if (!first && !end)
			conn_count_command(s->conn);
		first = false;
	}
	if (s->clients->scratch.cap > BUFFER_KEEP)
		buf_free(&s->clients->scratch);
}

static void on_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct session *s = conn_state(c);

	assert(s->held == NULL);
	take_all(s, message, true);
}

void session_go_on(struct session *s)
{
	if (s->held == NULL || list_linked(&s->held->node))
		return;
	list_append(&s->clients->resumable, &s->held->node);
	loop_defer(s->clients->loop, &s->clients->resume);
}

static void resume_one(struct held *held)
{
	struct session *s = held->session;
	struct clients *clients = s->clients;

	s->held = NULL;
	clients->resumed = held;
	take_all(s, (struct bytes){held->data + held->done, held->len - held->done}, held->first);
	clients->resumed = NULL;
	if (s->phase < SESSION_CLOSED && s->held == held)
		return;
	mem_free(held);
	if (s->phase < SESSION_REFUSED && s->held == NULL)
		conn_pause(s->conn, false);
}

static void resume(struct task *t)
{
	struct clients *clients = container_of(t, struct clients, resume);
	struct list now;
	struct list *node;

	/* Those that are held again wait for the next turn. */
	list_init(&now);
	list_move_all(&now, &clients->resumable);
	while ((node = list_pop(&now)) != NULL)
		resume_one(container_of(node, struct held, node));
}

/* --- birth and end --- */

void session_on_open(struct conn *c)
{
	heartbeat_open(conn_state(c));
}

/* Whatever waited for the client to read goes on. */
void session_on_room(struct conn *c)
{
	pending_go_on(conn_state(c));
}

/* The socket is taken care of; now what it had elsewhere. */
void session_on_close(struct conn *c)
{
	struct session *s = conn_state(c);

	session_set_phase(s, SESSION_CLOSED);
	timer_stop(&s->timer);
	drop_held(s);
	pending_clear(s);
	subscriptions_drop_all(s);
	s->clients->open--;
	s->next_closed = s->clients->closed;
	s->clients->closed = s;
	loop_defer_free(s->clients->loop, &s->clients->bury);
}

static const struct ws_app app = {
	.name = "client",
	.on_open = session_on_open,
	.on_message = on_message,
	.on_room = session_on_room,
	.on_close = session_on_close,
};

static struct session *session_new(struct clients *clients, struct conn *c,
                                   const struct session_params *params)
{
	struct session *s = slab_alloc(clients->session_slab);

	s->clients = clients;
	s->conn = c;
	s->timer.fire = heartbeat_fire;
	s->uni = params->uni;
	s->native_ping = params->native_ping;
	list_init(&s->subscriptions);
	list_init(&s->pending);
	clients->open++;
	return s;
}

void session_upgrade(struct clients *clients, struct conn *c, const struct http1_request *req,
                     const struct session_params *params)
{
	const char *const known[] = {clients->codec->subprotocol, NULL};
	const struct config *config = clients->config;
	struct session *s = session_new(clients, c, params);

	if (!params->uni) {
		conn_upgrade(c, req,
		             &(struct conn_websocket){
				     .app = &app,
				     .state = s,
				     .subprotocol = ws_handshake_subprotocol(req, known),
				     .max_message = config->websocket.message_size_limit,
				     .compression = &config->websocket.compression,
				     .limited = true,
			     });
		return;
	}
	conn_upgrade(c, req,
	             &(struct conn_websocket){
			     .app = &uni_app,
			     .state = s,
			     .max_message = config->uni_websocket.message_size_limit,
			     .compression = &config->uni_websocket.compression,
			     .limited = true,
		     });
	if (params->cf_connect.ptr != NULL && s->phase == SESSION_NEW)
		uni_connect(s, params->cf_connect);
}
