/* codec_json.c: what the recorded conversations of the reference engine show about lines, members, integers
 * and nulls, and that nothing a line holds, cut off or changed anywhere, leads outside of it. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec.h"
#include "mem.h"

/* What has been decoded, in words; whatever is empty, zero or absent is left out. */

static void say_text(struct buf *out, const char *name, struct bytes text)
{
	if (text.len == 0)
		return;
	buf_putf(out, " %s=", name);
	buf_put_bytes(out, text);
}

static void say_int(struct buf *out, const char *name, int64_t n)
{
	if (n != 0)
		buf_putf(out, " %s=%" PRId64, name, n);
}

static void say_flag(struct buf *out, const char *name, bool flag)
{
	if (flag)
		buf_putf(out, " %s", name);
}

static void say_subscribe(struct buf *out, const struct subscribe_request *r)
{
	say_text(out, "channel", r->channel);
	say_text(out, "token", r->token);
	say_flag(out, "recover", r->recover);
	say_flag(out, "positioned", r->positioned);
	say_flag(out, "recoverable", r->recoverable);
	say_flag(out, "join_leave", r->join_leave);
	say_text(out, "epoch", r->epoch);
	if (r->offset != 0)
		buf_putf(out, " offset=%" PRIu64, r->offset);
	say_text(out, "data", r->data);
	say_text(out, "delta", r->delta);
	say_text(out, "tf", r->tf);
	say_int(out, "flag", r->flag);
	say_int(out, "type", r->type);
	say_int(out, "phase", r->phase);
	say_int(out, "limit", r->limit);
	say_text(out, "cursor", r->cursor);
	say_flag(out, "asc", r->asc);
}

static void say_connect(struct buf *out, const struct connect_request *r)
{
	say_text(out, "token", r->token);
	say_text(out, "data", r->data);
	say_text(out, "name", r->name);
	say_text(out, "version", r->version);
	say_int(out, "flag", r->flag);
	for (size_t i = 0; i < r->sub_count; i++) {
		buf_puts(out, " [");
		say_subscribe(out, &r->subs[i]);
		buf_puts(out, " ]");
	}
}

static void say_publish(struct buf *out, const struct publish_request *r)
{
	say_text(out, "channel", r->channel);
	say_text(out, "data", r->data);
	say_int(out, "type", r->type);
	say_text(out, "key", r->key);
	say_flag(out, "removed", r->removed);
}

static void say_history(struct buf *out, const struct history_request *r)
{
	say_text(out, "channel", r->channel);
	say_int(out, "limit", r->limit);
	say_flag(out, "since", r->has_since);
	if (r->since.offset != 0)
		buf_putf(out, " offset=%" PRIu64, r->since.offset);
	say_text(out, "epoch", r->since.epoch);
	say_flag(out, "reverse", r->reverse);
}

static void say_command(struct buf *out, const struct command *cmd)
{
	static const char *const names[] = {
#define NAME(upper, lower) #lower,
		COMMANDS(NAME)
#undef NAME
			"pong",
		"unknown",
	};

	buf_puts(out, names[cmd->kind]);
	say_int(out, "id", cmd->id);
	say_flag(out, "ping", cmd->has_ping);
	switch (cmd->kind) {
	case COMMAND_CONNECT: say_connect(out, &cmd->connect); return;
	case COMMAND_SUBSCRIBE: say_subscribe(out, &cmd->subscribe); return;
	case COMMAND_PUBLISH: say_publish(out, &cmd->publish); return;
	case COMMAND_HISTORY: say_history(out, &cmd->history); return;
	case COMMAND_UNSUBSCRIBE: say_text(out, "channel", cmd->unsubscribe.channel); return;
	case COMMAND_PRESENCE: say_text(out, "channel", cmd->presence.channel); return;
	case COMMAND_PRESENCE_STATS: say_text(out, "channel", cmd->presence_stats.channel); return;
	case COMMAND_RPC:
		say_text(out, "method", cmd->rpc.method);
		say_text(out, "data", cmd->rpc.data);
		return;
	case COMMAND_SEND: say_text(out, "data", cmd->send.data); return;
	case COMMAND_REFRESH: say_text(out, "token", cmd->refresh.token); return;
	case COMMAND_SUB_REFRESH:
		say_text(out, "channel", cmd->sub_refresh.channel);
		say_text(out, "token", cmd->sub_refresh.token);
		say_int(out, "type", cmd->sub_refresh.type);
		return;
	case COMMAND_PONG:
	case COMMAND_UNKNOWN: return;
	}
}

/* All commands of a message, "; " between them, then what ended it: "end" or "bad". */
static void say_message(struct buf *out, struct bytes message, struct buf *scratch)
{
	struct bytes rest = message;
	struct command cmd;
	enum codec_result result;

	buf_reset(out);
	for (bool first = true;; first = false) {
		result = codec_json.next(&rest, first, scratch, &cmd);
		if (result != CODEC_COMMAND)
			break;
		say_command(out, &cmd);
		buf_puts(out, "; ");
	}
	buf_puts(out, result == CODEC_END ? "end" : "bad");
	assert_true(buf_ok(out));
}

static const struct {
	const char *message;
	const char *said;
} cases[] = {
	/* Frames and lines. */
	{"", "bad"},
	{"{\"id\":1,\"connect\":", "bad"},
	{"hello", "bad"},
	{"5", "bad"},
	{"\"x\"", "bad"},
	{"[]", "bad"},
	{"[{\"id\":1,\"connect\":{}}]", "bad"},
	{"null", "pong; end"},
	{"null\n{}", "pong; pong; end"},
	{"{'id':1,'connect':{}}", "bad"},
	{"{\"id\":1,\"connect\":{}/*x*/}", "bad"},
	{"\n", "bad"},
	{"\n\n\n", "bad"},
	{"\n{\"id\":1,\"connect\":{}}", "bad"},
	{"{\"id\":1,\"connect\":{}}\n", "connect id=1; end"},
	{"  {\"id\":1,\"connect\":{}}", "connect id=1; end"},
	{"{\"id\":1,\"connect\":{}}\r\n", "connect id=1; end"},
	{"{\"id\":1,\"connect\":{}}\r\n{}\r\n", "connect id=1; pong; end"},
	{"{ \"id\" :\t1 , \"connect\" : { } }", "connect id=1; end"},
	{"\xef\xbb\xbf{\"id\":1,\"connect\":{}}", "bad"},
	{"{\"id\":1,\"connect\":{}}\n\n", "connect id=1; bad"},
	{"{\"id\":1,\"connect\":{}}\n\r", "connect id=1; bad"},
	{"{\"id\":1,\"connect\":{}}\n \n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}", "connect id=1; bad"},
	{"{\n \"id\": 1,\n \"connect\": {}\n}", "bad"},
	{"{\"id\":1,\"connect\":{}}{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}", "bad"},
	{"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\"", "connect id=1; bad"},
	{"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}",
         "connect id=1; subscribe id=2 channel=a; end"},
	{"{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":\"a\xff\"}}", "bad"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"a\xff\"}}", "bad"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"a\tb\"}}", "bad"},
	{"{\"id\":3,\"x\":01,\"subscribe\":{\"channel\":\"a\"}}", "bad"},

	/* Which request it is. */
	{"{\"id\":2,\"hello\":{}}", "unknown id=2; end"},
	{"{\"id\":2,\"Connect\":{}}", "unknown id=2; end"},
	{"{\"id\":2,\"ping\":{}}", "unknown id=2 ping; end"},
	{"{\"id\":2,\"ping\":{},\"unsubscribe\":{\"channel\":\"a\"}}",
         "unsubscribe id=2 ping channel=a; end"},
	{"{\"id\":2,\"ping\":1,\"unsubscribe\":{\"channel\":\"a\"}}", "bad"},
	{"{\"id\":2,\"ping\":null,\"unsubscribe\":{\"channel\":\"a\"}}", "unsubscribe id=2 channel=a; end"},
	{"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1},\"subscribe\":{\"channel\":\"b\"}}",
         "subscribe id=2 channel=b; end"},
	{"{\"id\":1,\"subscribe\":{\"channel\":\"a\"},\"connect\":{}}", "connect id=1; end"},
	{"{\"id\":1,\"sub_refresh\":{},\"refresh\":{\"token\":\"t\"},\"send\":{},\"rpc\":{\"method\":\"m\"}}",
         "rpc id=1 method=m; end"},
	{"{\"id\":1,\"connect\":{},\"subscribe\":{\"channel\":5}}", "bad"},
	{"{\"id\":2,\"subscribe\":null,\"unsubscribe\":{\"channel\":\"a\"}}",
         "unsubscribe id=2 channel=a; end"},
	{"{\"id\":1,\"connect\":null}", "unknown id=1; end"},
	{"{\"id\":1,\"connect\":\"x\"}", "bad"},
	{"{\"id\":1,\"connect\":[]}", "bad"},
	{"{}", "pong; end"},
	{"{}\n{}", "pong; pong; end"},
	{"{\"send\":{\"data\":1}}", "send data=1; end"},
	{"{\"id\":2,\"send\":{\"data\":null}}", "send id=2 data=null; end"},
	{"{\"send\":{\"data\":1},\"rpc\":{}}", "bad"},
	{"{\"connect\":{},\"id\":1}", "connect id=1; end"},
	{"{\"\\u0069d\":1,\"\\u0063onnect\":{}}", "connect id=1; end"},

	/* Ids. */
	{"{\"connect\":{}}", "pong; end"},
	{"{\"id\":0,\"connect\":{}}", "pong; end"},
	{"{\"id\":null,\"connect\":{}}", "pong; end"},
	{"{\"id\":0,\"connect\":5}", "bad"},
	{"{\"id\":4294967295,\"connect\":{}}", "connect id=4294967295; end"},
	{"{\"id\":4294967296,\"connect\":{}}", "bad"},
	{"{\"id\":-1,\"connect\":{}}", "bad"},
	{"{\"id\":\"1\",\"connect\":{}}", "bad"},
	{"{\"id\":1.0,\"connect\":{}}", "bad"},
	{"{\"id\":1e0,\"connect\":{}}", "bad"},
	{"{\"id\":true,\"connect\":{}}", "bad"},
	{"{\"id\":01,\"connect\":{}}", "bad"},

	/* Members that occur twice. */
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"channel\":\"b\"}}", "bad"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"ch\\u0061nnel\":\"a\"}}", "bad"},
	{"{\"id\":2,\"id\":2,\"unsubscribe\":{\"channel\":\"a\"}}", "bad"},
	{"{\"id\":2,\"unsubscribe\":null,\"unsubscribe\":{\"channel\":\"a\"}}", "bad"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\"},\"subscribe\":{\"channel\":\"b\"}}", "bad"},
	{"{\"x\":1,\"x\":2,\"id\":2,\"unsubscribe\":{\"y\":1,\"y\":2,\"channel\":\"a\"}}",
         "unsubscribe id=2 channel=a; end"},
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"since\":{\"offset\":1,\"offset\":null}}}", "bad"},
	{"{\"id\":2,\"connect\":{\"subs\":{\"a\":{\"recover\":true,\"recover\":true}}}}", "bad"},
	{"{\"id\":2,\"connect\":{\"subs\":null,\"subs\":{\"a\":{},\"b\":{}}}}", "bad"},
	{"{\"id\":2,\"connect\":{\"subs\":{},\"subs\":{\"a\":{},\"b\":{}}}}", "bad"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"tf\":{\"key\":\"k\",\"key\":\"k\"}}}", "bad"},

	/* connect. */
	{"{\"id\":1,\"connect\":{\"name\":\"js\",\"version\":\"1.2.3\",\"data\":{\"a\":[1,2]},"
         "\"headers\":{\"x-trace\":\"7\"},\"token\":\"t\",\"flag\":1,\"dict\":\"d\",\"profile\":\"p\"}}",
         "connect id=1 token=t data={\"a\":[1,2]} name=js version=1.2.3 flag=1; end"},
	{"{\"id\":1,\"connect\":{\"name\":5}}", "bad"},
	{"{\"id\":1,\"connect\":{\"headers\":{\"a\":1}}}", "bad"},
	{"{\"id\":1,\"connect\":{\"headers\":[]}}", "bad"},
	{"{\"id\":1,\"connect\":{\"subs\":[]}}", "bad"},
	{"{\"id\":1,\"connect\":{\"subs\":{\"a\":1}}}", "bad"},
	{"{\"id\":1,\"connect\":{\"token\":null,\"data\":null,\"name\":null,\"subs\":null,\"headers\":null}}",
         "connect id=1 data=null; end"},
	{"{\"id\":1,\"connect\":{\"subs\":{}}}", "connect id=1; end"},
	{"{\"id\":1,\"connect\":{\"subs\":{\"a\":{\"recover\":true,\"offset\":7,\"epoch\":\"e\\u0065\"},"
         "\"\\u0062\":null,\"c\":{\"channel\":\"x\"}},\"token\":\"\\u0074\"}}",
         "connect id=1 token=t [ channel=a recover epoch=ee offset=7 ] [ channel=b ] [ channel=c ]; end"},

	/* subscribe. */
	{"{\"id\":2,\"subscribe\":{\"channel\":null}}", "subscribe id=2; end"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"c\",\"token\":\"t\",\"recover\":true,\"epoch\":\"e\","
         "\"offset\":18446744073709551615,\"data\":\"d\",\"positioned\":true,\"recoverable\":true,"
         "\"join_leave\":true,\"delta\":\"fossil\",\"flag\":3,\"type\":1,\"phase\":2,\"cursor\":\"x\",\"limit\":-1,"
         "\"asc\":true}}",
         "subscribe id=2 channel=c token=t recover positioned recoverable join_leave epoch=e"
         " offset=18446744073709551615 data=\"d\" delta=fossil flag=3 type=1 phase=2 limit=-1 cursor=x asc; end"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":1}}", "bad"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"recover\":\"true\"}}", "bad"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"offset\":-1}}", "bad"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":2147483648}}", "bad"},
	{"{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"flag\":9223372036854775808}}", "bad"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"\\u006cive:\\u0061\"}}",
         "subscribe id=3 channel=live:a; end"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"\\ud83d\\ude00\\ud800\"}}",
         "subscribe id=3 channel=\xf0\x9f\x98\x80\xef\xbf\xbd; end"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"a\",\"tf\":{\"op\":\"and\",\"nodes\":[{\"key\":\"k\",\"cmp\":\"in\","
         "\"vals\":[\"A\",null]},{\"nodes\":[null]}]}}}",
         "subscribe id=3 channel=a tf={\"op\":\"and\",\"nodes\":[{\"key\":\"k\",\"cmp\":\"in\","
         "\"vals\":[\"A\",null]},{\"nodes\":[null]}]}; end"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"a\",\"tf\":null}}", "subscribe id=3 channel=a; end"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"a\",\"tf\":[]}}", "bad"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"a\",\"tf\":{\"val\":1}}}", "bad"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"a\",\"tf\":{\"vals\":[1]}}}", "bad"},
	{"{\"id\":3,\"subscribe\":{\"channel\":\"a\",\"tf\":{\"nodes\":[{\"nodes\":[{\"op\":1}]}]}}}", "bad"},

	/* publish: payloads keep their text. */
	{"{\"id\":2,\"publish\":{\"channel\":\"a\"}}", "publish id=2 channel=a; end"},
	{"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":null}}", "publish id=2 channel=a data=null; end"},
	{"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":01}}", "bad"},
	{"{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":NaN}}", "bad"},
	{"{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":   {\"a\":1}\t }}",
         "publish id=3 channel=a data={\"a\":1}; end"},
	{"{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1,\"type\":1,\"key\":\"k\",\"removed\":true}}",
         "publish id=3 channel=a data=1 type=1 key=k removed; end"},

	/* The others. */
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":-1,\"since\":{},\"reverse\":true}}",
         "history id=2 channel=a limit=-1 since reverse; end"},
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"since\":null}}", "history id=2 channel=a; end"},
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"since\":{\"offset\":5,\"epoch\":\"e\"}}}",
         "history id=2 channel=a since offset=5 epoch=e; end"},
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":\"2\"}}", "bad"},
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":2147483648}}", "bad"},
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":2.0}}", "bad"},
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"since\":{\"offset\":-1}}}", "bad"},
	{"{\"id\":2,\"history\":{\"channel\":\"a\",\"since\":5}}", "bad"},
	{"{\"id\":2,\"presence\":{\"channel\":\"a\"}}", "presence id=2 channel=a; end"},
	{"{\"id\":2,\"presence_stats\":{\"channel\":\"a\"}}", "presence_stats id=2 channel=a; end"},
	{"{\"id\":2,\"rpc\":{\"data\":null}}", "rpc id=2 data=null; end"},
	{"{\"id\":2,\"rpc\":{\"method\":\"m\",\"data\":[ 1.0 ]}}", "rpc id=2 method=m data=[ 1.0 ]; end"},
	{"{\"id\":2,\"refresh\":{\"token\":\"t\"}}", "refresh id=2 token=t; end"},
	{"{\"id\":2,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"t\",\"type\":4,"
         "\"track\":[{\"signature\":\"s\",\"items\":[{\"key\":\"k\",\"version\":7}]}],\"untrack\":[\"x\"]}}",
         "sub_refresh id=2 channel=a token=t type=4; end"},
	{"{\"id\":2,\"sub_refresh\":{\"channel\":\"a\",\"untrack\":[1]}}", "bad"},
	{"{\"id\":2,\"sub_refresh\":{\"channel\":\"a\",\"track\":[{\"items\":[{\"version\":-7}]}]}}", "bad"},
};

static void test_messages(void **state)
{
	struct buf said;
	struct buf scratch;

	buf_init(&said, 10000);
	buf_init(&scratch, CODEC_SCRATCH_MAX(10000));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		say_message(&said, BYTES_OF_STR(cases[i].message), &scratch);
		buf_putc(&said, '\0');
		if (strcmp(said.data, cases[i].said) != 0)
			fail_msg("%s\n is      %s\n and not %s", cases[i].message, said.data, cases[i].said);
	}
	buf_free(&said);
	buf_free(&scratch);
}

/* Payloads of the recordings: they come out of `publish` and go into a push as they are. */
static void test_payloads_keep_their_text(void **state)
{
	static const char *const payloads[] = {
		"\"hello\"",
		"\"\"",
		"0",
		"-0",
		"null",
		"false",
		"{}",
		"[]",
		"1.0",
		"[1.50,0.10,100.00]",
		"[1e400,1E+2,1e-7,-2.5e10]",
		"123456789012345678901234567890",
		"\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
		"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
		"\"\\ud800\"",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"\"<b>&amp;</b>\"",
		"\"a\xe2\x80\xa8"
		"b\xe2\x80\xa9"
		"c\"",
		"{\"a\":1,\"b\":2,\"a\":3}",
		"{ \"a\" : [ 1 , 2 ] ,  \"b\" :\t\"x y\" }",
		"{\"10\":1,\"9\":2,\"a\":3,\"\":4}",
		"{\"id\":1,\"id\":2,\"channel\":1,\"data\":2,\"data\":3}",
	};
	struct buf text;
	struct buf scratch;
	struct bytes rest;
	struct command cmd;
	struct publication publication = {0};
	struct push push = {.kind = PUSH_PUBLICATION, .publication = &publication, .channel = BYTES("c")};
	struct buf want;

	buf_init(&text, 1000);
	buf_init(&scratch, 1000);
	buf_init(&want, 1000);
	for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
		buf_reset(&text);
		buf_putf(&text, "{\"id\":3,\"publish\":{\"channel\":\"c\",\"data\":%s}}", payloads[i]);
		rest = buf_bytes(&text);
		assert_int_equal(codec_json.next(&rest, true, &scratch, &cmd), CODEC_COMMAND);
		publication.data = cmd.publish.data;
		buf_reset(&want);
		buf_putf(&want, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":%s}}}", payloads[i]);
		buf_reset(&scratch);
		codec_json.put_push(&scratch, &push, false);
		assert_true(bytes_eq(buf_bytes(&scratch), buf_bytes(&want)));
	}
	buf_free(&text);
	buf_free(&scratch);
	buf_free(&want);
}

static void test_rest_is_left_for_later(void **state)
{
	struct bytes rest = BYTES("{\"id\":1,\"connect\":{}}\nrubbish\n{}");
	struct buf scratch;
	struct command cmd;

	buf_init(&scratch, 1000);
	assert_int_equal(codec_json.next(&rest, true, &scratch, &cmd), CODEC_COMMAND);
	assert_true(bytes_eq(rest, BYTES("rubbish\n{}")));
	assert_null(scratch.data);
	buf_free(&scratch);
}

static void test_subs_are_bounded_by_scratch(void **state)
{
	struct buf message;
	struct buf scratch;
	struct buf said;

	buf_init(&message, 100000);
	buf_init(&said, 1000000);
	buf_puts(&message, "{\"id\":1,\"connect\":{\"token\":\"\\u0061\",\"subs\":{");
	for (int i = 0; i < 1024; i++)
		buf_putf(&message, "%s\"\\u006e%d\":{}", i > 0 ? "," : "", i);
	buf_puts(&message, "}}}");
	buf_init(&scratch, CODEC_SCRATCH_MAX(message.len));
	say_message(&said, buf_bytes(&message), &scratch);
	assert_true(bytes_start_with(buf_bytes(&said),
	                             BYTES("connect id=1 token=a [ channel=n0 ] [ channel=n1 ]")));
	assert_memory_equal(said.data + said.len - 22, "[ channel=n1023 ]; end", 22);
	buf_free(&scratch);
	buf_init(&scratch, 1024);
	say_message(&said, buf_bytes(&message), &scratch);
	assert_true(bytes_eq(buf_bytes(&said), BYTES("bad")));
	buf_free(&scratch);
	buf_free(&message);
	buf_free(&said);
}

static void put_deep_filter(struct buf *message, int levels)
{
	buf_reset(message);
	buf_puts(message, "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"tf\":");
	for (int i = 1; i < levels; i++)
		buf_puts(message, "{\"nodes\":[");
	buf_puts(message, "{\"key\":\"k\"}");
	for (int i = 1; i < levels; i++)
		buf_puts(message, "]}");
	buf_puts(message, "}}");
}

static void test_filters_have_a_depth(void **state)
{
	struct buf message;
	struct buf scratch;
	struct buf said;

	buf_init(&message, 10000);
	buf_init(&scratch, 10000);
	buf_init(&said, 10000);
	put_deep_filter(&message, 8);
	say_message(&said, buf_bytes(&message), &scratch);
	assert_true(bytes_start_with(buf_bytes(&said), BYTES("subscribe id=1 channel=a tf=")));
	put_deep_filter(&message, 9);
	say_message(&said, buf_bytes(&message), &scratch);
	assert_true(bytes_eq(buf_bytes(&said), BYTES("bad")));
	buf_free(&message);
	buf_free(&scratch);
	buf_free(&said);
}

static void test_connect_request_of_unidirectional_clients(void **state)
{
	static const char *const bad[] = {
		"", " ", "[]", "5", "{\"name\":1}", "{\"name\":\"a\",\"name\":\"a\"}", "{} {}"};
	struct connect_request request;
	struct buf scratch;
	struct buf said;

	buf_init(&scratch, 10000);
	buf_init(&said, 10000);
	assert_true(codec_json.connect_request(BYTES("{}"), &scratch, &request));
	assert_true(codec_json.connect_request(BYTES("null"), &scratch, &request));
	say_connect(&said, &request);
	assert_int_equal(said.len, 0);
	assert_true(codec_json.connect_request(
		BYTES("{\n \"token\": \"t\\u0074\", \"subs\": {\"\\u0061\":{}, \"b\":{\"recover\":true}}\n}\n"),
		&scratch, &request));
	say_connect(&said, &request);
	assert_true(bytes_eq(buf_bytes(&said), BYTES(" token=tt [ channel=a ] [ channel=b recover ]")));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(codec_json.connect_request(BYTES_OF_STR(bad[i]), &scratch, &request));
	buf_free(&scratch);
	buf_free(&said);
}

/* The message in memory of exactly its size, read twice with the same outcome. */
static void read_copy(struct bytes message, struct buf *said, struct buf *scratch)
{
	char *copy = mem_realloc(NULL, message.len ? message.len : 1);

	memcpy(copy, message.ptr, message.len);
	say_message(said, (struct bytes){copy, message.len}, scratch);
	mem_free(copy);
}

static void test_truncated_and_changed_messages_are_survived(void **state)
{
	struct buf said;
	struct buf scratch;
	struct buf changed;
	unsigned seed = 1;

	buf_init(&said, 100000);
	buf_init(&scratch, CODEC_SCRATCH_MAX(10000));
	buf_init(&changed, 10000);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes message = BYTES_OF_STR(cases[i].message);

		for (size_t len = 0; len < message.len; len++)
			read_copy((struct bytes){message.ptr, len}, &said, &scratch);
		for (int round = 0; round < 200 && message.len > 0; round++) {
			buf_reset(&changed);
			buf_put_bytes(&changed, message);
			for (int n = 1 + rand_r(&seed) % 3; n > 0; n--)
				changed.data[(unsigned)rand_r(&seed) % changed.len] =
					"{}[]\",:\\ \nu01a"[(unsigned)rand_r(&seed) % 15];
			read_copy(buf_bytes(&changed), &said, &scratch);
		}
	}
	buf_free(&said);
	buf_free(&scratch);
	buf_free(&changed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_payloads_keep_their_text),
		cmocka_unit_test(test_rest_is_left_for_later),
		cmocka_unit_test(test_subs_are_bounded_by_scratch),
		cmocka_unit_test(test_filters_have_a_depth),
		cmocka_unit_test(test_connect_request_of_unidirectional_clients),
		cmocka_unit_test(test_truncated_and_changed_messages_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
