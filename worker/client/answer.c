#include "answer.h"

#include "clock.h"
#include "config.h"
#include "heartbeat.h"
#include "mem.h"
#include "metrics.h"
#include "session_internal.h"
#include "subscriptions.h"
#include "uni.h"

static struct subscribe_result subscribe_result(const struct client_subscription *cs)
{
	return (struct subscribe_result){
		.channel = subscription_channel(&cs->in_hub),
		.was_recovering = (cs->in_hub.flags & SUBSCRIPTION_WAS_RECOVERING) != 0,
	};
}

/* The results of server-side subscriptions, which go live with this; NULL when there are none. */
static struct subscribe_result *server_side_results(struct session *s)
{
	struct subscribe_result *results;
	size_t i = 0;

	if (s->subscription_count == 0)
		return NULL;
	results = mem_alloc(s->subscription_count * sizeof(*results));
	list_for_each (node, &s->subscriptions) {
		struct client_subscription *cs = container_of(node, struct client_subscription, node);

		results[i++] = subscribe_result(cs);
		cs->in_hub.live = true;
	}
	return results;
}

static void put_connected(struct session *s, uint32_t id, const struct connect_result *result)
{
	const struct codec *codec = s->clients->codec;

	if (s->uni)
		codec->put_push(&s->clients->out, &(struct push){.kind = PUSH_CONNECT, .connect = result},
		                true);
	else
		codec->put_reply(&s->clients->out,
		                 &(struct reply){.id = id, .kind = COMMAND_CONNECT, .connect = result});
}

static void write_connected(struct session *s, uint32_t id)
{
	const struct config *config = s->clients->config;
	struct subscribe_result *subs = server_side_results(s);
	char client[UUID_TEXT_LEN + 1], session[UUID_TEXT_LEN + 1];
	struct connect_result result = {
		.client = {client, UUID_TEXT_LEN},
		.version = BYTES(FANFARE_VERSION),
		.subs = subs,
		.sub_count = s->subscription_count,
		.ping = heartbeat_ping_seconds(s),
		.pong = heartbeat_wants_pong(s),
	};

	uuid_format(s->client_id, client);
	if (s->uni) {
		unsigned char secret[UUID_LEN];

		uuid_make(secret);
		uuid_format(secret, session);
		result.session = (struct bytes){session, UUID_TEXT_LEN};
	}
	if (config->client.connect_include_server_time)
		result.time_ms = (int64_t)clock_unix_ms();
	buf_reset(&s->clients->out);
	put_connected(s, id, &result);
	mem_free(subs);
	session_send_out(s);
}

static void write_reply(struct session *s, const struct reply *reply)
{
	buf_reset(&s->clients->out);
	s->clients->codec->put_reply(&s->clients->out, reply);
	session_send_out(s);
}

static void write_subscribed(struct session *s, uint32_t id, struct client_subscription *cs)
{
	const struct subscribe_result result = subscribe_result(cs);

	cs->in_hub.live = true;
	write_reply(s, &(struct reply){.id = id, .kind = COMMAND_SUBSCRIBE, .subscribe = &result});
}

/* Nothing more is read from a client whose connect was answered with an error, and nothing is kept for it. */
static void refuse(struct session *s, uint32_t id, enum error_code error)
{
	session_set_phase(s, SESSION_REFUSED);
	subscriptions_drop_all(s);
	if (s->uni) {
		uni_refuse(s, error);
		return;
	}
	write_reply(s, &(struct reply){.id = id, .kind = COMMAND_CONNECT, .error = error});
	if (s->phase != SESSION_CLOSED)
		conn_stop_reading(s->conn);
}

static void write_connect_answer(struct session *s, uint32_t id, enum error_code error)
{
	if (error != ERROR_NONE) {
		refuse(s, id, error);
		return;
	}
	session_set_phase(s, SESSION_CONNECTED);
	heartbeat_start(s);
	write_connected(s, id);
}

void answer_write(struct session *s, enum command_kind kind, uint32_t id, enum error_code error,
                  struct client_subscription *cs)
{
	metrics_inc(commands);
	if (error != ERROR_NONE)
		metrics_inc(command_errors);
	if (kind == COMMAND_CONNECT)
		write_connect_answer(s, id, error);
	else if (cs != NULL && error == ERROR_NONE)
		write_subscribed(s, id, cs);
	else
		write_reply(s, &(struct reply){.id = id, .kind = kind, .error = error});
}
