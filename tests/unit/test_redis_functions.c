/* redis_functions.c and redis_library.c: calls of functions are answered once and in order while the library
 * is being loaded, is lost, or cannot be had; by functions and by scripts; and of two texts all agree which
 * is the newer. */
#include "redis_library.h"
#include "redis_mock.h"

enum { MANY = 100 };

struct answer {
	unsigned count;
	bool null;
	int type;
	int64_t offset;
	char text[256];
};

static void on_answer(void *arg, const struct redis_reply *reply)
{
	struct answer *a = arg;

	a->count++;
	a->null = reply == NULL;
	if (reply == NULL)
		return;
	a->type = reply->type;
	if (reply->type == REDIS_ARRAY && reply->count > 0)
		a->offset = reply->elements[0]->integer;
	snprintf(a->text, sizeof(a->text), "%.*s", BYTES_FMT(reply->text));
}

static struct redis_call *publish(struct world *w, struct answer *a)
{
	static const struct bytes argv[] = {BYTES("t:news"), BYTES("{\"a\":1}"),   BYTES("history_size"),
	                                    BYTES("1000"),   BYTES("history_ttl"), BYTES("60")};

	*a = (struct answer){.count = 0};
	return redis_fcall(w->redis, "fanfare_publish", argv, ARRAY_LEN(argv), on_answer, a);
}

static void publish_many(struct world *w, struct answer *answers)
{
	for (int i = 0; i < MANY; i++) {
		publish(w, &answers[i]);
		assert_int_equal(answers[i].count, 0);
	}
}

/* All done, once, and in the order of the calls. */
static void expect_offsets(struct world *w, const struct answer *answers, int64_t first)
{
	for (int i = 0; i < MANY; i++) {
		WAIT_FOR(w, 5000, answers[i].count > 0);
		assert_int_equal(answers[i].type, REDIS_ARRAY);
		assert_int_equal(answers[i].offset, first + i);
	}
	for (int i = 0; i < MANY; i++)
		assert_int_equal(answers[i].count, 1);
}

static void start(struct world *w)
{
	world_redis(w);
	WAIT_FOR(w, 5000, is_ready(w));
}

static void admin(const struct world *w, const char *command)
{
	redisContext *c = admin_connect(w);

	admin_ok(c, command);
	redisFree(c);
}

static void forbid_functions(const struct world *w)
{
	admin(w, "ACL SETUSER default -fcall -function");
}

static void need_history(struct world *w)
{
	w->config.channel.without_namespace.history_size = 10;
	w->config.channel.without_namespace.history_ttl_ms = 60000;
	w->config.redis.call_timeout_ms = 1000;
}

/* --- a real Redis --- */

static void functions_are_called_in_order(void **state)
{
	static struct answer answers[MANY];

	start(*state);
	publish_many(*state, answers);
	expect_offsets(*state, answers, 1);
}

static void scripts_take_their_place(void **state)
{
	static struct answer answers[MANY];

	forbid_functions(*state);
	start(*state);
	publish_many(*state, answers);
	expect_offsets(*state, answers, 1);
}

static void lose_and_go_on(struct world *w, const char *how)
{
	static struct answer answers[MANY];

	for (int round = 0; round < 3; round++) {
		admin(w, how);
		publish_many(w, answers);
		expect_offsets(w, answers, round * MANY + 1);
	}
}

static void lost_functions_are_loaded_again_and_calls_keep_their_order(void **state)
{
	start(*state);
	lose_and_go_on(*state, "FUNCTION FLUSH");
}

static void lost_scripts_are_loaded_again_and_calls_keep_their_order(void **state)
{
	forbid_functions(*state);
	start(*state);
	lose_and_go_on(*state, "SCRIPT FLUSH");
}

/* Others make the loss while calls are on their way, and put the library back between them or not. */
static void losses_at_any_moment_cost_no_call(void **state)
{
	struct world *w = *state;
	static struct answer answers[1000];
	redisContext *c = admin_connect(w);

	need_history(w);
	start(w);
	for (int i = 0; i < 1000; i++) {
		publish(w, &answers[i]);
		if (i % 50 == 20)
			admin_ok(c, "FUNCTION FLUSH");
		if (i % 7 == 0)
			ev_run(loop_ev(w->loop), EVRUN_NOWAIT);
		if (i % 50 == 45)
			WAIT_FOR(w, 5000, answers[i].count > 0);
	}
	for (int i = 0; i < 1000; i++) {
		WAIT_FOR(w, 5000, answers[i].count > 0);
		assert_int_equal(answers[i].count, 1);
		/* One that met two losses in a row is told. */
		assert_true(answers[i].type == REDIS_ARRAY || strstr(answers[i].text, "not found") != NULL);
	}
	redisFree(c);
}

static void a_cancelled_call_is_never_answered(void **state)
{
	struct world *w = *state;
	struct answer away, sent, lost, last;
	struct redis_call *call;

	world_redis(w);
	call = publish(w, &away);
	redis_call_cancel(&call);
	assert_null(call);
	WAIT_FOR(w, 5000, is_ready(w));
	call = publish(w, &sent);
	redis_call_cancel(&call);
	publish(w, &last);
	WAIT_FOR(w, 5000, last.count == 1);
	admin(w, "FUNCTION FLUSH");
	call = publish(w, &lost);
	publish(w, &last);
	ev_run(loop_ev(w->loop), EVRUN_ONCE);
	if (lost.count == 0)
		redis_call_cancel(&call);
	WAIT_FOR(w, 5000, last.count == 1);
	assert_int_equal(away.count + sent.count + lost.count, 0);
}

static void without_redis_calls_are_answered_by_null_but_not_from_within(void **state)
{
	struct world *w = *state;
	struct answer a;

	server_stop(w);
	world_redis(w);
	publish(w, &a);
	assert_int_equal(a.count, 0);
	WAIT_FOR(w, 2000, a.count == 1);
	assert_true(a.null);
}

static void a_frozen_redis_lets_calls_time_out_once(void **state)
{
	struct world *w = *state;
	static struct answer answers[MANY];
	struct answer next;

	start(w);
	admin(w, "FUNCTION FLUSH");
	kill(w->server, SIGSTOP);
	publish_many(w, answers);
	for (int i = 0; i < MANY; i++) {
		WAIT_FOR(w, 2000, answers[i].count == 1);
		assert_true(answers[i].null);
	}
	kill(w->server, SIGCONT);
	WAIT_FOR(w, 5000, is_ready(w));
	publish(w, &next);
	WAIT_FOR(w, 5000, next.count == 1);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(answers[i].count, 1);
}

static void calls_beyond_the_ceiling_are_answered_by_null(void **state)
{
	struct world *w = *state;
	static char big[8 << 20];
	const struct bytes argv[] = {BYTES("t:news"), {big, sizeof(big)}};
	struct answer answers[3] = {{.count = 0}};
	unsigned refused = 0;

	w->config.redis.call_timeout_ms = 20000;
	w->config.redis.canary_timeout_ms = 20000;
	start(w);
	memset(big, 'x', sizeof(big));
	for (int i = 0; i < 3; i++)
		redis_fcall(w->redis, "fanfare_publish", argv, 2, on_answer, &answers[i]);
	for (int i = 0; i < 3; i++) {
		WAIT_FOR(w, 20000, answers[i].count == 1);
		refused += answers[i].null;
	}
	assert_int_equal(refused, 2);
}

static void what_redis_refuses_is_told(void **state)
{
	struct world *w = *state;
	struct answer a = {.count = 0};
	const struct bytes argv[] = {BYTES("t:news"), BYTES("1"), BYTES("x"), BYTES("y")};

	start(w);
	redis_fcall(w->redis, "fanfare_publish", argv, 4, on_answer, &a);
	WAIT_FOR(w, 2000, a.count == 1);
	assert_int_equal(a.type, REDIS_ERROR);
	assert_string_equal(a.text, "ERR fanfare_publish: unknown option x");
}

static void a_library_that_cannot_be_had_is_a_reason_only_where_it_is_needed(void **state)
{
	struct world *w = *state;
	struct answer a;

	admin(w, "ACL SETUSER default -fcall -function -script");
	start(w);
	publish(w, &a);
	WAIT_FOR(w, 2000, a.count == 1);
	assert_true(a.null);
	assert_true(is_ready(w));
	redis_free(&w->redis);
	need_history(w);
	world_redis(w);
	WAIT_FOR(w, 2000, strstr(reason(w), "cannot load the function library") != NULL);
	assert_false(is_ready(w));
	assert_non_null(strstr(reason(w), "NOPERM"));
	admin(w, "ACL SETUSER default +@all");
	WAIT_FOR(w, 5000, is_ready(w));
	publish(w, &a);
	WAIT_FOR(w, 2000, a.count == 1);
	assert_int_equal(a.offset, 1);
}

/* --- a Redis that does not answer --- */

static struct mock_conn *silent;

/* From the look at the library on, nothing is answered on that connection. */
static bool fall_silent(struct mock_conn *c, const redisReply *command)
{
	if (is_command(command, "FCALL"))
		silent = c;
	return c == silent;
}

static void calls_that_wait_for_the_library_have_a_deadline(void **state)
{
	struct world *w = *state;
	struct mock mock;
	struct answer a, cancelled;
	struct redis_call *call;

	server_stop(w);
	mock_start(&mock, w);
	silent = NULL;
	mock.on_command = fall_silent;
	world_redis(w);
	WAIT_FOR(w, 2000, silent != NULL);
	publish(w, &a);
	call = publish(w, &cancelled);
	redis_call_cancel(&call);
	WAIT_FOR(w, 1000, a.count == 1);
	assert_true(a.null);
	publish(w, &a);
	mock_close(silent);
	WAIT_FOR(w, 1000, a.count == 1);
	assert_true(a.null);
	assert_int_equal(cancelled.count, 0);
	redis_free(&w->redis);
	mock_stop(&mock);
}

/* --- the text --- */

static void the_policy_is_code_of_nobody_else(void **state)
{
	char prefix[] = "a']]\n\\0", name[] = "x'y\xff-1.z";
	struct channel_options spaces[] = {{.name = name, .history_size = 7, .history_ttl_ms = 1001}};
	struct config config = {.loaded_ms = 1700000000000,
	                        .redis.prefix = prefix,
	                        .channel = {.namespaces = spaces, .namespace_count = 1}};
	struct library l;
	const char *line;

	library_init(&l, &config);
	assert_memory_equal(l.text.data, "#!lua name=fanfare\n", l.script);
	line = l.text.data + l.script;
	assert_memory_equal(line, "local POLICY={stamp=1700000000000,digest='", 41);
	line = memchr(line, 'p', 100);
	assert_non_null(line);
	assert_non_null(memmem(l.text.data, l.text.len,
	                       "prefix='a\\039\\093\\093\\010\\0920',namespaces={['']={0,0,0},", 56));
	assert_non_null(memmem(l.text.data, l.text.len, "['x\\039y\\255-1.z']={7,2,0},}}\n", 30));
	library_free(&l);
}

static void of_two_libraries_all_agree_which_is_newer(void **state)
{
	static const struct library_stamp ascending[] = {{0, 9, "f"}, {1, 0, "0"},         {1, 0, "1"},
	                                                 {1, 1, "0"}, {1, INT64_MAX, "0"}, {2, 0, "0"}};

	for (size_t i = 0; i < ARRAY_LEN(ascending); i++) {
		for (size_t j = 0; j < ARRAY_LEN(ascending); j++) {
			int order = library_compare(&ascending[i], &ascending[j]);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define LIVE(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
		LIVE(functions_are_called_in_order),
		LIVE(scripts_take_their_place),
		LIVE(lost_functions_are_loaded_again_and_calls_keep_their_order),
		LIVE(lost_scripts_are_loaded_again_and_calls_keep_their_order),
		LIVE(losses_at_any_moment_cost_no_call),
		LIVE(a_cancelled_call_is_never_answered),
		LIVE(without_redis_calls_are_answered_by_null_but_not_from_within),
		LIVE(a_frozen_redis_lets_calls_time_out_once),
		LIVE(calls_beyond_the_ceiling_are_answered_by_null),
		LIVE(what_redis_refuses_is_told),
		LIVE(a_library_that_cannot_be_had_is_a_reason_only_where_it_is_needed),
		LIVE(calls_that_wait_for_the_library_have_a_deadline),
		cmocka_unit_test(the_policy_is_code_of_nobody_else),
		cmocka_unit_test(of_two_libraries_all_agree_which_is_newer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
