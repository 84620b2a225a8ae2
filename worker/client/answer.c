#include "answer.h"

#include "clock.h"
#include "config.h"
#include "heartbeat.h"
#include "mem.h"
#include "metrics.h"
#include "session_internal.h"
#include "subscriptions.h"
#include "uni.h"

/* What one answer may bring of what was missed: half of what it may take (clients->out). */
enum { PUBLICATIONS_MAX = 32 << 20 };

/* What a subscription begins with, and what that points to. */
struct beginning {
	struct subscribe_result result;
	struct buf publications;
};

/* The subscription goes live. Where it recovers all, the client is left where it was: it moves on with the
 * publications (client protocol 8.2). What is more than `most` bytes is not recovered. */
static void begin(struct session *s, struct client_subscription *cs, size_t most, struct beginning *b)
{
	bool recoverable = (cs->in_hub.flags & SUBSCRIPTION_RECOVERABLE) != 0;
	struct hub_answer answer;

	buf_init(&b->publications, most);
	b->result = (struct subscribe_result){
		.channel = subscription_channel(&cs->in_hub),
		.id = subscriptions_channel_id(cs),
		.was_recovering = (cs->in_hub.flags & SUBSCRIPTION_WAS_RECOVERING) != 0,
	};
	hub_begin(s->clients->hub, &cs->in_hub, &answer, &b->publications);
	if (!buf_ok(&b->publications)) {
		buf_free(&b->publications);
		answer.recovered = false;
	}
	if (!cs->in_hub.positioned)
		return;
	b->result.positioned = true;
	b->result.recoverable = recoverable;
	b->result.epoch = answer.epoch;
	b->result.offset = answer.recovered ? answer.asked_from : answer.offset;
	b->result.recovered = answer.recovered;
	b->result.publications = buf_bytes(&b->publications);
}

/* Those of server-side subscriptions; NULL when there are none. */
static struct beginning *begin_all(struct session *s)
{
	struct beginning *all;
	size_t i = 0, most = PUBLICATIONS_MAX;

	if (s->subscription_count == 0)
		return NULL;
	all = mem_alloc(s->subscription_count * sizeof(*all));
	list_for_each (node, &s->subscriptions) {
		begin(s, container_of(node, struct client_subscription, node), most, &all[i]);
		most -= all[i++].publications.len;
	}
	return all;
}

static struct subscribe_result *results_of(const struct beginning *all, size_t count)
{
	struct subscribe_result *results = count > 0 ? mem_alloc(count * sizeof(*results)) : NULL;

	for (size_t i = 0; i < count; i++)
		results[i] = all[i].result;
	return results;
}

static void free_all(struct beginning *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_free(&all[i].publications);
	mem_free(all);
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

/* The answer is written, so that others may hear of the session, and it of itself. */
static void join_all(struct session *s)
{
	if (s->phase != SESSION_CONNECTED)
		return;
	list_for_each (node, &s->subscriptions)
		hub_join(s->clients->hub, &container_of(node, struct client_subscription, node)->in_hub);
}

static void write_connected(struct session *s, uint32_t id)
{
	const struct config *config = s->clients->config;
	size_t sub_count = s->subscription_count;
	struct beginning *beginnings = begin_all(s);
	struct subscribe_result *subs = results_of(beginnings, sub_count);
	char client[UUID_TEXT_LEN + 1], session[UUID_TEXT_LEN + 1];
	struct connect_result result = {
		.client = {client, UUID_TEXT_LEN},
		.version = BYTES(FANFARE_VERSION),
		.subs = subs,
		.sub_count = sub_count,
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
	session_send_answer(s);
	mem_free(subs);
	free_all(beginnings, sub_count);
	join_all(s);
}

static void write_reply(struct session *s, const struct reply *reply)
{
	buf_reset(&s->clients->out);
	s->clients->codec->put_reply(&s->clients->out, reply);
	session_send_out(s);
}

/* One that may be large. */
static void write_answer(struct session *s, const struct reply *reply)
{
	buf_reset(&s->clients->out);
	s->clients->codec->put_reply(&s->clients->out, reply);
	session_send_answer(s);
}

static void write_subscribed(struct session *s, uint32_t id, struct client_subscription *cs)
{
	struct beginning b;

	begin(s, cs, PUBLICATIONS_MAX, &b);
	if (b.result.was_recovering && !b.result.recovered && (cs->in_hub.flags & SUBSCRIPTION_STRICT)) {
		subscriptions_drop(&cs);
		write_reply(s, &(struct reply){.id = id,
		                               .kind = COMMAND_SUBSCRIBE,
		                               .error = ERROR_UNRECOVERABLE_POSITION});
	} else {
		write_answer(s, &(struct reply){.id = id, .kind = COMMAND_SUBSCRIBE, .subscribe = &b.result});
		if (s->phase == SESSION_CONNECTED)
			hub_join(s->clients->hub, &cs->in_hub);
	}
	buf_free(&b.publications);
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

static void write_result(struct session *s, const struct answer *a)
{
	struct reply reply = {.id = a->id, .kind = a->kind, .error = a->error};

	if (a->kind == COMMAND_HISTORY)
		reply.history = a->result.history;
	else if (a->kind == COMMAND_PRESENCE)
		reply.presence = a->result.presence;
	else if (a->kind == COMMAND_PRESENCE_STATS)
		reply.presence_stats = a->result.presence_stats;
	if (a->kind == COMMAND_HISTORY || a->kind == COMMAND_PRESENCE)
		write_answer(s, &reply);
	else
		write_reply(s, &reply);
}

void answer_write(struct session *s, const struct answer *a)
{
	metrics_inc(commands);
	if (a->error != ERROR_NONE)
		metrics_inc(command_errors);
	if (a->kind == COMMAND_CONNECT)
		write_connect_answer(s, a->id, a->error);
	else if (a->subscription != NULL && a->error == ERROR_NONE)
		write_subscribed(s, a->id, a->subscription);
	else
		write_result(s, a);
}
