/* Unidirectional sessions. */
#include "session_world.h"

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
	lose_redis();
	open_uni("{\"subs\":{\"a\":{}}}");
	hear("{\"disconnect\":{\"code\":3004,\"reason\":\"internal server error\"}}\n");
	assert_closed(DISCONNECT_INTERNAL_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(uni_connects_by_its_first_message),
		TEST(uni_connects_by_its_query),
		TEST(uni_waits_for_its_channels),
		TEST(uni_is_told_why_it_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
