/* message_json.c: every reply and push as the recorded conversations of the reference engine have it,
 * character by character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec.h"

static const struct client_info nobody = {.user = BYTES(""), .client = BYTES("c1")};
static const struct client_info ann = {.user = BYTES("ann"),
                                       .client = BYTES("c2"),
                                       .conn_info = BYTES("{\"name\":\"Ann\"}"),
                                       .chan_info = BYTES("null")};
static const struct tag tags[] = {{BYTES("kind"), BYTES("note")}, {BYTES("a<b"), BYTES("")}};
static const struct subscribe_result plain = {.channel = BYTES("news")};
static const struct subscribe_result recovered = {
	.channel = BYTES("hist:a"),
	.recoverable = true,
	.epoch = BYTES("ep"),
	.publications = BYTES("{\"data\":1.0,\"offset\":1},{\"data\":2},"),
	.recovered = true,
	.positioned = true,
	.was_recovering = true};
static const struct subscribe_result all = {.expires = true,
                                            .ttl = 3600,
                                            .recoverable = true,
                                            .epoch = BYTES("ep"),
                                            .offset = UINT64_MAX,
                                            .positioned = true,
                                            .data = BYTES("{\"x\":1}"),
                                            .delta = true};
static const struct subscribe_result subs[] = {{.channel = BYTES("news")},
                                               {.channel = BYTES("#42"), .offset = 17, .positioned = true}};
static const struct connect_result connected = {
	.client = BYTES("c1"), .version = BYTES("0.1.0"), .ping = 25, .pong = true};
static const struct connect_result connected_all = {.client = BYTES("c1"),
                                                    .version = BYTES("0.1.0"),
                                                    .expires = true,
                                                    .ttl = 60,
                                                    .data = BYTES("[1]"),
                                                    .subs = subs,
                                                    .sub_count = 2,
                                                    .ping = 25,
                                                    .pong = true,
                                                    .session = BYTES("s1"),
                                                    .time_ms = 1700000000000};

static const struct {
	struct reply reply;
	const char *text;
} replies[] = {
	{{.id = 1, .kind = COMMAND_CONNECT, .connect = &connected},
         "{\"id\":1,\"connect\":{\"client\":\"c1\",\"version\":\"0.1.0\",\"ping\":25,\"pong\":true}}"},
	{{.id = 4294967295, .kind = COMMAND_CONNECT, .connect = &connected_all},
         "{\"id\":4294967295,\"connect\":{\"client\":\"c1\",\"version\":\"0.1.0\",\"expires\":true,\"ttl\":60,\"data\":[1],"
         "\"subs\":{\"news\":{},\"#42\":{\"offset\":17,\"positioned\":true}},\"ping\":25,\"pong\":true,"
         "\"session\":\"s1\",\"time\":1700000000000}}"},
	{{.id = 2, .kind = COMMAND_SUBSCRIBE, .subscribe = &plain}, "{\"id\":2,\"subscribe\":{}}"},
	{{.id = 3, .kind = COMMAND_SUBSCRIBE, .subscribe = &recovered},
         "{\"id\":3,\"subscribe\":{\"recoverable\":true,\"epoch\":\"ep\",\"publications\":[{\"data\":1.0,\"offset\":1},"
         "{\"data\":2}],\"recovered\":true,"
         "\"positioned\":true,\"was_recovering\":true}}"},
	{{.id = 3, .kind = COMMAND_SUBSCRIBE, .subscribe = &all},
         "{\"id\":3,\"subscribe\":{\"expires\":true,\"ttl\":3600,\"recoverable\":true,\"epoch\":\"ep\","
         "\"offset\":18446744073709551615,\"positioned\":true,\"data\":{\"x\":1},\"delta\":true}}"},
	{{.id = 4, .kind = COMMAND_UNSUBSCRIBE}, "{\"id\":4,\"unsubscribe\":{}}"},
	{{.id = 5, .kind = COMMAND_PUBLISH}, "{\"id\":5,\"publish\":{}}"},
	{{.id = 6, .kind = COMMAND_SUB_REFRESH}, "{\"id\":6,\"sub_refresh\":{}}"},
	{{.id = 7, .kind = COMMAND_SUBSCRIBE, .error = ERROR_PERMISSION_DENIED},
         "{\"id\":7,\"error\":{\"code\":103,\"message\":\"permission denied\"}}"},
	{{.id = 8, .kind = COMMAND_PUBLISH, .error = ERROR_INTERNAL},
         "{\"id\":8,\"error\":{\"code\":100,\"message\":\"internal server error\",\"temporary\":true}}"},
};

static void test_replies(void **state)
{
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
		buf_reset(&out);
		codec_json.put_reply(&out, &replies[i].reply);
		buf_putc(&out, '\0');
		assert_true(buf_ok(&out));
		assert_string_equal(out.data, replies[i].text);
	}
	buf_free(&out);
}

static const struct publication history[] = {
	{.data = BYTES("1.0"), .offset = 1, .epoch = BYTES("ep")},
	{.data = BYTES("{ \"a\" : 1 }"), .offset = 2, .info = &nobody},
};

static void test_publications_of_a_result_are_put_one_behind_the_other(void **state)
{
	struct subscribe_result result = {.recovered = true};
	struct buf publications, out;

	buf_init(&publications, 1000);
	buf_init(&out, 1000);
	for (size_t i = 0; i < ARRAY_LEN(history); i++)
		codec_json.put_publication(&publications, &history[i]);
	result.publications = buf_bytes(&publications);
	codec_json.put_reply(&out, &(struct reply){.id = 3, .kind = COMMAND_SUBSCRIBE, .subscribe = &result});
	assert_true(
		bytes_eq(buf_bytes(&out), BYTES("{\"id\":3,\"subscribe\":{\"publications\":["
	                                        "{\"data\":1.0,\"offset\":1},{\"data\":{ \"a\" : 1 },"
	                                        "\"info\":{\"user\":\"\",\"client\":\"c1\"},\"offset\":2}],"
	                                        "\"recovered\":true}}")));
	buf_free(&publications);
	buf_free(&out);
}

static const struct publication simple = {.data = BYTES("{\"n\":1}")};
static const struct publication first = {
	.data = BYTES("\"<\""), .offset = 1, .epoch = BYTES("ep"), .info = &ann};
static const struct publication second = {
	.data = BYTES("2"), .offset = 2, .epoch = BYTES("ep"), .tags = tags, .tag_count = 2};

static const struct {
	struct push push;
	bool uni;
	const char *text;
} pushes[] = {
	{{.kind = PUSH_PUBLICATION, .channel = BYTES("live:a"), .publication = &simple},
         false,
         "{\"push\":{\"channel\":\"live:a\",\"pub\":{\"data\":{\"n\":1}}}}"},
	{{.kind = PUSH_PUBLICATION, .channel = BYTES("live:a"), .publication = &simple},
         true,
         "{\"channel\":\"live:a\",\"pub\":{\"data\":{\"n\":1}}}"},
	{{.kind = PUSH_PUBLICATION, .channel = BYTES("a&b"), .publication = &first},
         false,
         "{\"push\":{\"channel\":\"a\\u0026b\",\"pub\":{\"data\":\"<\",\"info\":{\"user\":\"ann\",\"client\":\"c2\","
         "\"conn_info\":{\"name\":\"Ann\"},\"chan_info\":null},\"offset\":1,\"epoch\":\"ep\"}}}"},
	{{.kind = PUSH_PUBLICATION, .channel = BYTES("a"), .publication = &second},
         true,
         "{\"channel\":\"a\",\"pub\":{\"data\":2,\"offset\":2,\"tags\":{\"kind\":\"note\",\"a\\u003cb\":\"\"}}}"},
	{{.kind = PUSH_UNSUBSCRIBE, .channel = BYTES("a"), .unsubscribe = {2500, "insufficient state"}},
         false,
         "{\"push\":{\"channel\":\"a\",\"unsubscribe\":{\"code\":2500,\"reason\":\"insufficient state\"}}}"},
	{{.kind = PUSH_DISCONNECT, .disconnect = {3005, "connection expired"}},
         true,
         "{\"disconnect\":{\"code\":3005,\"reason\":\"connection expired\"}}"},
	{{.kind = PUSH_CONNECT, .connect = &connected},
         true,
         "{\"connect\":{\"client\":\"c1\",\"version\":\"0.1.0\",\"ping\":25,\"pong\":true}}"},
};

static void test_pushes(void **state)
{
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < ARRAY_LEN(pushes); i++) {
		buf_reset(&out);
		codec_json.put_push(&out, &pushes[i].push, pushes[i].uni);
		buf_putc(&out, '\0');
		assert_true(buf_ok(&out));
		assert_string_equal(out.data, pushes[i].text);
	}
	buf_free(&out);
}

static void test_ping_is_the_empty_object(void **state)
{
	struct buf out;

	buf_init(&out, 1000);
	codec_json.put_ping(&out);
	assert_true(bytes_eq(buf_bytes(&out), BYTES("{}")));
	buf_free(&out);
}

/* A message that does not fit leaves a failed buf at whatever length the ceiling has, and no crash. */
static void test_a_full_buf_is_survived(void **state)
{
	struct buf out;

	for (size_t max = 0; max < 200; max++) {
		buf_init(&out, max);
		codec_json.put_reply(&out, &replies[1].reply);
		assert_false(buf_ok(&out));
		buf_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_publications_of_a_result_are_put_one_behind_the_other),
		cmocka_unit_test(test_pushes),
		cmocka_unit_test(test_ping_is_the_empty_object),
		cmocka_unit_test(test_a_full_buf_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
