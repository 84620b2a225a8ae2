/* Answers come in the order of the commands, each once, whatever waits, fails or ends meanwhile. */
#include "session_world.h"

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
	lose_redis();
	fake_loop_turn();
	hear(INTERNAL(2) INTERNAL(3) "{\"id\":4,\"unsubscribe\":{}}\n");
	ask("{\"id\":5,\"subscribe\":{\"channel\":\"a\"}}", INTERNAL(5));
}

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
	case 0: lose_redis(); break;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
		TEST(all_commands_of_a_message_but_the_first_are_counted_once),
		TEST(a_message_without_end_lets_others_have_their_turn),
		TEST(whoever_leaves_takes_the_rest_of_his_message_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
