/* redis_functions.c, redis_loader.c and redis_library.c: calls of functions are answered once and in order
 * while the library is being loaded, is lost, or cannot be had; by functions and by scripts; and of two texts
 * all agree which is the newer. */
#include "redis_library.h"
#include "redis_mock.h"

enum { MANY = 100 };

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
		assert_int_equal(answers[i].integer, first + i);
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
	assert_int_equal(a.integer, 1);
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

static bool has(const struct buf *text, const char *part)
{
	return memmem(text->data, text->len, part, strlen(part)) != NULL;
}

static void the_policy_is_code_of_nobody_else(void **state)
{
	char prefix[] = "a']]\n\\0", name[] = "x'y\xff-1.z";
	struct channel_options spaces[] = {{.name = name, .history_size = 7, .history_ttl_ms = 1001}};
	struct config config = {.host = "me'\n",
	                        .redis.prefix = prefix,
	                        .channel = {.namespaces = spaces, .namespace_count = 1}};
	struct library l;
	struct buf text;

	library_init(&l, &config);
	l.stamp.loaded_ms = 1700000000000;
	library_functions(&l, &text);
	assert_true(has(&text, "#!lua name=fanfare\nlocal POLICY={stamp=1700000000000,digest='"));
	assert_true(
		has(&text,
	            "',host='me\\039\\010',prefix='a\\039\\093\\093\\010\\0920',namespaces={['']={0,0,0},"));
	assert_true(has(&text, "['x\\039y\\255-1.z']={7,2,0},}}\n"));
	buf_free(&text);
	library_free(&l);
}

/* So that Redis keeps one for all of them. */
static void the_script_is_the_same_for_all_who_have_the_same_policy(void **state)
{
	char prefix[] = "p:";
	struct config one = {.host = "one", .loaded_ms = 1, .redis.prefix = prefix}, two = one;
	struct library first, second;
	struct buf a, b;

	snprintf(two.host, sizeof(two.host), "two");
	two.loaded_ms = 2;
	library_init(&first, &one);
	library_init(&second, &two);
	library_date(&first, 1700000000000);
	library_script(&first, false, &a);
	library_script(&second, false, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	buf_free(&b);
	library_script(&first, true, &b);
	assert_memory_equal(b.data, "#!lua flags=allow-oom\n", 22);
	assert_memory_equal(b.data + 22, a.data, a.len);
	buf_free(&a);
	buf_free(&b);
	library_free(&first);
	library_free(&second);
}

/* functions.lua says which functions go on when Redis is full; of these, those that write need leave for it.
 */
static void scripts_run_when_redis_is_full_where_functions_do(void **state)
{
	struct bytes rest = {(const char *)functions_lua, functions_lua_len};
	const char *row;
	int found = 0;

	while ((row = memmem(rest.ptr, rest.len, "\tfanfare_", 9)) != NULL) {
		const char *end;
		char name[64], line[256];

		rest = bytes_skip(rest, (size_t)(row + 1 - rest.ptr));
		end = memchr(rest.ptr, '\n', rest.len);
		snprintf(line, sizeof(line), "%.*s", (int)(end - rest.ptr), rest.ptr);
		if (strstr(line, "= {run =") == NULL)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(line, " "), line);
		assert_int_equal(library_runs_when_full(name),
		                 strstr(line, "'allow-oom'") != NULL && strstr(line, "'no-writes'") == NULL);
		found++;
	}
	assert_int_equal(found, 8);
}

static void what_is_there_is_replaced_by_what_is_newer_and_no_clock_is_believed(void **state)
{
	enum { NOW = 1700000000 };
	const struct library_stamp ours = {.version = 2, .loaded_ms = NOW - 50000, .digest = "5"};
	static const struct {
		struct library_stamp there;
		enum library_verdict verdict;
	} cases[] = {
		{{.version = 1, .loaded_ms = NOW, .digest = "9"}, LIBRARY_OLDER},
		{{.version = 1, .loaded_ms = INT64_MAX, .digest = "5"}, LIBRARY_OLDER},
		{{.version = 3, .loaded_ms = 0, .digest = "0"}, LIBRARY_NEWER},
		{{.version = INT64_MAX, .loaded_ms = INT64_MIN, .digest = "0"}, LIBRARY_NEWER},
		{{.version = 2, .loaded_ms = NOW - 50001, .digest = "9"}, LIBRARY_OLDER},
		{{.version = 2, .loaded_ms = NOW - 49999, .digest = "0"}, LIBRARY_NEWER},
		{{.version = 2, .loaded_ms = NOW - 50000, .digest = "4"}, LIBRARY_OLDER},
		{{.version = 2, .loaded_ms = NOW - 50000, .digest = "6"}, LIBRARY_NEWER},
		{{.version = 2, .loaded_ms = NOW - 50000, .digest = "5"}, LIBRARY_OURS},
		{{.version = 2, .loaded_ms = NOW - 59999, .digest = "5"}, LIBRARY_OURS},
		{{.version = 2, .loaded_ms = NOW - 40001, .digest = "5"}, LIBRARY_OURS},
		{{.version = 2, .loaded_ms = NOW - 60000, .digest = "5"}, LIBRARY_OLDER},
		{{.version = 2, .loaded_ms = NOW - 40000, .digest = "5"}, LIBRARY_NEWER},
		{{.version = 2, .loaded_ms = NOW + 60000, .digest = "0"}, LIBRARY_NEWER},
		{{.version = 2, .loaded_ms = NOW + 60001, .digest = "0"}, LIBRARY_AHEAD},
		{{.version = 2, .loaded_ms = NOW + 60001, .digest = "5"}, LIBRARY_AHEAD},
		{{.version = 2, .loaded_ms = INT64_MAX, .digest = "0"}, LIBRARY_AHEAD},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(library_judge(&cases[i].there, &ours, NOW), cases[i].verdict);
}

static void a_policy_is_dated_by_the_clock_of_redis(void **state)
{
	char prefix[] = "p:";
	struct config config = {.loaded_ms = 5000, .redis.prefix = prefix};
	struct library l;

	library_init(&l, &config);
	clock_freeze(8000, 1);
	library_date(&l, 1700000000000);
	assert_int_equal(l.stamp.loaded_ms, 1700000000000 - 3000);
	clock_freeze(18000, 1);
	library_date(&l, 1700000000000 + 19999);
	assert_int_equal(l.stamp.loaded_ms, 1700000000000 - 3000);
	library_date(&l, 1600000000000);
	assert_int_equal(l.stamp.loaded_ms, 1600000000000 - 13000);
	library_date(&l, 0);
	assert_int_equal(l.stamp.loaded_ms, 0);
	library_free(&l);
}

/* Workers of several brokers look in any order, and each is answered more or less late. */
static void brokers_agree_on_the_policy_that_was_loaded_last(void **state)
{
	enum { WORKERS = 12, BROKERS = 4, TURNS = 2000, CALM = 1000 };

	srand(1);
	for (int round = 0; round < 200; round++) {
		struct library_stamp workers[WORKERS] = {{.version = 1}}, there = {.version = 1};
		int64_t now = 1700000000000;
		int newest = 0;
		int64_t begun[BROKERS];

		for (int b = 0; b < BROKERS; b++) {
			begun[b] = now - 1000 * (rand() % 100) - 100 * b;
			newest = begun[b] > begun[newest] ? b : newest;
		}
		for (int i = 0; i < WORKERS; i++) {
			workers[i] = (struct library_stamp){.version = 1,
			                                    .loaded_ms = begun[i % BROKERS] - rand() % 40};
			workers[i].digest[0] = (char)('a' + (i % BROKERS * 7 + round) % 5);
		}
		there.loaded_ms = round % 2 == 0 ? 0 : now + LIBRARY_AHEAD_MS + 1;
		for (int turn = 0; turn < TURNS; turn++) {
			const struct library_stamp *w = &workers[rand() % WORKERS];
			enum library_verdict verdict = library_judge(&there, w, now);

			if (verdict != LIBRARY_OLDER && verdict != LIBRARY_AHEAD)
				continue;
			assert_true(turn < CALM);
			there = *w;
		}
		assert_string_equal(there.digest, workers[newest].digest);
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
		cmocka_unit_test(the_script_is_the_same_for_all_who_have_the_same_policy),
		cmocka_unit_test(scripts_run_when_redis_is_full_where_functions_do),
		cmocka_unit_test(what_is_there_is_replaced_by_what_is_newer_and_no_clock_is_believed),
		cmocka_unit_test(brokers_agree_on_the_policy_that_was_loaded_last),
		cmocka_unit_test(a_policy_is_dated_by_the_clock_of_redis), /* stops the clock */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
