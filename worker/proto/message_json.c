#include "message_json.h"

#include "json_writer.h"

static const char *const result_names[] = {
#define RESULT_NAME(upper, lower) [COMMAND_##upper] = #lower,
	COMMANDS(RESULT_NAME)
#undef RESULT_NAME
};

/* A string that is written even when empty. */
static void put_string_always(struct buf *out, const char *name, struct bytes value)
{
	json_name(out, name);
	json_put_string(out, value);
}

void message_json_put_client_info(struct buf *out, const struct client_info *info)
{
	json_open(out, '{');
	put_string_always(out, "user", info->user);
	put_string_always(out, "client", info->client);
	json_member_raw(out, "conn_info", info->conn_info);
	json_member_raw(out, "chan_info", info->chan_info);
	json_close(out, '}');
}

void message_json_put_info(struct buf *out, const struct client_info *info)
{
	if (info == NULL)
		return;
	json_name(out, "info");
	message_json_put_client_info(out, info);
}

void message_json_put_tags(struct buf *out, const struct tag *tags, size_t count)
{
	if (count == 0)
		return;
	json_name(out, "tags");
	json_open(out, '{');
	for (size_t i = 0; i < count; i++) {
		json_element(out);
		json_put_string(out, tags[i].key);
		buf_putc(out, ':');
		json_put_string(out, tags[i].value);
	}
	json_close(out, '}');
}

/* `live`: pushed at the moment of publishing. The first publication of a stream then tells its epoch, to
 * clients that had subscribed before there was one. */
static void put_publication(struct buf *out, const struct publication *p, bool live)
{
	json_open(out, '{');
	json_member_raw(out, "data", p->data);
	message_json_put_info(out, p->info);
	json_member_uint(out, "offset", p->offset);
	message_json_put_tags(out, p->tags, p->tag_count);
	if (live && p->offset == 1)
		json_member_string(out, "epoch", p->epoch);
	json_close(out, '}');
}

/* With a comma, so that the next can stand behind it. */
void message_json_put_publication(struct buf *out, const struct publication *p)
{
	put_publication(out, p, false);
	buf_putc(out, ',');
}

static void put_publications(struct buf *out, const struct publication *publications, size_t count)
{
	json_name(out, "publications");
	json_open(out, '[');
	for (size_t i = 0; i < count; i++) {
		json_element(out);
		put_publication(out, &publications[i], false);
	}
	json_close(out, ']');
}

/* Without the last comma. */
static void put_encoded_publications(struct buf *out, struct bytes publications)
{
	if (publications.len == 0)
		return;
	json_name(out, "publications");
	json_open(out, '[');
	buf_put_bytes(out, bytes_first(publications, publications.len - 1));
	json_close(out, ']');
}

static void put_subscribe_result(struct buf *out, const struct subscribe_result *r)
{
	json_open(out, '{');
	json_member_bool(out, "expires", r->expires);
	json_member_uint(out, "ttl", r->ttl);
	json_member_bool(out, "recoverable", r->recoverable);
	json_member_string(out, "epoch", r->epoch);
	put_encoded_publications(out, r->publications);
	json_member_bool(out, "recovered", r->recovered);
	json_member_uint(out, "offset", r->offset);
	json_member_bool(out, "positioned", r->positioned);
	json_member_raw(out, "data", r->data);
	json_member_bool(out, "was_recovering", r->was_recovering);
	json_member_bool(out, "delta", r->delta);
	json_member_uint(out, "id", r->id);
	json_close(out, '}');
}

static void put_subs(struct buf *out, const struct subscribe_result *subs, size_t count)
{
	if (count == 0)
		return;
	json_name(out, "subs");
	json_open(out, '{');
	for (size_t i = 0; i < count; i++) {
		json_element(out);
		json_put_string(out, subs[i].channel);
		buf_putc(out, ':');
		put_subscribe_result(out, &subs[i]);
	}
	json_close(out, '}');
}

/* All of it always. */
static void put_history_result(struct buf *out, const struct history_result *r)
{
	json_open(out, '{');
	put_publications(out, r->publications, r->publication_count);
	put_string_always(out, "epoch", r->epoch);
	json_name(out, "offset");
	buf_put_u64(out, r->offset);
	json_close(out, '}');
}

static void put_presence_result(struct buf *out, const struct presence_result *r)
{
	json_open(out, '{');
	json_name(out, "presence");
	json_open(out, '{');
	for (size_t i = 0; i < r->count; i++) {
		json_element(out);
		json_put_string(out, r->members[i].client);
		buf_putc(out, ':');
		message_json_put_client_info(out, &r->members[i]);
	}
	json_close(out, '}');
	json_close(out, '}');
}

static void put_presence_stats_result(struct buf *out, const struct presence_stats_result *r)
{
	json_open(out, '{');
	json_name(out, "num_clients");
	buf_put_u64(out, r->num_clients);
	json_name(out, "num_users");
	buf_put_u64(out, r->num_users);
	json_close(out, '}');
}

/* `client` is written always: the Python SDK relies on it. */
static void put_connect_result(struct buf *out, const struct connect_result *r)
{
	json_open(out, '{');
	put_string_always(out, "client", r->client);
	json_member_string(out, "version", r->version);
	json_member_bool(out, "expires", r->expires);
	json_member_uint(out, "ttl", r->ttl);
	json_member_raw(out, "data", r->data);
	put_subs(out, r->subs, r->sub_count);
	json_member_uint(out, "ping", r->ping);
	json_member_bool(out, "pong", r->pong);
	json_member_string(out, "session", r->session);
	json_member_uint(out, "time", (uint64_t)r->time_ms);
	json_close(out, '}');
}

/* `code` and `message` are written always: the Python SDK relies on both. */
static void put_error(struct buf *out, enum error_code code)
{
	json_name(out, "error");
	json_open(out, '{');
	json_name(out, "code");
	buf_put_u64(out, code);
	put_string_always(out, "message", BYTES_OF_STR(error_message(code)));
	json_member_bool(out, "temporary", error_temporary(code));
	json_close(out, '}');
}

/* The object is the mark of success, so an empty result is written, too. */
static void put_result(struct buf *out, const struct reply *reply)
{
	json_name(out, result_names[reply->kind]);
	switch (reply->kind) {
	case COMMAND_CONNECT: put_connect_result(out, reply->connect); return;
	case COMMAND_SUBSCRIBE: put_subscribe_result(out, reply->subscribe); return;
	case COMMAND_HISTORY: put_history_result(out, reply->history); return;
	case COMMAND_PRESENCE: put_presence_result(out, reply->presence); return;
	case COMMAND_PRESENCE_STATS: put_presence_stats_result(out, reply->presence_stats); return;
	default: buf_puts(out, "{}"); return;
	}
}

void message_json_put_reply(struct buf *out, const struct reply *reply)
{
	json_open(out, '{');
	json_member_uint(out, "id", reply->id);
	if (reply->error != ERROR_NONE)
		put_error(out, reply->error);
	else
		put_result(out, reply);
	json_close(out, '}');
}

static void put_end(struct buf *out, const char *name, uint32_t code, const char *reason)
{
	json_name(out, name);
	json_open(out, '{');
	json_member_uint(out, "code", code);
	json_member_string(out, "reason", BYTES_OF_STR(reason));
	json_close(out, '}');
}

static void put_push_body(struct buf *out, const struct push *push)
{
	switch (push->kind) {
	case PUSH_PUBLICATION:
		json_name(out, "pub");
		put_publication(out, push->publication, true);
		return;
	case PUSH_JOIN:
	case PUSH_LEAVE:
		json_name(out, push->kind == PUSH_JOIN ? "join" : "leave");
		json_open(out, '{');
		message_json_put_info(out, push->info);
		json_close(out, '}');
		return;
	case PUSH_UNSUBSCRIBE:
		put_end(out, "unsubscribe", push->unsubscribe.code, push->unsubscribe.reason);
		return;
	case PUSH_DISCONNECT:
		put_end(out, "disconnect", push->disconnect.code, push->disconnect.reason);
		return;
	case PUSH_CONNECT:
		json_name(out, "connect");
		put_connect_result(out, push->connect);
		return;
	}
}

void message_json_put_push(struct buf *out, const struct push *push, bool uni)
{
	if (!uni)
		buf_puts(out, "{\"push\":");
	json_open(out, '{');
	if (push->id != 0)
		json_member_uint(out, "id", push->id);
	else
		json_member_string(out, "channel", push->channel);
	put_push_body(out, push);
	json_close(out, '}');
	if (!uni)
		json_close(out, '}');
}
