/* The checks of each command, in their order, and what connect answers. */
#include "session_world.h"

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
	lose_redis();
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

static void clients_are_counted(void **state)
{
	uint64_t before = metrics_sum(metrics_mine, 1, METRIC_clients);

	connect_client();
	assert_int_equal(metrics_sum(metrics_mine, 1, METRIC_clients), before + 1);
	fake_conn_free(&t.conn);
	assert_int_equal(metrics_sum(metrics_mine, 1, METRIC_clients), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		TEST(clients_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
