/* Large answers wait until the client has read what it was sent before, though not without an end. */
#include "mem.h"
#include "session_world.h"

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

/* In kept:a, so large; who is there has it. */
static void publish_large(int offset, size_t size)
{
	char *x = mem_alloc(size + 1);
	char *text;

	memset(x, 'x', size);
	x[size] = '\0';
	text = mem_printf("{\"fanfare\":1,\"offset\":%d,\"epoch\":\"e\",\"data\":\"%s\"}", offset, x);
	fake_redis_message("kept:a", text);
	fake_conn_heard(&t.conn);
	mem_free(text);
	mem_free(x);
}

/* So many come back at once to the same channel, and missed so much, that all answers together would keep the
 * worker for long. */
static void a_crowd_that_comes_back_is_answered_over_several_turns(void **state)
{
	struct conn crowd[CROWD];
	unsigned answered = 0, turns = 0;

	connect_client();
	say("{\"id\":2,\"subscribe\":{\"channel\":\"kept:a\"}}");
	answer_history(false);
	publish_large(3, LARGE);
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
}

/* Others do not read theirs. Who waits is not failed, and gets what came meanwhile; then all is live. */
static void what_finds_no_room_waits_for_it(void **state)
{
	unsigned hurried = fake_conn_hurried;

	connect_client();
	t.config.client.ping_interval_ms = 0;
	fake_conn_answer_room = 0;
	say(RECOVER(2, "a"));
	answer_history(true);
	hear("");
	for (int i = 0; i < 100; i++) {
		fake_loop_advance(20);
		assert_true(fake_conn_hurried > hurried);
		hurried = fake_conn_hurried;
	}
	fake_redis_message("kept:a", "{\"fanfare\":1,\"offset\":3,\"epoch\":\"e\",\"data\":3}");
	fake_loop_advance(10000);
	hear("");
	assert_true(t.conn.open);
	fake_conn_answer_room = SIZE_MAX;
	fake_loop_advance(20);
	hear("{\"id\":2,\"subscribe\":{\"recoverable\":true,\"epoch\":\"e\",\"publications\":["
	     "{\"data\":2,\"offset\":2},{\"data\":3,\"offset\":3}],\"recovered\":true,\"offset\":1,"
	     "\"positioned\":true,\"was_recovering\":true}}\n");
	fake_redis_message("kept:a", "{\"fanfare\":1,\"offset\":4,\"epoch\":\"e\",\"data\":4}");
	fake_loop_turn();
	hear("{\"push\":{\"channel\":\"kept:a\",\"pub\":{\"data\":4,\"offset\":4}}}\n");
}

/* Those who wait for much do not keep those waiting who want little. */
static void small_ones_do_not_wait_behind_large_ones(void **state)
{
	struct conn other;

	connect_client();
	say("{\"id\":2,\"subscribe\":{\"channel\":\"kept:a\"}}");
	answer_history(false);
	publish_large(3, FAKE_CONN_SMALL);
	fake_conn_answer_room = FAKE_CONN_SMALL;
	open_conn(&other, &(struct session_params){0});
	fake_conn_say(&other, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"kept:a\","
	                      "\"recover\":true,\"offset\":2,\"epoch\":\"e\"}}");
	fake_loop_advance(60);
	assert_null(strstr(fake_conn_heard(&other), "subscribe"));
	say(RECOVER(3, "b"));
	answer_history(true);
	fake_loop_advance(20);
	hear(RECOVERED(3));
	fake_conn_answer_room = SIZE_MAX;
	fake_loop_advance(20);
	assert_non_null(strstr(fake_conn_heard(&other), "\"recovered\":true"));
	/* Who goes while he waits leaves nothing behind. */
	fake_conn_answer_room = 0;
	fake_conn_say(&other, "{\"id\":4,\"unsubscribe\":{\"channel\":\"kept:a\"}}");
	fake_conn_say(&other, "{\"id\":5,\"subscribe\":{\"channel\":\"kept:a\",\"recover\":true,\"offset\":2,"
	                      "\"epoch\":\"e\"}}");
	fake_loop_advance(20);
	fake_conn_free(&other);
	fake_loop_advance(20);
	fake_conn_answer_room = SIZE_MAX;
}

/* Others are answered meanwhile. */
static void a_large_answer_is_made_over_several_turns(void **state)
{
	enum { PART = 700 << 10, PARTS = 8 };
	struct conn other;
	unsigned turns = 0;

	connect_client();
	say("{\"id\":2,\"subscribe\":{\"channel\":\"kept:a\"}}");
	answer_history(false);
	for (int n = 3; n < 3 + PARTS; n++)
		publish_large(n, PART);
	open_conn(&other, &(struct session_params){0});
	fake_conn_say(&other, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"kept:a\","
	                      "\"recover\":true,\"offset\":2,\"epoch\":\"e\"}}");
	fake_conn_heard(&other);
	say(RECOVER(3, "b"));
	answer_history(true);
	while (other.out.len == 0) {
		assert_true(++turns < 100);
		fake_loop_advance(1);
		if (turns == 2)
			hear(RECOVERED(3));
		assert_true(other.out.len == 0 || other.out.len > (size_t)PARTS * PART);
	}
	assert_in_range(turns, PARTS / 2 - 1, 2 * PARTS);
	assert_non_null(strstr(fake_conn_heard(&other), "\"recovered\":true"));
	fake_conn_free(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(what_a_client_missed_waits_until_it_has_read),
		TEST(what_was_given_up_meanwhile_is_read_again),
		TEST(a_history_is_asked_for_when_there_is_room_for_it),
		TEST(who_asks_and_does_not_read_is_slow),
		TEST(so_is_who_connects_and_does_not_read),
		TEST(who_has_read_what_it_asked_for_answers_pings_again),
		TEST(a_crowd_that_comes_back_is_answered_over_several_turns),
		TEST(a_large_answer_is_made_over_several_turns),
		TEST(what_finds_no_room_waits_for_it),
		TEST(small_ones_do_not_wait_behind_large_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
