/* codec_json.c: a command is the same alone as among the lines of a message; what of it is sent back in a
 * reply or a push is one line of JSON that holds the same; jansson agrees about its id; a bare connect
 * request is what it is inside a command. */
#include "fuzz.h"

#include <jansson.h>

#include "codec.h"
#include "json_reader.h"

static void print(struct buf *out, struct bytes text)
{
	buf_putf(out, "%d %zu:", text.ptr != NULL, text.len);
	buf_put_bytes(out, text);
}

static void print_subscribe(struct buf *out, const struct subscribe_request *r)
{
	print(out, r->channel);
	print(out, r->token);
	print(out, r->epoch);
	print(out, r->data);
	print(out, r->delta);
	print(out, r->tf);
	print(out, r->cursor);
	buf_putf(out, "%d%d%d%d%d %llu %lld %d %d %d\n", r->recover, r->positioned, r->recoverable,
	         r->join_leave, r->asc, (unsigned long long)r->offset, (long long)r->flag, r->type, r->phase,
	         r->limit);
}

static void print_connect(struct buf *out, const struct connect_request *r)
{
	print(out, r->token);
	print(out, r->data);
	print(out, r->name);
	print(out, r->version);
	buf_putf(out, "%lld %zu\n", (long long)r->flag, r->sub_count);
	for (size_t i = 0; i < r->sub_count; i++)
		print_subscribe(out, &r->subs[i]);
}

static void print_request(struct buf *out, const struct command *cmd)
{
	switch (cmd->kind) {
	case COMMAND_CONNECT: print_connect(out, &cmd->connect); break;
	case COMMAND_SUBSCRIBE: print_subscribe(out, &cmd->subscribe); break;
	case COMMAND_PUBLISH:
		print(out, cmd->publish.channel);
		print(out, cmd->publish.data);
		print(out, cmd->publish.key);
		break;
	case COMMAND_HISTORY:
		print(out, cmd->history.channel);
		print(out, cmd->history.since.epoch);
		buf_putf(out, "%d %d %d %llu", cmd->history.limit, cmd->history.has_since,
		         cmd->history.reverse, (unsigned long long)cmd->history.since.offset);
		break;
	case COMMAND_RPC:
		print(out, cmd->rpc.method);
		print(out, cmd->rpc.data);
		break;
	case COMMAND_SUB_REFRESH:
		print(out, cmd->sub_refresh.channel);
		print(out, cmd->sub_refresh.token);
		buf_putf(out, "%d", cmd->sub_refresh.type);
		break;
	case COMMAND_SEND: print(out, cmd->send.data); break;
	case COMMAND_REFRESH: print(out, cmd->refresh.token); break;
	case COMMAND_UNSUBSCRIBE:
	case COMMAND_PRESENCE:
	case COMMAND_PRESENCE_STATS: print(out, cmd->presence.channel); break;
	case COMMAND_PONG:
	case COMMAND_UNKNOWN: break;
	}
}

static void print_command(struct buf *out, const struct command *cmd)
{
	buf_putf(out, "%u %d %d ", cmd->id, cmd->kind, cmd->has_ping);
	print_request(out, cmd);
	buf_puts(out, "\n");
}

static enum codec_result next(struct bytes *rest, bool first, struct buf *out)
{
	struct command cmd;
	struct buf scratch;
	enum codec_result result;

	buf_init(&scratch, CODEC_SCRATCH_MAX(rest->len));
	result = codec_json.next(rest, first, &scratch, &cmd);
	if (result == CODEC_COMMAND)
		print_command(out, &cmd);
	else
		buf_puts(out, result == CODEC_BAD ? "bad\n" : "end\n");
	buf_free(&scratch);
	return result;
}

/* One line, in memory of its own. */
static enum codec_result next_alone(struct bytes line, bool first, struct buf *out)
{
	char *copy = fuzz_copy(line.ptr, line.len);
	struct bytes rest = {copy, line.len};
	enum codec_result result = next(&rest, first, out);

	CHECK(result != CODEC_COMMAND || rest.len == 0);
	mem_free(copy);
	return result;
}

/* All lines up to the first bad one. */
static void check_lines(struct bytes message)
{
	enum codec_result result = CODEC_COMMAND;
	struct bytes rest = message;
	struct buf together, alone;

	buf_init(&together, FUZZ_BUF_MAX);
	buf_init(&alone, FUZZ_BUF_MAX);
	for (bool first = true; result == CODEC_COMMAND; first = false) {
		const char *end = rest.len > 0 ? memchr(rest.ptr, '\n', rest.len) : NULL;
		struct bytes line = {rest.ptr, end != NULL ? (size_t)(end - rest.ptr) : rest.len};

		CHECK(next_alone(line, first || end != NULL, &alone) ==
		      (result = next(&rest, first, &together)));
	}
	CHECK(fuzz_same(&together, &alone));
	buf_free(&together);
	buf_free(&alone);
}

/* Through a push and back, what jansson reads is the same. */
static void check_push(const struct publish_request *p)
{
	struct publication publication = {.data = p->data};
	const struct push push = {
		.kind = PUSH_PUBLICATION, .channel = p->channel, .publication = &publication};
	struct buf out;
	json_t *root, *data;
	const char *channel;
	size_t len;

	buf_init(&out, FUZZ_BUF_MAX);
	codec_json.put_push(&out, &push, false);
	CHECK(buf_ok(&out) && memchr(out.data, '\n', out.len) == NULL);
	root = json_loadb(out.data, out.len, JSON_ALLOW_NUL, NULL);
	data = json_loadb(p->data.ptr, p->data.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	CHECK((root != NULL) == (data != NULL));
	if (root != NULL && p->channel.len > 0) {
		json_t *in_push, *in_pub;

		CHECK(json_unpack(root, "{s:{s:s%,s:{s:o}}}", "push", "channel", &channel, &len, "pub",
		                  "data", &in_pub) == 0);
		in_push = json_object_get(root, "push");
		CHECK(json_object_size(in_push) == 2 && json_equal(in_pub, data));
		CHECK(bytes_eq((struct bytes){channel, len}, p->channel));
	}
	json_decref(root);
	json_decref(data);
	buf_free(&out);
}

static void check_first(struct bytes message)
{
	struct bytes rest = message;
	struct command cmd;
	struct buf scratch;
	json_t *root;

	buf_init(&scratch, CODEC_SCRATCH_MAX(message.len));
	if (codec_json.next(&rest, true, &scratch, &cmd) == CODEC_COMMAND) {
		size_t len = message.len - rest.len;

		root = json_loadb(message.ptr, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		if (json_is_object(root) && cmd.id != 0 && json_is_integer(json_object_get(root, "id")))
			CHECK(json_integer_value(json_object_get(root, "id")) == cmd.id);
		json_decref(root);
		if (cmd.kind == COMMAND_PUBLISH && cmd.publish.data.ptr != NULL)
			check_push(&cmd.publish);
	}
	buf_free(&scratch);
}

static void check_connect_request(struct bytes message)
{
	struct connect_request request;
	struct json_value value;
	struct buf scratch, command, bare, wrapped;
	struct bytes rest;

	buf_init(&scratch, CODEC_SCRATCH_MAX(message.len));
	buf_init(&command, FUZZ_BUF_MAX);
	buf_init(&bare, FUZZ_BUF_MAX);
	buf_init(&wrapped, FUZZ_BUF_MAX);
	if (codec_json.connect_request(message, &scratch, &request) && json_parse(message, &value) &&
	    value.type == JSON_VALUE_OBJECT && json_depth(value) < JSON_MAX_DEPTH &&
	    memchr(message.ptr, '\n', message.len) == NULL) {
		buf_putf(&bare, "1 %d 0 ", COMMAND_CONNECT);
		print_connect(&bare, &request);
		buf_puts(&bare, "\n");
		buf_puts(&command, "{\"id\":1,\"connect\":");
		buf_put_bytes(&command, message);
		buf_puts(&command, "}");
		rest = buf_bytes(&command);
		CHECK(next(&rest, true, &wrapped) == CODEC_COMMAND && fuzz_same(&bare, &wrapped));
	}
	buf_free(&scratch);
	buf_free(&command);
	buf_free(&bare);
	buf_free(&wrapped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	struct bytes message = {copy, size};

	check_lines(message);
	check_first(message);
	check_connect_request(message);
	mem_free(copy);
	return 0;
}
