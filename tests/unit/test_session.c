/* Sessions over a fake connection, a fake loop and a fake Redis: the checks of each command in their order,
 * the order of answers, what is held back, and the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "config.h"
#include "fake_conn.h"
#include "fake_loop.h"
#include "fake_redis.h"
#include "hub.h"
#include "metrics.h"
#include "session.h"

#define CONNECTED                                                                     \
	"{\"id\":1,\"connect\":{\"client\":\"<uuid>\",\"version\":\"" FANFARE_VERSION \
	"\",\"ping\":25,\"pong\":true}}\n"
#define ERROR(id, code, message) \
	"{\"id\":" #id ",\"error\":{\"code\":" #code ",\"message\":\"" message "\"}}\n"
#define INTERNAL(id) \
	"{\"id\":" #id ",\"error\":{\"code\":100,\"message\":\"internal server error\",\"temporary\":true}}\n"

static char prefix[] = "";
static struct channel_options namespaces[] = {
	{.name = (char[]){"live"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_publish_for_client = true,
         .allow_publish_for_anonymous = true},
	{.name = (char[]){"deny"}},
	{.name = (char[]){"users"}, .allow_subscribe_for_client = true},
	{.name = (char[]){"limited"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_user_limited_channels = true},
	{.name = (char[]){"subpub"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_publish_for_subscriber = true,
         .allow_publish_for_anonymous = true},
	{.name = (char[]){"object"},
         .allow_publish_for_client = true,
         .allow_publish_for_anonymous = true,
         .publication_data_format = DATA_FORMAT_JSON_OBJECT},
	{.name = (char[]){"kept"},
         .allow_subscribe_for_client = true,
         .allow_subscribe_for_anonymous = true,
         .allow_history_for_client = true,
         .allow_history_for_anonymous = true,
         .force_recovery = true,
         .history_size = 100,
         .history_ttl_ms = 60000,
         .history_meta_ttl_ms = 60000},
};

static struct {
	struct config config;
	struct hub *hub;
	struct clients *clients;
	struct conn conn;
} t;

static void on_ready(void *ctx, bool ready, const char *reason)
{
}

/* Each test is one turn. */
static void on_turn_began(void *ctx)
{
}

static void open_conn(struct conn *c, const struct session_params *params)
{
	static const struct http1_request request;

	fake_conn_init(c);
	session_upgrade(t.clients, c, &request, params);
}

static int setup(void **state)
{
	const struct hub_events events = {
		.deliver = session_deliver,
		.subscribed = session_subscribed,
		.lost = session_lost,
		.describe = session_describe,
		.turn_began = on_turn_began,
		.ready = on_ready,
	};

	memset(&t, 0, sizeof(t));
	clock_freeze(1000000, 1700000000000);
	t.config.redis.prefix = prefix;
	t.config.redis.call_timeout_ms = 5000;
	t.config.client.allow_anonymous_connect_without_token = true;
	t.config.client.ping_interval_ms = 25000;
	t.config.client.pong_timeout_ms = 8000;
	t.config.client.stale_close_delay_ms = 10000;
	t.config.client.queue_max_size = 1 << 20;
	t.config.client.recovery_max_publication_limit = 100;
	t.config.client.history_max_publication_limit = 100;
	t.config.history.cache_size = 16 << 20;
	t.config.client.channel_limit = 3;
	t.config.websocket.message_size_limit = 65536;
	t.config.uni_websocket.message_size_limit = 65536;
	t.config.channel.max_length = 30;
	t.config.channel.without_namespace = namespaces[0];
	t.config.channel.namespaces = namespaces;
	t.config.channel.namespace_count = sizeof(namespaces) / sizeof(namespaces[0]);
	t.hub = hub_new(NULL, &t.config, NULL, "node", NULL, NULL, &events);
	t.clients = clients_new(NULL, &t.config, t.hub);
	fake_redis_confirm_at_once(true);
	open_conn(&t.conn, &(struct session_params){0});
	return 0;
}

static int teardown(void **state)
{
	fake_conn_free(&t.conn);
	fake_loop_turn();
	assert_int_equal(fake_loop_timers(), 0);
	assert_int_equal(fake_redis_calls(), 0);
	assert_int_equal(hub_channel_count(t.hub), 0);
	clients_free(&t.clients);
	hub_free(&t.hub);
	return 0;
}

static void say(const char *message)
{
	fake_conn_say(&t.conn, message);
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

static void hear(const char *messages)
{
	assert_string_equal(fake_conn_heard(&t.conn), messages);
}

static void assert_closed(enum disconnect_code code)
{
	assert_false(t.conn.open);
	assert_int_equal(t.conn.code, code);
	assert_string_equal(t.conn.reason, disconnect_reason(code));
}

static void connect_client(void)
{
	say("{\"id\":1,\"connect\":{}}");
	hear(CONNECTED);
}

/* One command by a connected client, and what it is answered with. */
static void ask(const char *command, const char *answer)
{
	say(command);
	hear(answer);
	assert_true(t.conn.open);
}

/* One command that ends the session without an answer; then a new, connected one. */
static void ask_fatal(const char *command, enum disconnect_code code)
{
	say(command);
	hear("");
	assert_closed(code);
	fake_conn_free(&t.conn);
	open_conn(&t.conn, &(struct session_params){0});
	connect_client();
}

static void confirm(const char *channel)
{
	fake_redis_confirm(channel);
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

static void answer_redis(bool well)
{
	static const struct redis_reply one = {.type = REDIS_INTEGER, .integer = 1};

	fake_redis_answer(well ? &one : NULL);
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

/* --- connect --- */

static void nothing_but_connect_comes_first(void **state)
{
	static const char *const first[] = {
		"{}",
		"{\"id\":1,\"subscribe\":{\"channel\":\"a\"}}",
		"{\"send\":{\"data\":1}}",
		"{\"connect\":{}}",
		"{\"id\":1}",
		"{\"id\":1,\"ping\":{}}",
		"",
		"\n",
		"x",
	};

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		say(first[i]);
		hear("");
		assert_closed(DISCONNECT_BAD_REQUEST);
		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
	}
}

static void a_second_connect_is_fatal(void **state)
{
	say("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"connect\":{}}");
	hear(CONNECTED);
	assert_closed(DISCONNECT_BAD_REQUEST);
}

static void a_token_cannot_be_verified(void **state)
{
	say("{\"id\":1,\"connect\":{\"token\":\"x\"}}");
	assert_closed(DISCONNECT_INVALID_TOKEN);
}

static void anonymous_clients_are_let_in_only_where_allowed(void **state)
{
	t.config.client.allow_anonymous_connect_without_token = false;
	say("{\"id\":1,\"connect\":{}}");
	assert_closed(DISCONNECT_BAD_REQUEST);
}

static void the_time_is_told_if_configured(void **state)
{
	t.config.client.connect_include_server_time = true;
	t.config.client.ping_interval_ms = 0;
	say("{\"id\":1,\"connect\":{}}");
	hear("{\"id\":1,\"connect\":{\"client\":\"<uuid>\",\"version\":\"" FANFARE_VERSION
	     "\",\"time\":1700000000000}}\n");
}

static void connect_subscribes_to_what_the_client_may_have(void **state)
{
	say("{\"id\":1,\"connect\":{\"subs\":{\"live:a\":{\"recover\":true},\"deny:a\":{},\"$live:b\":{},"
	    "\"live:0123456789012345678901234567890\":{},\"live:a\":{}}}}\n"
	    "{\"id\":2,\"subscribe\":{\"channel\":\"live:a\"}}\n"
	    "{\"id\":3,\"sub_refresh\":{\"channel\":\"live:a\",\"token\":\"x\"}}");
	hear("{\"id\":1,\"connect\":{\"client\":\"<uuid>\",\"version\":\"" FANFARE_VERSION
	     "\",\"subs\":{\"live:a\":{\"was_recovering\":true}},\"ping\":25,\"pong\":true}}\n" ERROR(
		     2, 105, "already subscribed"));
	assert_closed(DISCONNECT_BAD_REQUEST);
}

static void connect_waits_for_its_channels_and_the_rest_waits_for_connect(void **state)
{
	fake_redis_confirm_at_once(false);
	say("{\"id\":1,\"connect\":{\"subs\":{\"live:a\":{},\"live:b\":{}}}}\n"
	    "{\"id\":2,\"unsubscribe\":{\"channel\":\"live:b\"}}");
	say("{\"id\":3,\"rpc\":{}}");
	confirm("live:b");
	fake_redis_message("live:b", "1");
	hear("");
	confirm("live:a");
	hear("{\"id\":1,\"connect\":{\"client\":\"<uuid>\",\"version\":\"" FANFARE_VERSION
	     "\",\"subs\":{\"live:a\":{},\"live:b\":{}},\"ping\":25,\"pong\":true}}\n"
	     "{\"id\":2,\"unsubscribe\":{}}\n" ERROR(3, 108, "not available"));
	fake_redis_message("live:a", "1");
	hear("{\"push\":{\"channel\":\"live:a\",\"pub\":{\"data\":1}}}\n");
}

static void after_an_error_to_connect_nothing_is_read(void **state)
{
	fake_redis_set_ready(false);
	say("{\"id\":1,\"connect\":{\"subs\":{\"live:a\":{}}}}\n{\"id\":2,\"connect\":{}}");
	hear(INTERNAL(1));
	assert_true(t.conn.open && t.conn.deaf);
	fake_loop_advance(10000);
	assert_closed(DISCONNECT_STALE);
}

static void connect_gives_up_when_redis_does_not_confirm(void **state)
{
	fake_redis_confirm_at_once(false);
	t.config.client.stale_close_delay_ms = 2000;
	fake_conn_free(&t.conn);
	open_conn(&t.conn, &(struct session_params){0});
	say("{\"id\":1,\"connect\":{\"subs\":{\"live:a\":{},\"live:b\":{}}}}\n{\"id\":2,\"rpc\":{}}");
	fake_loop_advance(4999);
	hear("");
	fake_loop_advance(1);
	hear(INTERNAL(1));
	assert_true(t.conn.open && t.conn.deaf);
	assert_int_equal(fake_redis_subs(), 0);
}

static void connect_with_channels_that_cannot_be(void **state)
{
	say("{\"id\":1,\"connect\":{\"subs\":{\"live:a\":{},\"nosuch:a\":{}}}}");
	assert_closed(DISCONNECT_BAD_REQUEST);
	fake_conn_free(&t.conn);
	open_conn(&t.conn, &(struct session_params){0});
	say("{\"id\":1,\"connect\":{\"subs\":{\"a\":{},\"b\":{},\"c\":{},\"d\":{}}}}");
	assert_closed(DISCONNECT_CHANNEL_LIMIT);
	assert_int_equal(fake_redis_subs(), 0);
}

/* --- checks of commands --- */

static void checks_of_subscribe(void **state)
{
	connect_client();
	ask_fatal("{\"id\":2,\"subscribe\":{}}", DISCONNECT_BAD_REQUEST);
	ask_fatal("{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"delta\":\"x\"}}", DISCONNECT_BAD_REQUEST);
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":4,\"delta\":\"x\"}}",
	    ERROR(2, 108, "not available"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":5,\"delta\":\"x\"}}",
	    ERROR(2, 107, "bad request"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":-1}}", ERROR(2, 107, "bad request"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"type\":1}}", ERROR(2, 107, "bad request"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"nosuch:a\",\"type\":1}}",
	    ERROR(2, 102, "unknown channel"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"nosuch:01234567890123456789012\"}}",
	    ERROR(2, 102, "unknown channel"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"nosuch:012345678901234567890123\"}}",
	    ERROR(2, 107, "bad request"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"\u00e9\"}}", ERROR(2, 107, "bad request"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"$live:a\"}}", ERROR(2, 103, "permission denied"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"token\":\"x\"}}",
	    ERROR(2, 103, "permission denied"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"deny:a\",\"tf\":{}}}",
	    ERROR(2, 103, "permission denied"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"users:a\"}}", ERROR(2, 103, "permission denied"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"limited:a#42,\"}}", ERROR(2, 103, "permission denied"));
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"a\",\"tf\":{}}}", ERROR(2, 107, "bad request"));
	assert_int_equal(fake_redis_subs(), 0);
	ask("{\"id\":2,\"subscribe\":{\"channel\":\"a#42\",\"delta\":\"fossil\"}}",
	    "{\"id\":2,\"subscribe\":{}}\n");
	ask("{\"id\":3,\"subscribe\":{\"channel\":\"b\",\"recover\":true}}",
	    "{\"id\":3,\"subscribe\":{\"was_recovering\":true}}\n");
	ask("{\"id\":4,\"subscribe\":{\"channel\":\"c\"}}", "{\"id\":4,\"subscribe\":{}}\n");
	ask("{\"id\":5,\"subscribe\":{\"channel\":\"nosuch:a\"}}", ERROR(5, 106, "limit exceeded"));
	ask("{\"id\":6,\"subscribe\":{\"channel\":\"b\"}}", ERROR(6, 105, "already subscribed"));
}

static void checks_of_publish(void **state)
{
	connect_client();
	ask_fatal("{\"id\":2,\"publish\":{\"data\":1}}", DISCONNECT_BAD_REQUEST);
	ask("{\"id\":2,\"publish\":{\"channel\":\"a\",\"type\":1,\"key\":\"k\"}}",
	    ERROR(2, 108, "not available"));
	ask("{\"id\":2,\"publish\":{\"channel\":\"nosuch:a\"}}", ERROR(2, 102, "unknown channel"));
	ask("{\"id\":2,\"publish\":{\"channel\":\"deny:a\"}}", ERROR(2, 103, "permission denied"));
	ask("{\"id\":2,\"publish\":{\"channel\":\"a\"}}", ERROR(2, 107, "bad request"));
	ask("{\"id\":2,\"publish\":{\"channel\":\"object:a\",\"data\":[1]}}", ERROR(2, 107, "bad request"));
	ask("{\"id\":2,\"publish\":{\"channel\":\"subpub:a\",\"data\":1}}",
	    ERROR(2, 103, "permission denied"));
	ask("{\"id\":3,\"subscribe\":{\"channel\":\"subpub:a\"}}", "{\"id\":3,\"subscribe\":{}}\n");
	ask("{\"id\":4,\"publish\":{\"channel\":\"subpub:a\",\"data\":null}}", "");
	answer_redis(true);
	hear("{\"id\":4,\"publish\":{}}\n");
	ask("{\"id\":5,\"publish\":{\"channel\":\"object:a\",\"data\":{}}}", "");
	answer_redis(false);
	hear(INTERNAL(5));
	ask("{\"id\":6,\"unsubscribe\":{\"channel\":\"subpub:a\"}}", "{\"id\":6,\"unsubscribe\":{}}\n");
	ask("{\"id\":7,\"publish\":{\"channel\":\"subpub:a\",\"data\":1}}",
	    ERROR(7, 103, "permission denied"));
}

static void a_publication_names_its_sender(void **state)
{
	connect_client();
	say("{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":{\"x\" : 1.0}}}");
	assert_non_null(strstr(fake_redis_call(), "PUBLISH a {\"fanfare\":1,"));
	assert_non_null(strstr(fake_redis_call(), "\"user\":\"\",\"client\":\""));
	assert_non_null(strstr(fake_redis_call(), "\"data\":{\"x\" : 1.0}}"));
	answer_redis(true);
}

static void checks_of_other_commands(void **state)
{
	connect_client();
	ask_fatal("{\"id\":2,\"unsubscribe\":{}}", DISCONNECT_BAD_REQUEST);
	ask_fatal("{\"id\":2,\"presence\":{}}", DISCONNECT_BAD_REQUEST);
	ask_fatal("{\"id\":2,\"presence_stats\":{}}", DISCONNECT_BAD_REQUEST);
	ask_fatal("{\"id\":2,\"history\":{}}", DISCONNECT_BAD_REQUEST);
	ask_fatal("{\"id\":2,\"refresh\":{}}", DISCONNECT_BAD_REQUEST);
	ask_fatal("{\"id\":2,\"refresh\":{\"token\":\"x\"}}", DISCONNECT_INVALID_TOKEN);
	ask_fatal("{\"id\":2,\"sub_refresh\":{\"token\":\"x\"}}", DISCONNECT_BAD_REQUEST);
	ask_fatal("{\"send\":{\"data\":1}}", DISCONNECT_NOT_AVAILABLE);
	ask_fatal("{\"id\":2,\"ping\":{}}", DISCONNECT_BAD_REQUEST);
	ask("{\"id\":2,\"unsubscribe\":{\"channel\":\"nosuch:a\"}}", "{\"id\":2,\"unsubscribe\":{}}\n");
	ask("{\"id\":2,\"presence\":{\"channel\":\"nosuch:a\"}}", ERROR(2, 102, "unknown channel"));
	ask("{\"id\":2,\"presence\":{\"channel\":\"a\"}}", ERROR(2, 108, "not available"));
	ask("{\"id\":2,\"presence_stats\":{\"channel\":\"a\"}}", ERROR(2, 108, "not available"));
	ask("{\"id\":2,\"history\":{\"channel\":\"nosuch:a\"}}", ERROR(2, 102, "unknown channel"));
	ask("{\"id\":2,\"history\":{\"channel\":\"a\",\"limit\":-1}}", ERROR(2, 108, "not available"));
	ask("{\"id\":2,\"rpc\":{}}", ERROR(2, 108, "not available"));
	ask("{\"id\":2,\"ping\":{},\"subscribe\":{\"channel\":\"a\"}}", ERROR(2, 108, "not available"));
	ask("{\"id\":2,\"sub_refresh\":{\"channel\":\"a\"}}", ERROR(2, 103, "permission denied"));
	ask("{\"id\":3,\"subscribe\":{\"channel\":\"a\"}}", "{\"id\":3,\"subscribe\":{}}\n");
	ask("{\"id\":4,\"sub_refresh\":{\"channel\":\"a\"}}", ERROR(4, 107, "bad request"));
	ask_fatal("{\"id\":5,\"sub_refresh\":{\"channel\":\"a\",\"token\":\"x\"}}", DISCONNECT_INVALID_TOKEN);
}

/* --- order --- */

static void subscribes_overlap_and_are_answered_in_their_order(void **state)
{
	connect_client();
	fake_redis_confirm_at_once(false);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"subscribe\":{\"channel\":\"a\"}}");
	say("{\"id\":4,\"subscribe\":{\"channel\":\"b\"}}");
	assert_int_equal(fake_redis_subs(), 2);
	confirm("b");
	fake_redis_message("b", "1");
	hear("");
	confirm("a");
	fake_redis_message("b", "2");
	hear("{\"id\":2,\"subscribe\":{}}\n" ERROR(
		3, 105, "already subscribed") "{\"id\":4,\"subscribe\":{}}\n"
	                                      "{\"push\":{\"channel\":\"b\",\"pub\":{\"data\":2}}}\n");
	assert_false(t.conn.paused);
}

static void other_commands_wait_for_those_before_them(void **state)
{
	connect_client();
	fake_redis_confirm_at_once(false);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"publish\":{\"channel\":\"a\",\"data\":1}}\n"
	    "{\"id\":4,\"publish\":{\"channel\":\"a\",\"data\":2}}\n{\"id\":5,\"unsubscribe\":{\"channel\":\"a\"}}");
	assert_true(t.conn.paused);
	say("{\"id\":6,\"rpc\":{}}");
	assert_int_equal(fake_redis_calls(), 0);
	confirm("a");
	hear("{\"id\":2,\"subscribe\":{}}\n");
	assert_int_equal(fake_redis_calls(), 2);
	assert_true(t.conn.paused);
	answer_redis(true);
	hear("{\"id\":3,\"publish\":{}}\n");
	answer_redis(false);
	hear(INTERNAL(4) "{\"id\":5,\"unsubscribe\":{}}\n" ERROR(6, 108, "not available"));
	assert_false(t.conn.paused);
}

static void what_is_fatal_waits_for_its_turn(void **state)
{
	static const struct {
		const char *line;
		enum disconnect_code code;
	} fatal[] = {
		{"{\"id\":3,\"subscribe\":{}}", DISCONNECT_BAD_REQUEST},
		{"{\"id\":3,\"rpc\":1}", DISCONNECT_BAD_REQUEST},
		{"{\"id\":3,\"connect\":{}}", DISCONNECT_BAD_REQUEST},
		{"{\"id\":3,\"refresh\":{\"token\":\"x\"}}", DISCONNECT_INVALID_TOKEN},
		{"{\"send\":{}}", DISCONNECT_NOT_AVAILABLE},
		{"{}", DISCONNECT_BAD_REQUEST},
		{" ", DISCONNECT_BAD_REQUEST},
	};

	connect_client();
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text),
		         "{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n%s\n{\"id\":4,\"rpc\":{}}",
		         fatal[i].line);
		fake_redis_confirm_at_once(false);
		say(text);
		assert_true(t.conn.open);
		confirm("a");
		hear("{\"id\":2,\"subscribe\":{}}\n");
		assert_closed(fatal[i].code);
		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
		connect_client();
	}
}

static void an_empty_message_behind_a_pending_command_is_fatal_too(void **state)
{
	connect_client();
	fake_redis_confirm_at_once(false);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
	say("");
	assert_true(t.conn.open);
	confirm("a");
	hear("{\"id\":2,\"subscribe\":{}}\n");
	assert_closed(DISCONNECT_BAD_REQUEST);
}

static void no_more_than_so_many_commands_are_pending(void **state)
{
	unsigned calls = 0;

	connect_client();
	for (int i = 0; i < 1000; i++)
		say("{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}");
	assert_int_equal(fake_redis_calls(), 128);
	assert_true(t.conn.paused);
	for (; fake_redis_calls() > 0; calls++)
		answer_redis(true);
	assert_int_equal(calls, 1000);
	assert_false(t.conn.paused);
}

static void a_subscribe_that_redis_does_not_confirm_fails(void **state)
{
	connect_client();
	fake_redis_confirm_at_once(false);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}");
	fake_loop_advance(1000);
	say("{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}");
	fake_loop_advance(3999);
	hear("");
	fake_loop_advance(1);
	hear(INTERNAL(2));
	assert_int_equal(fake_redis_subs(), 1);
	fake_loop_advance(999);
	hear("");
	fake_loop_advance(1);
	hear(INTERNAL(3));
	fake_redis_confirm_at_once(true);
	ask("{\"id\":4,\"subscribe\":{\"channel\":\"a\"}}", "{\"id\":4,\"subscribe\":{}}\n");
}

static void subscribes_fail_when_redis_goes_away(void **state)
{
	connect_client();
	fake_redis_confirm_at_once(false);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}\n"
	    "{\"id\":4,\"unsubscribe\":{\"channel\":\"a\"}}");
	fake_redis_set_ready(false);
	fake_loop_turn();
	hear(INTERNAL(2) INTERNAL(3) "{\"id\":4,\"unsubscribe\":{}}\n");
	ask("{\"id\":5,\"subscribe\":{\"channel\":\"a\"}}", INTERNAL(5));
}

/* --- ends --- */

static void a_client_that_does_not_read_takes_its_subscriptions_along(void **state)
{
	connect_client();
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}");
	t.conn.room = 1;
	fake_redis_message("a", "1");
	assert_closed(DISCONNECT_SLOW);
	assert_int_equal(hub_channel_count(t.hub), 0);
}

/* Wherever in a batch the queue overflows, the session ends there and nothing is touched afterwards. */
static void a_session_may_end_at_any_answer(void **state)
{
	for (unsigned room = 1; room <= 6; room++) {
		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
		t.conn.room = room;
		fake_redis_confirm_at_once(false);
		say("{\"id\":1,\"connect\":{\"subs\":{\"c\":{}}}}\n{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n"
		    "{\"id\":3,\"subscribe\":{\"channel\":\"b\"}}\n{\"id\":4,\"rpc\":{}}\n"
		    "{\"id\":5,\"publish\":{\"channel\":\"b\",\"data\":1}}");
		confirm("c");
		if (fake_redis_has_sub("b"))
			confirm("b");
		if (fake_redis_has_sub("a"))
			confirm("a");
		while (fake_redis_calls() > 0)
			answer_redis(true);
		assert_int_equal(t.conn.open, room > 5);
		assert_int_equal(fake_redis_subs(), room > 5 ? 3 : 0);
	}
}

static void a_session_may_end_with_everything_pending(void **state)
{
	connect_client();
	fake_redis_confirm_at_once(false);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"rpc\":{}}");
	fake_conn_free(&t.conn);
	assert_int_equal(fake_redis_subs(), 0);
	open_conn(&t.conn, &(struct session_params){0});
	connect_client();
	say("{\"id\":2,\"publish\":{\"channel\":\"a\",\"data\":1}}\n{\"id\":3,\"rpc\":{}}");
	fake_conn_free(&t.conn);
	assert_int_equal(fake_redis_calls(), 0);
}

/* What is held gets its turn in a task; here the session ends between the two. */
static void a_session_may_end_before_what_it_held_goes_on(void **state)
{
	connect_client();
	fake_redis_confirm_at_once(false);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"rpc\":{}}");
	fake_redis_confirm("a");
	conn_close(&t.conn, 0, "", "hung up");
	fake_loop_turn();
	hear("{\"id\":2,\"subscribe\":{}}\n");
}

/* --- anything, in any order --- */

static const char *const some_channels[] = {"a", "b", "c", "live:d", "deny:e"};
enum { SOME_CHANNELS = 5, RANDOM_COMMANDS = 60 };

static size_t put_random_command(char *out, size_t room, unsigned id)
{
	const char *channel = some_channels[rand() % SOME_CHANNELS];

	switch (rand() % 6) {
	case 0:
	case 1:
	case 2:
		return (size_t)snprintf(out, room, "{\"id\":%u,\"subscribe\":{\"channel\":\"%s\"}}", id,
		                        channel);
	case 3:
		return (size_t)snprintf(out, room, "{\"id\":%u,\"unsubscribe\":{\"channel\":\"%s\"}}", id,
		                        channel);
	case 4:
		return (size_t)snprintf(out, room, "{\"id\":%u,\"publish\":{\"channel\":\"%s\",\"data\":1}}",
		                        id, channel);
	default: return (size_t)snprintf(out, room, "{\"id\":%u,\"rpc\":{}}", id);
	}
}

static void say_random_commands(unsigned *id)
{
	char text[1024];
	size_t len = 0;

	for (int n = rand() % 4; n >= 0; n--) {
		len += put_random_command(text + len, sizeof(text) - len, (*id)++);
		text[len++] = n > 0 ? '\n' : '\0';
	}
	say(text);
}

static void do_something_in_redis(void)
{
	const char *channel = some_channels[rand() % SOME_CHANNELS];

	switch (rand() % 6) {
	case 0: fake_redis_set_ready(false); break;
	case 1: fake_redis_set_ready(true); break;
	case 2:
		if (fake_redis_calls() > 0)
			answer_redis(rand() % 2 == 0);
		break;
	case 3:
		if (fake_redis_has_sub(channel))
			fake_redis_message(channel, "1");
		break;
	default:
		if (fake_redis_has_sub(channel))
			fake_redis_confirm(channel);
		break;
	}
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

/* Answers come in the order of ids; between them publications, and nothing else. */
static void check_random_answers(unsigned *next)
{
	static const char answer[] = "{\"id\":";
	const char *line = fake_conn_heard(&t.conn);

	for (; *line != '\0'; line = strchr(line, '\n') + 1) {
		if (strncmp(line, answer, strlen(answer)) == 0)
			assert_int_equal(strtoul(line + strlen(answer), NULL, 10), (*next)++);
		else
			assert_memory_equal(line, "{\"push\":", 8);
	}
}

static void every_command_is_answered_once_and_in_its_place(void **state)
{
	srand(7);
	t.config.client.ping_interval_ms = 0;
	t.config.client.channel_limit = 3;
	for (int round = 0; round < 500; round++) {
		unsigned id = 1, next = 1;

		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
		fake_redis_set_ready(true);
		fake_redis_confirm_at_once(rand() % 2 == 0);
		say("{\"id\":1,\"connect\":{}}");
		id++;
		while (id < RANDOM_COMMANDS) {
			if (rand() % 2 == 0)
				say_random_commands(&id);
			else
				do_something_in_redis();
			if (rand() % 20 == 0)
				fake_loop_advance(3000);
			check_random_answers(&next);
		}
		while (next < id) {
			while (fake_redis_calls() > 0)
				answer_redis(true);
			fake_loop_advance(5000);
			fake_conn_go_on(&t.conn);
			check_random_answers(&next);
		}
		assert_int_equal(next, id);
		assert_true(t.conn.open && !t.conn.paused);
	}
}

/* --- the clock --- */

static void whoever_does_not_connect_is_stale(void **state)
{
	fake_loop_advance(9999);
	assert_true(t.conn.open);
	fake_loop_advance(1);
	assert_closed(DISCONNECT_STALE);
}

static uint64_t wait_for_ping(uint64_t at_most_ms)
{
	for (uint64_t ms = 1; ms <= at_most_ms; ms++) {
		fake_loop_advance(1);
		if (t.conn.out.len > 0) {
			hear("{}\n");
			return ms;
		}
	}
	return 0;
}

static void pings_come_regularly_after_a_random_first(void **state)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (int i = 0; i < 50; i++) {
		uint64_t first;

		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
		connect_client();
		first = wait_for_ping(30000);
		assert_in_range(first, 12500, 25000);
		least = first < least ? first : least;
		most = first > most ? first : most;
		say("{}");
		assert_int_equal(wait_for_ping(30000), 25000);
		say("{}");
	}
	assert_true(most - least > 3000);
}

/* In rounds: the worker is not woken for each. */
static void pings_of_many_go_out_together(void **state)
{
	for (int i = 0; i < 50; i++) {
		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
		fake_loop_advance(7);
		connect_client();
		assert_true(wait_for_ping(30000) > 0);
		assert_int_equal(clock_ms() % 250, 0);
	}
}

static void only_a_pong_is_a_sign_of_life(void **state)
{
	connect_client();
	assert_true(wait_for_ping(25000) > 0);
	fake_loop_advance(7000);
	ask("{\"id\":2,\"rpc\":{}}", ERROR(2, 108, "not available"));
	fake_loop_advance(1000);
	assert_closed(DISCONNECT_NO_PONG);
}

static void one_pong_for_each_ping(void **state)
{
	connect_client();
	assert_true(wait_for_ping(25000) > 0);
	say("{}\n{\"id\":2,\"rpc\":{}}\nnull");
	hear(ERROR(2, 108, "not available"));
	assert_closed(DISCONNECT_BAD_REQUEST);
}

/* The pong is there, but behind a command that waits for Redis: that is not the client's fault. */
static void a_pong_that_is_held_back_is_not_missed(void **state)
{
	t.config.redis.call_timeout_ms = 60000;
	connect_client();
	fake_redis_confirm_at_once(false);
	assert_true(wait_for_ping(25000) > 0);
	say("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{}");
	fake_loop_advance(20000);
	assert_true(t.conn.open);
	confirm("a");
	hear("{\"id\":2,\"subscribe\":{}}\n");
	assert_int_equal(wait_for_ping(25000), 5000);
	say("{}");
	fake_loop_advance(10000);
	assert_true(t.conn.open);
}

/* The pong is there, but what came before it was too much for now. */
static void a_pong_that_waits_at_a_limit_is_not_missed(void **state)
{
	connect_client();
	assert_int_not_equal(wait_for_ping(25000), 0);
	t.conn.held_back = true;
	fake_loop_advance(20000);
	assert_true(t.conn.open);
	t.conn.held_back = false;
	say("{}");
	assert_true(t.conn.open);
	assert_int_not_equal(wait_for_ping(25000), 0);
	fake_loop_advance(8000);
	assert_closed(DISCONNECT_NO_PONG);
}

/* The first counts as the frame that it came in. */
static void all_commands_of_a_message_but_the_first_are_counted_once(void **state)
{
	connect_client();
	t.conn.counted = 0;
	say("{\"id\":2,\"rpc\":{}}");
	assert_int_equal(t.conn.counted, 0);
	say("{\"id\":3,\"rpc\":{}}\n{\"id\":4,\"rpc\":{}}\n{\"id\":5,\"rpc\":{}}\n");
	assert_int_equal(t.conn.counted, 2);
	/* One that has to be held is not counted until it is done. */
	fake_redis_confirm_at_once(false);
	say("{\"id\":6,\"subscribe\":{\"channel\":\"live:a\"}}\n{\"id\":7,\"rpc\":{}}\n{\"id\":8,\"rpc\":{}}");
	assert_int_equal(t.conn.counted, 2);
	fake_loop_advance(10000);
	assert_int_equal(t.conn.counted, 4);
}

static void check_answers(const char *heard, unsigned id, unsigned count)
{
	char start[32];

	for (; count > 0; count--, id++) {
		snprintf(start, sizeof(start), "{\"id\":%u,\"error\":", id);
		heard = strstr(heard, start);
		assert_non_null(heard);
	}
}

/* A message of many commands is worked off in pieces, in order, and what others ask comes between them. */
static void a_message_without_end_lets_others_have_their_turn(void **state)
{
	enum { COMMANDS = 10000, SHARE = 100, LINE = 32 };
	struct conn other;
	char *text = test_malloc(COMMANDS * LINE);
	size_t len = 0;
	unsigned turns = 0;

	open_conn(&other, &(struct session_params){0});
	connect_client();
	for (unsigned id = 2; id < COMMANDS + 2; id++)
		len += (size_t)snprintf(text + len, LINE, "{\"id\":%u,\"rpc\":{}}\n", id);
	t.conn.share = SHARE;
	t.conn.counted = 0;
	fake_conn_say(&t.conn, text);
	assert_int_equal(t.conn.counted, SHARE);
	fake_conn_say(&other, "{\"id\":1,\"connect\":{}}");
	assert_string_equal(fake_conn_heard(&other), CONNECTED);
	for (; t.conn.paused; turns++) {
		t.conn.counted = 0;
		fake_loop_turn();
		assert_true(t.conn.counted <= SHARE);
	}
	assert_in_range(turns, COMMANDS / SHARE - 1, COMMANDS / SHARE + 1);
	check_answers(fake_conn_heard(&t.conn), 2, COMMANDS);
	assert_true(t.conn.open);
	fake_conn_free(&other);
	test_free(text);
}

/* It goes in the middle of it. */
static void whoever_leaves_takes_the_rest_of_his_message_along(void **state)
{
	connect_client();
	t.conn.share = 1;
	fake_conn_say(&t.conn, "{\"id\":2,\"rpc\":{}}\n{\"id\":3,\"rpc\":{}}\n{\"id\":4,\"rpc\":{}}");
	assert_true(t.conn.paused);
	conn_close(&t.conn, 0, "", "gone");
	fake_loop_turn();
	fake_loop_turn();
}

/* The whole process was stopped, over the moment at which the pong was due. */
static void a_pong_is_not_missed_while_we_were_stopped(void **state)
{
	connect_client();
	assert_true(wait_for_ping(25000) > 0);
	clock_freeze(clock_ms() + 60000, clock_unix_ms() + 60000);
	fake_loop_advance(0);
	assert_true(t.conn.open);
	say("{}");
	assert_true(t.conn.open);
	assert_true(wait_for_ping(25000) > 0);
	fake_loop_advance(8000);
	assert_closed(DISCONNECT_NO_PONG);
}

static void native_pings_ask_for_nothing(void **state)
{
	fake_conn_free(&t.conn);
	open_conn(&t.conn, &(struct session_params){.native_ping = true});
	say("{\"id\":1,\"connect\":{}}");
	hear("{\"id\":1,\"connect\":{\"client\":\"<uuid>\",\"version\":\"" FANFARE_VERSION "\"}}\n");
	fake_loop_advance(100000);
	assert_in_range(t.conn.pings, 4, 5);
	assert_true(t.conn.open);
	hear("");
	say("{}");
	assert_closed(DISCONNECT_BAD_REQUEST);
}

static void without_pings_there_is_no_timer(void **state)
{
	t.config.client.ping_interval_ms = 0;
	say("{\"id\":1,\"connect\":{}}");
	assert_int_equal(fake_loop_timers(), 0);
	say("{}");
	assert_closed(DISCONNECT_BAD_REQUEST);
}

/* --- large answers --- */

/* Redis answers the oldest read: the newest publication has offset 2. */
static void answer_history(bool with_entries)
{
	static const struct redis_reply epoch = {.type = REDIS_STRING, .text = BYTES("e")};
	static const struct redis_reply top = {.type = REDIS_INTEGER, .integer = 2};
	static const struct redis_reply first = {.type = REDIS_INTEGER, .integer = 1};
	static const struct redis_reply a = {.type = REDIS_STRING,
	                                     .text = BYTES("{\"fanfare\":1,\"offset\":1,\"epoch\":\"e\","
	                                                   "\"data\":1}")};
	static const struct redis_reply b = {.type = REDIS_STRING,
	                                     .text = BYTES("{\"fanfare\":1,\"offset\":2,\"epoch\":\"e\","
	                                                   "\"data\":2}")};
	static const struct redis_reply more = {.type = REDIS_INTEGER};
	const struct redis_reply *const items[] = {&first, &a, &top, &b};
	const struct redis_reply entries = {
		.type = REDIS_ARRAY, .elements = items, .count = with_entries ? 4 : 0};
	const struct redis_reply *const parts[] = {&epoch, &top, &entries, &more};

	assert_non_null(strstr(fake_redis_call(), "fanfare_history"));
	fake_redis_answer(&(struct redis_reply){.type = REDIS_ARRAY, .elements = parts, .count = 4});
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

#define RECOVER(id, name)                                                                             \
	"{\"id\":" #id ",\"subscribe\":{\"channel\":\"kept:" name "\",\"recover\":true,\"offset\":1," \
	"\"epoch\":\"e\"}}"
#define RECOVERED(id)                                                                           \
	"{\"id\":" #id ",\"subscribe\":{\"recoverable\":true,\"epoch\":\"e\",\"publications\":" \
	"[{\"data\":2,\"offset\":2}],\"recovered\":true,\"offset\":1,\"positioned\":true,"      \
	"\"was_recovering\":true}}\n"

static void make_room(void)
{
	fake_conn_make_room(&t.conn);
	fake_loop_turn();
	fake_conn_go_on(&t.conn);
}

static void what_a_client_missed_waits_until_it_has_read(void **state)
{
	connect_client();
	t.conn.full = true;
	say(RECOVER(2, "a") "\n" RECOVER(3, "b") "\n{\"id\":4,\"subscribe\":{\"channel\":\"live:c\"}}");
	answer_history(true);
	answer_history(true);
	hear("");
	assert_true(t.conn.wants_room);
	fake_redis_message("live:c", "1");
	hear("");
	make_room();
	hear(RECOVERED(2) RECOVERED(3) "{\"id\":4,\"subscribe\":{}}\n");
	/* From memory now, in the same turn: it waits all the same. */
	ask("{\"id\":5,\"unsubscribe\":{\"channel\":\"kept:a\"}}", "{\"id\":5,\"unsubscribe\":{}}\n");
	t.conn.full = true;
	ask(RECOVER(6, "b2"), "");
	answer_history(true);
	hear("");
	make_room();
	hear(RECOVERED(6));
}

/* It was promised nothing as long as it waited. */
static void what_was_given_up_meanwhile_is_read_again(void **state)
{
	t.config.client.ping_interval_ms = 0;
	say("{\"id\":1,\"connect\":{}}");
	fake_conn_heard(&t.conn);
	t.conn.full = true;
	say(RECOVER(2, "a"));
	answer_history(true);
	fake_redis_message("kept:a", "{\"fanfare\":1,\"history_removed\":true}");
	make_room();
	hear("");
	answer_history(true);
	hear(RECOVERED(2));
	/* And if Redis does not say so in time, that is an answer, too. */
	t.conn.full = true;
	say(RECOVER(3, "b"));
	answer_history(true);
	fake_redis_message("kept:b", "{\"fanfare\":1,\"history_removed\":true}");
	fake_loop_advance(10000);
	hear("");
	make_room();
	fake_loop_advance(4999);
	hear("");
	fake_loop_advance(1);
	hear(INTERNAL(3));
}

static void a_history_is_asked_for_when_there_is_room_for_it(void **state)
{
	connect_client();
	t.conn.full = true;
	say("{\"id\":2,\"history\":{\"channel\":\"kept:a\",\"limit\":9}}\n"
	    "{\"id\":3,\"history\":{\"channel\":\"kept:b\"}}\n{\"id\":4,\"rpc\":{}}");
	say("{\"id\":5,\"rpc\":{}}");
	assert_int_equal(fake_redis_calls(), 0);
	make_room();
	assert_int_equal(fake_redis_calls(), 1);
	hear("");
	answer_history(true);
	hear("{\"id\":2,\"history\":{\"publications\":[{\"data\":1,\"offset\":1},{\"data\":2,\"offset\":2}],"
	     "\"epoch\":\"e\",\"offset\":2}}\n");
	answer_history(false);
	hear("{\"id\":3,\"history\":{\"publications\":[],\"epoch\":\"e\",\"offset\":2}}\n" ERROR(
		4, 108, "not available") ERROR(5, 108, "not available"));
}

static void expect_slow_when_it_stops_reading(void)
{
	for (int i = 0; i < 10; i++) {
		t.conn.taken = 20000;
		fake_loop_advance(59999);
		assert_true(t.conn.open);
	}
	t.conn.taken = 0;
	fake_loop_advance(60000);
	assert_closed(DISCONNECT_SLOW);
}

/* A pong is not missed while it does not get as far as the ping, but without an end it is not waited for. */
static void who_asks_and_does_not_read_is_slow(void **state)
{
	for (int held = 0; held < 2; held++) {
		connect_client();
		t.conn.full = true;
		say(held ? "{\"id\":2,\"history\":{\"channel\":\"kept:a\"}}" : RECOVER(2, "a"));
		if (!held)
			answer_history(true);
		expect_slow_when_it_stops_reading();
		assert_int_equal(fake_redis_calls(), 0);
		fake_conn_free(&t.conn);
		open_conn(&t.conn, &(struct session_params){0});
	}
}

static void so_is_who_connects_and_does_not_read(void **state)
{
	t.conn.full = true;
	say("{\"id\":1,\"connect\":{\"subs\":{\"kept:a\":{\"recover\":true,\"offset\":1,\"epoch\":\"e\"}}}}");
	answer_history(true);
	hear("");
	assert_true(t.conn.wants_room);
	expect_slow_when_it_stops_reading();
}

/* Then the ping gets through, and is to be answered. */
static void who_has_read_what_it_asked_for_answers_pings_again(void **state)
{
	connect_client();
	t.conn.full = true;
	say(RECOVER(2, "a"));
	answer_history(true);
	fake_loop_advance(50000);
	t.conn.taken = 20000;
	make_room();
	hear("{}\n" RECOVERED(2));
	fake_loop_advance(60000);
	assert_true(t.conn.open);
	fake_loop_advance(60000 + 8000);
	assert_closed(DISCONNECT_NO_PONG);
}

enum { CROWD = 8, LARGE = 300 << 10 };

/* So many come back at once to the same channel, and missed so much, that all answers together would keep the
 * worker for long. */
static void a_crowd_that_comes_back_is_answered_over_several_turns(void **state)
{
	struct conn crowd[CROWD];
	char *large = test_malloc(LARGE + 200);
	unsigned answered = 0, turns = 0;
	int len;

	connect_client();
	say("{\"id\":2,\"subscribe\":{\"channel\":\"kept:a\"}}");
	answer_history(false);
	len = snprintf(large, 200, "{\"fanfare\":1,\"offset\":3,\"epoch\":\"e\",\"data\":\"");
	memset(large + len, 'x', LARGE);
	memcpy(large + len + LARGE, "\"}", 3);
	fake_redis_message("kept:a", large);
	fake_conn_heard(&t.conn);
	for (int i = 0; i < CROWD; i++) {
		open_conn(&crowd[i], &(struct session_params){0});
		fake_conn_say(&crowd[i],
		              i % 2 ? "{\"id\":1,\"connect\":{\"subs\":{\"kept:a\":{\"recover\":true,"
		                      "\"offset\":2,\"epoch\":\"e\"}}}}"
		                    : "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{"
		                      "\"channel\":\"kept:a\",\"recover\":true,\"offset\":2,"
		                      "\"epoch\":\"e\"}}");
	}
	while (answered < CROWD) {
		unsigned now = 0;

		for (int i = 0; i < CROWD; i++)
			now += crowd[i].out.len > LARGE;
		assert_true(now > answered && now <= answered + 4);
		answered = now;
		turns++;
		fake_loop_advance(1);
	}
	assert_in_range(turns, 2, CROWD);
	for (int i = 0; i < CROWD; i++) {
		assert_non_null(strstr(fake_conn_heard(&crowd[i]), "\"recovered\":true"));
		fake_conn_free(&crowd[i]);
	}
	test_free(large);
}

/* --- unidirectional --- */

#define UNI_CONNECTED(subs)                                                             \
	"{\"connect\":{\"client\":\"<uuid>\",\"version\":\"" FANFARE_VERSION "\"," subs \
	"\"ping\":25,\"session\":\"<uuid>\"}}\n"

static void open_uni(const char *cf_connect)
{
	fake_conn_free(&t.conn);
	open_conn(&t.conn, &(struct session_params){
				   .uni = true,
				   .cf_connect = cf_connect == NULL ? BYTES_NONE : BYTES_OF_STR(cf_connect),
			   });
}

static void uni_connects_by_its_first_message(void **state)
{
	open_uni(NULL);
	say("{\"subs\":{\"live:a\":{},\"deny:a\":{}}}");
	hear(UNI_CONNECTED("\"subs\":{\"live:a\":{}},"));
	fake_redis_message("live:a", "[1]");
	hear("{\"channel\":\"live:a\",\"pub\":{\"data\":[1]}}\n");
	say("whatever");
	say("{}");
	hear("");
	assert_true(wait_for_ping(25000) > 0);
	fake_loop_advance(20000);
	assert_true(t.conn.open);
}

static void uni_connects_by_its_query(void **state)
{
	open_uni("{\"name\":\"x\"}");
	hear(UNI_CONNECTED(""));
}

static void uni_waits_for_its_channels(void **state)
{
	fake_redis_confirm_at_once(false);
	open_uni("{\"subs\":{\"a\":{}}}");
	say("{}");
	hear("");
	confirm("a");
	hear(UNI_CONNECTED("\"subs\":{\"a\":{}},"));
}

static void uni_is_told_why_it_is_closed(void **state)
{
	open_uni("{\"token\":\"x\"}");
	hear("{\"disconnect\":{\"code\":3500,\"reason\":\"invalid token\"}}\n");
	assert_closed(DISCONNECT_INVALID_TOKEN);
	open_uni("[]");
	hear("{\"disconnect\":{\"code\":3501,\"reason\":\"bad request\"}}\n");
	assert_closed(DISCONNECT_BAD_REQUEST);
	fake_redis_set_ready(false);
	open_uni("{\"subs\":{\"a\":{}}}");
	hear("{\"disconnect\":{\"code\":3004,\"reason\":\"internal server error\"}}\n");
	assert_closed(DISCONNECT_INTERNAL_ERROR);
}

static void clients_are_counted(void **state)
{
	uint64_t before = metrics_sum(metrics_mine, 1, METRIC_clients);

	connect_client();
	assert_int_equal(metrics_sum(metrics_mine, 1, METRIC_clients), before + 1);
	fake_conn_free(&t.conn);
	assert_int_equal(metrics_sum(metrics_mine, 1, METRIC_clients), before);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_but_connect_comes_first),
		TEST(a_second_connect_is_fatal),
		TEST(a_token_cannot_be_verified),
		TEST(anonymous_clients_are_let_in_only_where_allowed),
		TEST(the_time_is_told_if_configured),
		TEST(connect_subscribes_to_what_the_client_may_have),
		TEST(connect_waits_for_its_channels_and_the_rest_waits_for_connect),
		TEST(after_an_error_to_connect_nothing_is_read),
		TEST(connect_gives_up_when_redis_does_not_confirm),
		TEST(connect_with_channels_that_cannot_be),
		TEST(checks_of_subscribe),
		TEST(checks_of_publish),
		TEST(a_publication_names_its_sender),
		TEST(checks_of_other_commands),
		TEST(subscribes_overlap_and_are_answered_in_their_order),
		TEST(other_commands_wait_for_those_before_them),
		TEST(what_is_fatal_waits_for_its_turn),
		TEST(an_empty_message_behind_a_pending_command_is_fatal_too),
		TEST(no_more_than_so_many_commands_are_pending),
		TEST(a_subscribe_that_redis_does_not_confirm_fails),
		TEST(subscribes_fail_when_redis_goes_away),
		TEST(a_client_that_does_not_read_takes_its_subscriptions_along),
		TEST(a_session_may_end_at_any_answer),
		TEST(a_session_may_end_with_everything_pending),
		TEST(a_session_may_end_before_what_it_held_goes_on),
		TEST(every_command_is_answered_once_and_in_its_place),
		TEST(whoever_does_not_connect_is_stale),
		TEST(pings_come_regularly_after_a_random_first),
		TEST(pings_of_many_go_out_together),
		TEST(only_a_pong_is_a_sign_of_life),
		TEST(one_pong_for_each_ping),
		TEST(a_pong_that_is_held_back_is_not_missed),
		TEST(a_pong_that_waits_at_a_limit_is_not_missed),
		TEST(all_commands_of_a_message_but_the_first_are_counted_once),
		TEST(a_message_without_end_lets_others_have_their_turn),
		TEST(whoever_leaves_takes_the_rest_of_his_message_along),
		TEST(a_pong_is_not_missed_while_we_were_stopped),
		TEST(native_pings_ask_for_nothing),
		TEST(without_pings_there_is_no_timer),
		TEST(what_a_client_missed_waits_until_it_has_read),
		TEST(what_was_given_up_meanwhile_is_read_again),
		TEST(a_history_is_asked_for_when_there_is_room_for_it),
		TEST(who_asks_and_does_not_read_is_slow),
		TEST(so_is_who_connects_and_does_not_read),
		TEST(who_has_read_what_it_asked_for_answers_pings_again),
		TEST(a_crowd_that_comes_back_is_answered_over_several_turns),
		TEST(uni_connects_by_its_first_message),
		TEST(uni_connects_by_its_query),
		TEST(uni_waits_for_its_channels),
		TEST(uni_is_told_why_it_is_closed),
		TEST(clients_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
