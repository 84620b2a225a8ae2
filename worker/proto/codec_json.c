/* The JSON encoding: commands stand one to a line and are read one at a time, when they are asked for, so
 * that a bad line spoils nothing that stands before it. What requests may hold is said by tables; a request
 * that loses against another one in the same command must be well formed nevertheless. */
#include "codec.h"

#include <stdalign.h>

#include "json_struct.h"
#include "message_json.h"

#define OFFSET(request, member)      (offsetof(struct command, request.member) - offsetof(struct command, request))
#define FIELD(request, member, read) #member, OFFSET(request, member), read
#define FIELDS(fields)               fields, ARRAY_LEN(fields)

static bool check_uint64(struct json_value value, struct buf *scratch, void *out)
{
	uint64_t n;

	return json_uint(value, UINT64_MAX, &n);
}

/* An array of objects that only have to be well formed. */
static bool check_structs(struct json_value array, const struct json_struct *type, struct buf *scratch)
{
	struct json_iter it;
	struct json_value element;
	char nothing;

	if (array.type != JSON_VALUE_ARRAY)
		return false;
	for (it = json_iter(array); json_next_element(&it, &element);) {
		if (element.type != JSON_VALUE_NULL && !json_read_struct(element, type, scratch, &nothing))
			return false;
	}
	return true;
}

/* Of JSON: eight levels of filter nodes and the lists that hold them. */
enum { FILTER_MAX_DEPTH = 16 };

/* A node of a tags filter, which is passed on as text. */
static json_read_fn check_filters;
static const struct json_field filter_fields[] = {
	{"op", 0, json_check_string},  {"key", 0, json_check_string},   {"cmp", 0, json_check_string},
	{"val", 0, json_check_string}, {"vals", 0, json_check_strings}, {"nodes", 0, check_filters},
};
static const struct json_struct filter_struct = {FIELDS(filter_fields)};

static bool check_filters(struct json_value value, struct buf *scratch, void *out)
{
	return check_structs(value, &filter_struct, scratch);
}

static bool read_filter(struct json_value value, struct buf *scratch, void *out)
{
	return json_depth(value) <= FILTER_MAX_DEPTH &&
	       json_read_struct(value, &filter_struct, scratch, out) && json_read_raw(value, scratch, out);
}

static const struct json_field subscribe_fields[] = {
	{FIELD(subscribe, channel, json_read_string)},
	{FIELD(subscribe, token, json_read_string)},
	{FIELD(subscribe, recover, json_read_bool)},
	{FIELD(subscribe, epoch, json_read_string)},
	{FIELD(subscribe, offset, json_read_uint64)},
	{FIELD(subscribe, data, json_read_raw)},
	{FIELD(subscribe, positioned, json_read_bool)},
	{FIELD(subscribe, recoverable, json_read_bool)},
	{FIELD(subscribe, join_leave, json_read_bool)},
	{FIELD(subscribe, delta, json_read_string)},
	{FIELD(subscribe, tf, read_filter)},
	{FIELD(subscribe, flag, json_read_int64)},
	{FIELD(subscribe, type, json_read_int32)},
	{FIELD(subscribe, phase, json_read_int32)},
	{FIELD(subscribe, cursor, json_read_string)},
	{FIELD(subscribe, limit, json_read_int32)},
	{FIELD(subscribe, asc, json_read_bool)},
};
static const struct json_struct subscribe_struct = {FIELDS(subscribe_fields)};

static size_t count_members(struct json_value object)
{
	struct json_iter it = json_iter(object);
	struct json_value member;
	struct bytes key;
	size_t count = 0;

	while (json_next_member(&it, &key, &member))
		count++;
	return count;
}

static bool read_sub(struct bytes key, struct json_value value, struct buf *scratch,
                     struct subscribe_request *sub)
{
	if (value.type != JSON_VALUE_NULL && !json_read_struct(value, &subscribe_struct, scratch, sub))
		return false;
	return json_read_key(key, scratch, &sub->channel);
}

static struct subscribe_request *put_subs(struct buf *scratch, size_t count)
{
	size_t padding = -scratch->len % alignof(struct subscribe_request);
	size_t size = count * sizeof(struct subscribe_request);
	char *room = buf_reserve(scratch, padding + size);

	if (room == NULL)
		return NULL;
	buf_commit(scratch, padding + size);
	return memset(room + padding, 0, size);
}

static bool read_subs(struct json_value value, struct buf *scratch, void *out)
{
	struct connect_request *connect = out;
	struct json_iter it;
	struct json_value member;
	struct bytes key;

	if (value.type != JSON_VALUE_OBJECT)
		return false;
	connect->subs = put_subs(scratch, count_members(value));
	if (connect->subs == NULL)
		return false;
	for (it = json_iter(value); json_next_member(&it, &key, &member); connect->sub_count++) {
		if (!read_sub(key, member, scratch, &connect->subs[connect->sub_count]))
			return false;
	}
	return true;
}

static const struct json_field connect_fields[] = {
	{FIELD(connect, token, json_read_string)},
	{FIELD(connect, data, json_read_raw)},
	{"subs", 0, read_subs},
	{FIELD(connect, name, json_read_string)},
	{FIELD(connect, version, json_read_string)},
	{"headers", 0, json_check_string_map},
	{FIELD(connect, flag, json_read_int64)},
	{"dict", 0, json_check_string},
	{"profile", 0, json_check_string},
};
static const struct json_struct connect_struct = {FIELDS(connect_fields)};

static const struct json_field since_fields[] = {
	{"offset", OFFSET(history, since.offset), json_read_uint64},
	{"epoch", OFFSET(history, since.epoch), json_read_string},
};
static const struct json_struct since_struct = {FIELDS(since_fields)};

static bool read_since(struct json_value value, struct buf *scratch, void *out)
{
	struct history_request *history = out;

	history->has_since = true;
	return json_read_struct(value, &since_struct, scratch, history);
}

static const struct json_field history_fields[] = {
	{FIELD(history, channel, json_read_string)},
	{FIELD(history, limit, json_read_int32)},
	{"since", 0, read_since},
	{FIELD(history, reverse, json_read_bool)},
};

static const struct json_field publish_fields[] = {
	{FIELD(publish, channel, json_read_string)}, {FIELD(publish, data, json_read_raw)},
	{FIELD(publish, type, json_read_int32)},     {FIELD(publish, key, json_read_string)},
	{FIELD(publish, removed, json_read_bool)},
};

static const struct json_field unsubscribe_fields[] = {{FIELD(unsubscribe, channel, json_read_string)}};
static const struct json_field presence_fields[] = {{FIELD(presence, channel, json_read_string)}};
static const struct json_field presence_stats_fields[] = {{FIELD(presence_stats, channel, json_read_string)}};
static const struct json_field rpc_fields[] = {{FIELD(rpc, method, json_read_string)},
                                               {FIELD(rpc, data, json_read_raw)}};
static const struct json_field send_fields[] = {{FIELD(send, data, json_read_raw)}};
static const struct json_field refresh_fields[] = {{FIELD(refresh, token, json_read_string)}};

/* What is tracked is of no use yet, it only has to be well formed. */
static const struct json_field keyed_item_fields[] = {{"key", 0, json_check_string},
                                                      {"version", 0, check_uint64}};
static const struct json_struct keyed_item_struct = {FIELDS(keyed_item_fields)};

static bool check_keyed_items(struct json_value value, struct buf *scratch, void *out)
{
	return check_structs(value, &keyed_item_struct, scratch);
}

static const struct json_field track_fields[] = {{"signature", 0, json_check_string},
                                                 {"items", 0, check_keyed_items}};
static const struct json_struct track_struct = {FIELDS(track_fields)};

static bool check_track(struct json_value value, struct buf *scratch, void *out)
{
	return check_structs(value, &track_struct, scratch);
}

static const struct json_field sub_refresh_fields[] = {
	{FIELD(sub_refresh, channel, json_read_string)},
	{FIELD(sub_refresh, token, json_read_string)},
	{FIELD(sub_refresh, type, json_read_int32)},
	{"track", 0, check_track},
	{"untrack", 0, json_check_strings},
};

static const struct json_struct request_structs[] = {
#define REQUEST_STRUCT(upper, lower) [COMMAND_##upper] = {FIELDS(lower##_fields)},
	COMMANDS(REQUEST_STRUCT)
#undef REQUEST_STRUCT
};

/* A command as it stands, its requests not yet looked into; ptr NULL: absent. */
struct line {
	uint32_t id;
	struct json_value requests[COMMAND_KINDS];
	struct json_value ping;
};

static const struct json_field line_fields[] = {
	{"id", offsetof(struct line, id), json_read_uint32},
#define LINE_FIELD(upper, lower) {#lower, offsetof(struct line, requests[COMMAND_##upper]), json_read_value},
	COMMANDS(LINE_FIELD)
#undef LINE_FIELD
		{"ping", offsetof(struct line, ping), json_read_value},
};
static const struct json_struct line_struct = {FIELDS(line_fields)};

static bool is_present(struct json_value value)
{
	return value.text.ptr != NULL;
}

/* Bytes for the `subs` of a connect request. */
static size_t subs_size(struct json_value connect)
{
	struct json_iter it;
	struct json_value member;
	struct bytes key;

	if (connect.type != JSON_VALUE_OBJECT)
		return 0;
	for (it = json_iter(connect); json_next_member(&it, &key, &member);) {
		if (json_key_is(key, "subs") && member.type == JSON_VALUE_OBJECT)
			return (count_members(member) + 1) * sizeof(struct subscribe_request);
	}
	return 0;
}

/* Makes room for all that reading can need, so that nothing in scratch moves any more: for strings whose
 * escapes are resolved, which makes them shorter, and for subs. */
static bool reserve_scratch(struct buf *scratch, struct bytes text, struct json_value connect)
{
	size_t size = is_present(connect) ? subs_size(connect) : 0;

	if (memchr(text.ptr, '\\', text.len) != NULL)
		size += text.len;
	buf_reset(scratch);
	return size == 0 || (size <= scratch->max && buf_reserve(scratch, size) != NULL);
}

static bool read_request(struct json_value value, enum command_kind kind, struct buf *scratch,
                         struct command *cmd)
{
	*cmd = (struct command){.id = cmd->id, .kind = kind, .has_ping = cmd->has_ping};
	return json_read_struct(value, &request_structs[kind], scratch, &cmd->connect);
}

/* From the last request to the first, so that the one that wins is what remains. */
static bool read_requests(const struct line *line, struct buf *scratch, struct command *cmd)
{
	for (unsigned kind = COMMAND_KINDS; kind-- > 0;) {
		if (is_present(line->requests[kind]) &&
		    !read_request(line->requests[kind], kind, scratch, cmd))
			return false;
	}
	return true;
}

/* Without an id only `send` counts; a command that has none is a pong, whatever else it holds. */
static bool check_id(const struct line *line, struct command *cmd)
{
	if (line->id != 0)
		return true;
	if (is_present(line->requests[COMMAND_SEND]))
		return cmd->kind == COMMAND_SEND;
	*cmd = (struct command){.kind = COMMAND_PONG};
	return true;
}

static bool read_command(struct json_value value, struct buf *scratch, struct command *cmd)
{
	struct line line = {0};

	if (value.type != JSON_VALUE_NULL && !json_read_struct(value, &line_struct, scratch, &line))
		return false;
	if (is_present(line.ping) && line.ping.type != JSON_VALUE_OBJECT)
		return false;
	if (!reserve_scratch(scratch, value.text, line.requests[COMMAND_CONNECT]))
		return false;
	*cmd = (struct command){.id = line.id, .kind = COMMAND_UNKNOWN, .has_ping = is_present(line.ping)};
	return read_requests(&line, scratch, cmd) && check_id(&line, cmd);
}

static struct bytes take_line(struct bytes *rest)
{
	const char *newline = memchr(rest->ptr, '\n', rest->len);
	struct bytes line = *rest;

	if (newline == NULL) {
		*rest = BYTES_NONE;
		return line;
	}
	line.len = (size_t)(newline - line.ptr);
	*rest = bytes_skip(*rest, line.len + 1);
	return line;
}

static enum codec_result codec_json_next(struct bytes *rest, bool first, struct buf *scratch,
                                         struct command *cmd)
{
	struct json_value value;

	if (rest->len == 0)
		return first ? CODEC_BAD : CODEC_END;
	buf_reset(scratch);
	if (json_parse(take_line(rest), &value) && read_command(value, scratch, cmd))
		return CODEC_COMMAND;
	return buf_ok(scratch) ? CODEC_BAD : CODEC_NO_MEMORY;
}

static bool codec_json_connect_request(struct bytes message, struct buf *scratch, struct connect_request *out)
{
	struct json_value value;

	*out = (struct connect_request){0};
	if (!json_parse(message, &value))
		return false;
	if (value.type == JSON_VALUE_NULL)
		return true;
	return reserve_scratch(scratch, message, value) &&
	       json_read_struct(value, &connect_struct, scratch, out);
}

static void codec_json_put_ping(struct buf *out)
{
	buf_puts(out, "{}");
}

const struct codec codec_json = {
	.subprotocol = "centrifuge-json",
	.opcode = WS_TEXT,
	.next = codec_json_next,
	.connect_request = codec_json_connect_request,
	.put_publication = message_json_put_publication,
	.put_reply = message_json_put_reply,
	.put_push = message_json_put_push,
	.put_ping = codec_json_put_ping,
};
