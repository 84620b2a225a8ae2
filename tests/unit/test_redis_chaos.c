/* worker/redis against a server that answers at random wrongly, late, twice or not at all, while
 * subscriptions come and go: nothing comes twice or out of order, nothing is missed of which nothing is told,
 * and when the server comes to its senses all is as it should be. TEST_SEED repeats a run. */
#include "mocked_world.h"

enum { CHANNELS = 60, CHAOS_MS = 8000, CALM_MS = 15000 };

struct follower {
	struct redis_sub *sub;
	char channel[32];
	bool forbidden;
	long published;
	long last;  /* that came since it was opened */
	long floor; /* what was published when it was confirmed last: everything after that must come */
	bool sure;  /* it was confirmed since it was opened */
};

static struct follower followers[CHANNELS];
static bool chaos;
static enum mood { FINE, DEAF, SLOW, MAD, CRUEL, MOODS } mood; /* fine and cruel differ in how they begin */
static unsigned calls_answered;
static unsigned calls_made;

static bool one_in(int n)
{
	return chaos && rand() % n == 0;
}

static void on_number(void *owner, struct bytes payload)
{
	struct follower *f = owner;
	char text[16] = "";
	long n;

	assert_true(payload.len < sizeof(text));
	memcpy(text, payload.ptr, payload.len);
	n = atol(text);
	if (n <= f->last)
		fail_msg("%s: %ld came after %ld", f->channel, n, f->last);
	if (f->sure && n > f->floor + 1 && n != f->last + 1)
		fail_msg("%s: %ld came after %ld, and was told of %ld", f->channel, n, f->last, f->floor);
	f->last = n;
}

static void on_sure(void *owner)
{
	struct follower *f = owner;

	assert_false(f->forbidden);
	assert_true(redis_sub_confirmed(f->sub));
	f->sure = true;
	f->floor = f->published;
}

static void follow(struct follower *f)
{
	f->last = 0;
	f->sub = redis_sub_open(world.redis, BYTES_OF_STR(f->channel), f);
	f->sure = redis_sub_confirmed(f->sub);
	f->floor = f->published;
}

static void on_any_answer(void *arg, const struct redis_reply *reply)
{
	calls_answered++;
}

/* --- the server --- */

static bool is_forbidden(const redisReply *command)
{
	for (size_t i = 1; i < command->elements; i++)
		if (strncmp(command->element[i]->str, "t:no", 4) == 0)
			return true;
	return false;
}

static void subscribe_badly(struct mock_conn *c, const redisReply *command)
{
	size_t victim = 1 + (size_t)rand() % (command->elements - 1);
	int how = rand() % 3;

	for (size_t i = 1; i < command->elements; i++) {
		if (i != victim || how != 0)
			mock_subscribe(c, command->element[i]->str);
		if (i == victim && how == 1) {
			mock_push(c, "subscribe", command->element[i]->str);
			mock_send(c, ":1\r\n");
		}
		if (i == victim && how == 2)
			mock_send(c, "-ERR out of order\r\n");
	}
}

/* Says that it published, and publishes nothing. */
static void swallow(struct mock_conn *c)
{
	mock_send(c, ":1\r\n");
}

static const char *const nonsense[] = {"",
                                       "",
                                       ":1\r\n",
                                       ":0\r\n",
                                       "+OK\r\n",
                                       "$-1\r\n",
                                       "*-1\r\n",
                                       "*2\r\n*1\r\n:1\r\n$1\r\nx\r\n",
                                       "-ERR no\r\n",
                                       "-OOM no\r\n",
                                       "-LOADING no\r\n",
                                       "-READONLY no\r\n",
                                       "$9\r\nhal",
                                       "?\r\n"};

static bool answer_at_random(struct mock_conn *c, const redisReply *command)
{
	bool marker = strncmp(word(command, 2), "marker", 6) == 0;
	bool canary = strncmp(word(command, 2), "canary", 6) == 0;

	if (is_command(command, "SUBSCRIBE") && is_forbidden(command)) {
		mock_send(c, "-NOPERM no\r\n");
		return true;
	}
	if (is_command(command, "SUBSCRIBE") && mood == MAD && one_in(3))
		subscribe_badly(c, command);
	else if ((canary && mood == DEAF) || (marker && one_in(4)))
		swallow(c);
	else if (mood == MAD && one_in(10))
		mock_send(c, nonsense[(size_t)rand() % ARRAY_LEN(nonsense)]);
	else
		return false;
	return true;
}

static void change_mood(void)
{
	struct mock_conn *c = mock.conns;

	mood = rand() % 2 == 0 ? DEAF : (enum mood)(rand() % MOODS);
	mock.byte_by_byte = mood == SLOW;
	mock.changes_keys = rand() % 2 == 0;
	mock.refuse = mood == MAD && rand() % 2;
	if (mood != CRUEL)
		return;
	for (int skip = rand() % 3; c != NULL && (skip > 0 || !c->open); c = c->next)
		skip -= c->open;
	if (c != NULL)
		mock_close(c);
}

/* --- the run --- */

static void do_something(struct follower *f)
{
	struct bytes argv[2] = {BYTES("ECHO"), BYTES("x")};
	char text[16];

	switch (rand() % 8) {
	case 0:
	case 1:
		if (f->sub != NULL)
			redis_sub_close(&f->sub);
		else
			follow(f);
		return;
	case 2:
		calls_made++;
		redis_call(world.redis, argv, 2, on_any_answer, NULL);
		return;
	default:
		snprintf(text, sizeof(text), "%ld", ++f->published);
		mock_publish(&mock, f->channel, text);
		return;
	}
}

static bool all_is_well(void)
{
	for (int i = 0; i < CHANNELS; i++)
		if (!followers[i].forbidden && !redis_sub_confirmed(followers[i].sub))
			return false;
	return is_ready(&world) && calls_answered == calls_made;
}

static bool all_has_come(void)
{
	for (int i = 0; i < CHANNELS; i++)
		if (!followers[i].forbidden && followers[i].last != followers[i].published)
			return false;
	return true;
}

static void go_mad(void)
{
	uint64_t until_ms = clock_ms() + CHAOS_MS;
	uint64_t next_ms = clock_ms() + 500;

	chaos = true;
	mood = FINE;
	while (clock_ms() < until_ms) {
		for (int i = 0; i < 5; i++)
			do_something(&followers[rand() % CHANNELS]);
		if (clock_ms() >= next_ms) {
			next_ms = clock_ms() + (unsigned)rand() % 1500;
			change_mood();
		}
		ev_run(loop_ev(world.loop), rand() % 4 == 0 ? EVRUN_NOWAIT : EVRUN_ONCE);
	}
	chaos = false;
	mood = FINE;
	mock.byte_by_byte = false;
	mock.refuse = false;
}

static void be_out_of_its_mind(void)
{
	const struct redis_events events = {on_number, on_sure, on_ready, &world};
	const char *given = getenv("TEST_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
	char text[16];

	print_message("TEST_SEED=%u\n", seed);
	srand(seed);
	memset(followers, 0, sizeof(followers));
	calls_made = calls_answered = 0;
	world.config.redis.unsubscribe_linger_ms = 50;
	for (int i = 0; i < CHANNELS; i++) {
		followers[i].forbidden = i % 10 == 9;
		snprintf(followers[i].channel, sizeof(followers[i].channel), "t:%s%d",
		         followers[i].forbidden ? "no" : "", i);
	}
	world.redis = redis_new(world.loop, &world.config, &world.tls, "n1", &events);
	mock.on_command = answer_at_random;
	go_mad();
	for (int i = 0; i < CHANNELS; i++)
		if (followers[i].sub == NULL)
			follow(&followers[i]);
	WAIT_FOR(&world, CALM_MS, all_is_well());
	for (int i = 0; i < CHANNELS; i++) {
		snprintf(text, sizeof(text), "%ld", ++followers[i].published);
		mock_publish(&mock, followers[i].channel, text);
	}
	WAIT_FOR(&world, CALM_MS, all_has_come());
	for (int i = 0; i < CHANNELS; i++)
		redis_sub_close(&followers[i].sub);
}

static void a_server_out_of_its_mind_doubles_nothing_and_loses_nothing_in_silence(void **state)
{
	be_out_of_its_mind();
}

static void over_tls_it_does_neither(void **state)
{
	be_out_of_its_mind();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_server_out_of_its_mind_doubles_nothing_and_loses_nothing_in_silence, setup,
			teardown),
		cmocka_unit_test_setup_teardown(over_tls_it_does_neither, setup_tls, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
