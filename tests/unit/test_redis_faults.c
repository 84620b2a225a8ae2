/* worker/redis against a server that answers wrongly, in pieces, late or not at all. */
#include "redis_handover.h"
#include "redis_mock.h"
#include "redis_race.h"

static struct world world;
static struct mock mock;

static int setup(void **state)
{
	world_init(&world);
	mock_start(&mock, &world);
	return 0;
}

static int teardown(void **state)
{
	redis_free(&world.redis);
	mock_stop(&mock);
	world_free(&world);
	return 0;
}

static void start(void)
{
	world_redis(&world);
	WAIT_FOR(&world, 3000, is_ready(&world));
}

struct answer {
	unsigned count;
	bool null;
	char text[128];
};

static void on_answer(void *arg, const struct redis_reply *reply)
{
	struct answer *a = arg;

	a->count++;
	a->null = reply == NULL;
	if (reply != NULL)
		snprintf(a->text, sizeof(a->text), "%.*s", BYTES_FMT(reply->text));
}

static void echo(struct answer *a, const char *text)
{
	struct bytes argv[2] = {BYTES("ECHO"), BYTES_OF_STR(text)};

	*a = (struct answer){.count = 0};
	redis_call(world.redis, argv, 2, on_answer, a);
}

/* What the tests let the server say instead of what is right. */
static const char *instead_of; /* this command */
static const char *say;        /* "" for nothing */
static unsigned times;         /* so often, then what is right */

static bool say_instead(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, instead_of) || times == 0)
		return false;
	times--;
	mock_send(c, say);
	return true;
}

static void let_say(const char *command, const char *text, unsigned how_often)
{
	mock.on_command = say_instead;
	instead_of = command;
	say = text;
	times = how_often;
}

/* --- in pieces --- */

static void replies_may_come_byte_by_byte(void **state)
{
	struct listener_sub l;
	struct answer a;

	world.config.redis.canary_timeout_ms = 2000;
	mock.byte_by_byte = true;
	start();
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	mock_publish(&mock, "t:a", "1");
	echo(&a, "hello");
	WAIT_FOR(&world, 2000, a.count == 1 && l.messages == 1);
	assert_string_equal(a.text, "hello");
	redis_sub_close(&l.sub);
}

static struct mock_conn *silent;

static bool be_silent_there(struct mock_conn *c, const redisReply *command)
{
	return c == silent;
}

static void half_a_reply_and_then_nothing_is_a_dead_connection(void **state)
{
	struct answer a;
	struct answer b;
	unsigned accepted;

	world.config.redis.connect_timeout_ms = 8000; /* on a busy machine none is made beside the new one */
	start();
	accepted = mock.accepted;
	silent = mock_calls(&mock);
	mock.on_command = be_silent_there;
	echo(&a, "x");
	echo(&b, "y");
	mock_send(silent, "$1000000000\r\nabc");
	WAIT_FOR(&world, 1000, a.count == 1 && b.count == 1);
	assert_true(a.null && b.null);
	WAIT_FOR(&world, 1000, !is_ready(&world));
	WAIT_FOR(&world, 3000, is_ready(&world));
	/* To find out, and to go on with. A third one, of the subscriber, would be made had that heard
	 * nothing since the command connection fell silent: it has heard what the first one published to find
	 * out. */
	assert_int_equal(mock.accepted, accepted + 2);
	echo(&a, "x");
	WAIT_FOR(&world, 1000, a.count == 1 && !a.null);
}

/* --- logging in --- */

static void a_loading_redis_is_waited_for(void **state)
{
	let_say("PING", "-LOADING Redis is loading the dataset in memory\r\n", 8);
	world_redis(&world);
	WAIT_FOR(&world, 2000, strstr(reason(&world), "is not ready: LOADING") != NULL);
	WAIT_FOR(&world, 5000, is_ready(&world));
	assert_int_equal(mock.accepted, 8 + 2);
}

static void a_replica_is_no_use(void **state)
{
	let_say("ROLE", "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:6379\r\n$9\r\nconnected\r\n:1\r\n", 4);
	world_redis(&world);
	WAIT_FOR(&world, 2000, strstr(reason(&world), "read-only replica") != NULL);
	WAIT_FOR(&world, 5000, is_ready(&world));
}

static void a_redis_that_wants_a_password_is_asked_seldom(void **state)
{
	let_say("CLIENT", "-NOAUTH Authentication required.\r\n", UINT32_MAX);
	world_redis(&world);
	WAIT_FOR(&world, 2000, strstr(reason(&world), "refused authentication: NOAUTH") != NULL);
	STAYS_SO(&world, 1500, !is_ready(&world));
	assert_int_equal(mock.accepted, 2);
}

static void courtesies_may_be_forbidden(void **state)
{
	unsigned round = 0;
	const char *const commands[] = {"CLIENT", "ROLE", "PING", "PING"};
	const char *const errors[] = {"-NOPERM no\r\n", "-NOPERM no\r\n", "-NOPERM no\r\n",
	                              "-MISCONF disk\r\n"};

	for (round = 0; round < 4; round++) {
		let_say(commands[round], errors[round], 2);
		start();
		assert_int_equal(times, 0);
		redis_free(&world.redis);
	}
}

static void a_server_that_never_answers_is_noticed(void **state)
{
	let_say("PING", "", UINT32_MAX);
	world_redis(&world);
	WAIT_FOR(&world, 2000, strstr(reason(&world), "does not answer") != NULL);
	times = 0;
	WAIT_FOR(&world, 3000, is_ready(&world));
}

/* The way into the socket is shut before the first word is sent. */
static void what_was_said_before_the_end_is_heard(void **state)
{
	static const char full[] = "-ERR max number of clients reached\r\n";

	mock.deaf = true;
	world_redis(&world);
	for (int i = 0; i < 2; i++) {
		int fd = accept(mock.acceptable.fd, NULL, NULL);

		assert_int_equal(write(fd, full, sizeof(full) - 1), sizeof(full) - 1);
		close(fd);
	}
	WAIT_FOR(&world, 1000, strstr(reason(&world), "has no room for another client") != NULL);
	mock_listen_again(&mock);
	WAIT_FOR(&world, 5000, is_ready(&world));
}

static void a_server_that_closes_at_once_is_not_hammered(void **state)
{
	mock.refuse = true;
	world_redis(&world);
	STAYS_SO(&world, 2000, !is_ready(&world));
	/* 50 ms and then doubled, each at least the half of it, for two connections. */
	assert_true(mock.accepted >= 6 && mock.accepted <= 20);
	assert_non_null(strstr(reason(&world), "cannot connect to Redis"));
	mock.refuse = false;
	WAIT_FOR(&world, 3000, is_ready(&world));
}

/* --- wrong answers --- */

static void check_recovery(const char *why)
{
	struct answer a;
	unsigned accepted = mock.accepted;

	WAIT_FOR(&world, 1000, !is_ready(&world) && strstr(reason(&world), why) != NULL);
	WAIT_FOR(&world, 3000, is_ready(&world));
	assert_int_equal(mock.accepted, accepted + 1);
	echo(&a, "x");
	WAIT_FOR(&world, 1000, a.count == 1 && !a.null);
}

static void nonsense_breaks_the_command_connection_and_it_is_made_again(void **state)
{
	start();
	mock_send(mock_calls(&mock), "HTTP/1.1 400 Bad Request\r\n");
	check_recovery("does not speak its protocol");
	mock_send(mock_calls(&mock), "+OK\r\n");
	check_recovery("(command connection) sent a reply to nothing");
	mock_send(mock_calls(&mock), "-ERR ERR what nobody asked\r\n");
	check_recovery("a reply to nothing: what nobody asked");
	mock_send(mock_calls(&mock), "*2000000\r\n");
	check_recovery("array too large");
}

static void nonsense_breaks_the_subscriber_connection_and_it_is_made_again(void **state)
{
	static const char *const pushes[] = {
		":1\r\n",
		"$-1\r\n",
		"*0\r\n",
		"*3\r\n$7\r\nmessage\r\n$3\r\nt:a\r\n:1\r\n",
		"*3\r\n$7\r\nmessage\r\n$-1\r\n$1\r\n1\r\n",
		"*3\r\n:1\r\n:1\r\n:1\r\n",
		"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$3\r\nt:a\r\n$1\r\n1\r\n",
		"*3\r\n$9\r\nsubscribe\r\n$3\r\nt:a\r\n:1\r\n",
		"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n",
		"-ERR something\r\n",
		"!\r\n",
	};
	struct listener_sub l;

	start();
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	for (unsigned i = 0; i < ARRAY_LEN(pushes); i++) {
		mock_send(mock_subscriber(&mock, "t:a"), pushes[i]);
		WAIT_FOR(&world, 4000, l.confirmed == i + 2 && is_ready(&world));
		l.last = 0;
		mock_publish(&mock, "t:a", "1");
		WAIT_FOR(&world, 1000, l.last == 1);
	}
	redis_sub_close(&l.sub);
}

/* As Redis does when client-output-buffer-limit is too small. */
static void who_is_owed_an_answer_and_closed_is_told_where_to_look(void **state)
{
	struct answer a;

	world.config.redis.connect_timeout_ms = world.config.redis.call_timeout_ms = 8000;
	world.config.redis.canary_interval_ms = 60000;
	start();
	mock_close(mock_calls(&mock));
	WAIT_FOR(&world, 1000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), "lost the command connection to Redis"));
	assert_null(strstr(reason(&world), "limit"));
	WAIT_FOR(&world, 3000, is_ready(&world));
	silent = mock_calls(&mock);
	mock.on_command = be_silent_there;
	echo(&a, "x");
	STAYS_SO(&world, 50, a.count == 0);
	mock_close(silent);
	WAIT_FOR(&world, 1000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), "closed by Redis; its log tells"));
	assert_non_null(strstr(reason(&world), "client-output-buffer-limit normal"));
	WAIT_FOR(&world, 3000, is_ready(&world));
	silent = mock_calls(&mock);
	echo(&a, "x");
	mock_send(silent, "*2\r\n$1\r\na\r\n");
	STAYS_SO(&world, 50, a.count == 0);
	mock_close(silent);
	WAIT_FOR(&world, 1000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), "closed by Redis in the middle of a reply; its log tells"));
	mock.on_command = NULL;
	WAIT_FOR(&world, 3000, is_ready(&world));
	mock_close(mock_subscriber(&mock, "t.canary.n1"));
	WAIT_FOR(&world, 1000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), "lost the subscriber connection to Redis"));
	assert_non_null(strstr(reason(&world), "client-output-buffer-limit pubsub"));
}

static void messages_on_channels_that_nobody_wants_are_dropped(void **state)
{
	struct listener_sub l;
	struct mock_conn *c;

	start();
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	c = mock_subscriber(&mock, "t:a");
	mock_send(
		c,
		"*3\r\n$7\r\nmessage\r\n$3\r\nt:b\r\n$1\r\n1\r\n*3\r\n$7\r\nmessage\r\n$0\r\n\r\n$1\r\n1\r\n");
	mock_publish(&mock, "t:a", "1");
	WAIT_FOR(&world, 1000, l.messages == 1);
	assert_true(is_ready(&world));
	redis_sub_close(&l.sub);
}

static void a_master_that_became_a_replica_is_left(void **state)
{
	struct answer a;

	start();
	let_say("ECHO", "-READONLY You can't write against a read only replica.\r\n", 1);
	echo(&a, "x");
	WAIT_FOR(&world, 1000, a.count == 1);
	assert_false(a.null);
	check_recovery("read-only replica");
}

/* None of them says that the connection is no good. Who called is told; the next call is a new one. */
static void errors_of_a_command_are_its_own_affair(void **state)
{
	static const char *const errors[] = {
		"MOVED 3999 10.0.0.1:6379",
		"ASK 3999 10.0.0.1:6379",
		"CROSSSLOT Keys in request don't hash to the same slot",
		"CLUSTERDOWN The cluster is down",
		"TRYAGAIN Multiple keys request during rehashing of slot",
		"LOADING Redis is loading the dataset in memory",
		"NOAUTH Authentication required.",
		"NOPERM this user has no permissions",
		"OOM command not allowed when used memory > 'maxmemory'.",
		"WRONGTYPE Operation against a key holding the wrong kind of value",
		"%s%n%s",
		"",
	};
	struct answer a;
	char line[128];
	unsigned accepted;

	start();
	accepted = mock.accepted;
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		snprintf(line, sizeof(line), "-%s\r\n", errors[i]);
		let_say("ECHO", line, 1);
		echo(&a, "x");
		WAIT_FOR(&world, 1000, a.count == 1);
		assert_false(a.null);
		assert_string_equal(a.text, errors[i]);
		echo(&a, "x");
		WAIT_FOR(&world, 1000, a.count == 1);
		assert_string_equal(a.text, "x");
	}
	assert_true(is_ready(&world));
	assert_int_equal(mock.accepted, accepted);
}

/* --- confirmations --- */

/* Confirms what it is asked for, but forgets one channel. */
static const char *forgotten;

static bool forget_one(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "SUBSCRIBE") || forgotten == NULL)
		return false;
	for (size_t i = 1; i < command->elements; i++) {
		if (forgotten != NULL && strcmp(command->element[i]->str, forgotten) == 0)
			forgotten = NULL;
		else
			mock_subscribe(c, command->element[i]->str);
	}
	return true;
}

static void a_lost_confirmation_in_the_middle_is_noticed_by_the_next(void **state)
{
	struct listener_sub l[3];

	start();
	mock.on_command = forget_one;
	forgotten = "t:b";
	listen_on(&world, &l[0], "t:a");
	listen_on(&world, &l[1], "t:b");
	listen_on(&world, &l[2], "t:c");
	for (int i = 0; i < 3; i++)
		WAIT_FOR(&world, 3000, redis_sub_confirmed(l[i].sub));
	assert_null(forgotten);
	assert_int_equal(mock_publish(&mock, "t:b", "1"), 1);
	WAIT_FOR(&world, 1000, l[1].messages == 1);
	for (int i = 0; i < 3; i++)
		redis_sub_close(&l[i].sub);
}

static void a_lost_last_confirmation_is_noticed_in_time_and_costs_nothing(void **state)
{
	struct listener_sub a;
	struct listener_sub b;

	start();
	listen_on(&world, &a, "t:a");
	WAIT_FOR(&world, 2000, a.confirmed == 1);
	mock.on_command = forget_one;
	forgotten = "t:b";
	listen_on(&world, &b, "t:b");
	mock_publish(&mock, "t:a", "1");
	WAIT_FOR(&world, 1000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), "does not confirm"));
	mock_publish(&mock, "t:a", "2");
	WAIT_FOR(&world, 2000, b.confirmed == 1 && is_ready(&world));
	mock_publish(&mock, "t:a", "3");
	mock_publish(&mock, "t:b", "1");
	WAIT_FOR(&world, 1000, a.last == 3 && b.last == 1);
	assert_int_equal(a.lost + a.doubled + b.doubled, 0);
	assert_int_equal(a.confirmed, 1);
	redis_sub_close(&a.sub);
	redis_sub_close(&b.sub);
}

/* Does not answer when it is asked for t:b, alone or among others. */
static bool silent_about_b(struct mock_conn *c, const redisReply *command)
{
	for (size_t i = 1; is_command(command, "SUBSCRIBE") && i < command->elements; i++)
		if (strcmp(command->element[i]->str, "t:b") == 0)
			return true;
	return false;
}

static void a_confirmation_that_never_comes_is_noticed_also_after_one_that_came_late(void **state)
{
	struct listener_sub a;
	struct listener_sub b;
	struct listener_sub c;
	struct mock_conn *old;

	start();
	listen_on(&world, &a, "t:a");
	WAIT_FOR(&world, 2000, a.confirmed == 1);
	old = mock_subscriber(&mock, "t:a");
	mock.on_command = silent_about_b;
	listen_on(&world, &b, "t:b");
	listen_on(&world, &c, "t:c");
	WAIT_FOR(&world, 1000, !is_ready(&world));
	mock_subscribe(old, "t:b");
	WAIT_FOR(&world, 1000, is_ready(&world) && b.confirmed == 1);
	WAIT_FOR(&world, 1000, !is_ready(&world));
	mock.on_command = NULL;
	WAIT_FOR(&world, 3000, c.confirmed == 1 && is_ready(&world));
	redis_sub_close(&a.sub);
	redis_sub_close(&b.sub);
	redis_sub_close(&c.sub);
}

static bool forbid_most(struct mock_conn *c, const redisReply *command)
{
	for (size_t i = 1; is_command(command, "SUBSCRIBE") && i < command->elements; i++) {
		if (strncmp(command->element[i]->str, "t:no", 4) == 0) {
			mock_send(c, "-NOPERM no\r\n");
			return true;
		}
	}
	return false;
}

/* More of them than confirmations may be under way. */
static void behind_many_refusals_the_others_have_their_turn(void **state)
{
	enum { FORBIDDEN = 4600 };
	struct listener_sub *forbidden = mem_alloc(FORBIDDEN * sizeof(*forbidden));
	struct listener_sub allowed;
	char name[32];

	world.config.redis.call_timeout_ms = 2000;
	world.config.redis.canary_timeout_ms = 2000;
	start();
	mock.on_command = forbid_most;
	for (int i = 0; i < FORBIDDEN; i++) {
		snprintf(name, sizeof(name), "t:no%d", i);
		listen_on(&world, &forbidden[i], name);
	}
	listen_on(&world, &allowed, "t:yes");
	WAIT_FOR(&world, 5000, allowed.confirmed == 1);
	assert_true(is_ready(&world));
	for (int i = 0; i < FORBIDDEN; i++) {
		assert_false(redis_sub_confirmed(forbidden[i].sub));
		redis_sub_close(&forbidden[i].sub);
	}
	redis_sub_close(&allowed.sub);
	mem_free(forbidden);
}

/* --- canaries --- */

/* Says that it published, but does not: every connection is deaf. */
static bool swallow_publications(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "PUBLISH"))
		return false;
	mock_send(c, ":1\r\n");
	return true;
}

static void a_deaf_redis_is_never_ready_and_not_hammered(void **state)
{
	struct listener_sub l;
	unsigned accepted;
	uint64_t missed;

	start();
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	accepted = mock.accepted;
	missed = metrics_mine->values[METRIC_redis_canaries_missed];
	mock.on_command = swallow_publications;
	WAIT_FOR(&world, 1000, !is_ready(&world));
	assert_non_null(strstr(reason(&world), "not heard"));
	STAYS_SO(&world, 3000, !is_ready(&world));
	WAIT_FOR(&world, 10000, metrics_mine->values[METRIC_redis_canaries_missed] - missed >= 4);
	assert_true(mock.accepted - accepted <= metrics_mine->values[METRIC_redis_canaries_missed] - missed);
	/* What comes all the same is delivered. */
	mock_publish(&mock, "t:a", "1");
	WAIT_FOR(&world, 1000, l.messages == 1);
	mock.on_command = NULL;
	WAIT_FOR(&world, 5000, is_ready(&world));
	redis_sub_close(&l.sub);
}

static char marker[64];

/* One connection brings no canary and no marker, but a message when that is published. */
static bool lag_on_the_old_one(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "PUBLISH"))
		return false;
	mock_send(c, ":1\r\n");
	if (strncmp(word(command, 2), "marker ", strlen("marker ")) != 0)
		return true;
	snprintf(marker, sizeof(marker), "%s", word(command, 2));
	mock_push(mock_subscriber(&mock, word(command, 1)), "message", word(command, 1));
	mock_bulk(mock_subscriber(&mock, word(command, 1)), marker);
	mock_push(silent, "message", "t:a");
	mock_bulk(silent, "1");
	return true;
}

/* What is still on its way to us on a connection that is late would be lost. */
static void a_connection_that_is_late_is_waited_for_longer_than_a_dead_one(void **state)
{
	struct listener_sub l;

	start();
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	silent = mock_subscriber(&mock, "t:a");
	mock.on_command = lag_on_the_old_one;
	WAIT_FOR(&world, 4000, l.messages == 1);
	STAYS_SO(&world, REDIS_HANDOVER_BEHIND_MS * 3, silent->open && l.confirmed == 1);
	mock.on_command = NULL;
	mock_push(silent, "message", "t:a");
	mock_bulk(silent, "2");
	mock_push(silent, "message", "t.canary.n1");
	mock_bulk(silent, marker);
	WAIT_FOR(&world, 1000, !silent->open);
	WAIT_FOR(&world, 5000, is_ready(&world));
	assert_true(l.messages == 2 && l.confirmed == 1);
	redis_sub_close(&l.sub);
}

static unsigned markers;

/* Says that it published the canary, but does not, and refuses the marker. */
static bool refuse_markers(struct mock_conn *c, const redisReply *command)
{
	if (!is_command(command, "PUBLISH") || strncmp(word(command, 2), "marker ", 7) != 0)
		return swallow_publications(c, command);
	markers++;
	mock_send(c, "-OOM command not allowed\r\n");
	return true;
}

static void a_marker_that_is_refused_is_not_published_without_end(void **state)
{
	start();
	markers = 0;
	mock.on_command = refuse_markers;
	WAIT_FOR(&world, 2000, markers == 1);
	STAYS_SO(&world, 1500, markers <= 3);
	assert_true(markers > 1);
	mock.on_command = NULL;
	WAIT_FOR(&world, 3000, is_ready(&world));
}

static void canaries_of_others_prove_nothing(void **state)
{
	start();
	mock.on_command = swallow_publications;
	WAIT_FOR(&world, 1000, !is_ready(&world));
	for (int i = 0; i < 20; i++) {
		char text[64];
		snprintf(text, sizeof(text), "canary 0000000000000000 %d", i);
		mock_publish(&mock, "t.canary.n1", text);
		mock_publish(&mock, "t.canary.n1", "marker 0000000000000000 1");
		mock_publish(&mock, "t.canary.n1", "");
	}
	STAYS_SO(&world, 300, !is_ready(&world));
}

/* --- beside it another one --- */

static unsigned hang; /* so many connections, from the first one on, answer nothing */

static bool is_among_first(const struct mock_conn *c, unsigned count)
{
	unsigned age = 0;

	for (const struct mock_conn *other = c; other != NULL; other = other->next)
		age++;
	return age <= count;
}

static bool hang_at_first(struct mock_conn *c, const redisReply *command)
{
	return is_among_first(c, hang);
}

static void a_connection_that_hangs_is_overtaken(void **state)
{
	struct listener_sub l;
	struct answer a;

	world.config.redis.connect_timeout_ms = 8000;
	hang = 3;
	mock.on_command = hang_at_first;
	world_redis(&world);
	WAIT_FOR(&world, 6000, is_ready(&world));
	echo(&a, "hello");
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_string_equal(a.text, "hello");
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	mock_publish(&mock, "t:a", "1");
	WAIT_FOR(&world, 1000, l.messages == 1);
	redis_sub_close(&l.sub);
}

static void over_tls_it_is_overtaken_too(void **state)
{
	static char big[40000];
	struct mock tls;
	struct answer a;

	memset(big, 'x', sizeof(big) - 1);
	mock_start_tls(&tls, &world);
	world.config.redis.connect_timeout_ms = 8000;
	hang = 2;
	tls.on_command = hang_at_first;
	world_redis(&world);
	WAIT_FOR(&world, 7000, is_ready(&world));
	assert_true(tls.accepted >= 4);
	echo(&a, big);
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_false(a.null);
	redis_free(&world.redis);
	mock_stop(&tls);
}

static bool be_silent(struct mock_conn *c, const redisReply *command)
{
	return true;
}

/* Two connections, and one beside each, which are not replaced while they get on. */
static void a_slow_handshake_is_not_begun_again(void **state)
{
	struct mock tls;

	mock_start_tls(&tls, &world);
	world.config.redis.connect_timeout_ms = 8000;
	tls.deaf = true;
	tls.on_command = be_silent;
	world_redis(&world);
	WAIT_FOR(&world, 4000, tls.accepted == 4);
	STAYS_SO(&world, 3000, tls.accepted == 4);
	mock_listen_again(&tls);
	STAYS_SO(&world, 1200, tls.accepted == 4);
	tls.on_command = NULL;
	for (struct mock_conn *c = tls.conns; c != NULL; c = c->next)
		mock_send(c, "+OK\r\n+OK\r\n+OK\r\n+PONG\r\n");
	WAIT_FOR(&world, 3000, is_ready(&world));
	assert_int_equal(tls.accepted, 4);
	redis_free(&world.redis);
	mock_stop(&tls);
}

static unsigned open_at_mock(void)
{
	unsigned count = 0;

	for (const struct mock_conn *c = mock.conns; c != NULL; c = c->next)
		count += c->open;
	return count;
}

/* A Redis that takes longer than it takes to make another connection, each time. */
static void who_is_slow_is_waited_for_all_the_same(void **state)
{
	struct mock_conn *second, *first;

	world.config.redis.connect_timeout_ms = 8000;
	hang = 1000;
	mock.on_command = hang_at_first;
	world_redis(&world);
	WAIT_FOR(&world, 7500, mock.accepted == 6);
	mock.on_command = NULL;
	second = mock.conns;
	while (second->next->next != NULL)
		second = second->next;
	first = second->next;
	mock_send(first, "+OK\r\n+OK\r\n+OK\r\n+PONG\r\n");
	mock_send(second, "+OK\r\n+OK\r\n+OK\r\n+PONG\r\n");
	WAIT_FOR(&world, 1000, is_ready(&world));
	assert_true(first->open && second->open);
	WAIT_FOR(&world, 1000, open_at_mock() == 2);
}

/* Long before its calls are overdue. */
static void a_half_open_command_connection_is_noticed(void **state)
{
	struct answer a;

	world.config.redis.call_timeout_ms = 10000;
	world.config.redis.canary_timeout_ms = 60000;
	start();
	silent = mock_calls(&mock);
	mock.on_command = be_silent_there;
	echo(&a, "lost");
	WAIT_FOR(&world, 8000, a.count == 1);
	assert_true(a.null);
	WAIT_FOR(&world, 2000, is_ready(&world));
	WAIT_FOR(&world, 2000, !silent->open);
}

static bool hang_at_first_calls(struct mock_conn *c, const redisReply *command)
{
	return c != mock_subscriber(&mock, "t.canary.n1") && hang_at_first(c, command);
}

/* Made while packets are lost, and waited for for as long as a try may take, it would keep the others away.
 */
static void one_that_hangs_beside_a_half_open_one_is_overtaken_too(void **state)
{
	struct answer a;

	world.config.redis.connect_timeout_ms = 4000;
	world.config.redis.call_timeout_ms = 10000;
	world.config.redis.canary_timeout_ms = 60000;
	start();
	silent = mock_calls(&mock);
	hang = mock.accepted + 1;
	mock.on_command = hang_at_first_calls;
	echo(&a, "lost");
	WAIT_FOR(&world, 8500, a.count == 1);
	assert_true(a.null);
	WAIT_FOR(&world, 2000, is_ready(&world) && !silent->open);
}

/* Nor do they hear what proves that one beside them is alive. */
static bool be_dead_at_both(struct mock_conn *c, const redisReply *command)
{
	if (is_among_first(c, 2))
		return true;
	if (!is_command(command, "PUBLISH") || strcmp(word(command, 2), "") != 0)
		return false;
	mock_send(c, ":0\r\n");
	return true;
}

/* No canary shows it. It has brought something since the call was sent that is not answered. */
static void a_subscriber_connection_that_dies_with_the_other_is_doubted_too(void **state)
{
	struct listener_sub l;
	struct answer a;
	unsigned accepted;

	world.config.redis.call_timeout_ms = 2000;
	world.config.redis.canary_timeout_ms = 60000;
	start();
	listen_on(&world, &l, "t:a");
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	accepted = mock.accepted;
	mock.on_command = be_dead_at_both;
	echo(&a, "lost");
	mock_publish(&mock, "t:a", "1");
	WAIT_FOR(&world, 1000, l.messages == 1);
	WAIT_FOR(&world, 8000, a.count == 1);
	/* To find out, to go on with, and in place of the subscriber. */
	WAIT_FOR(&world, 8000, mock.accepted == accepted + 3);
	redis_sub_close(&l.sub);
}

/* It answers on no other connection either. */
static void a_busy_redis_keeps_its_command_connection(void **state)
{
	unsigned accepted;
	struct mock_conn *calls;
	struct answer a;

	world.config.redis.call_timeout_ms = 4000;
	world.config.redis.connect_timeout_ms = 60000;
	world.config.redis.canary_interval_ms = 60000;
	start();
	calls = mock_calls(&mock);
	accepted = mock.accepted;
	mock.on_command = be_silent;
	echo(&a, "late");
	WAIT_FOR(&world, 3500, mock.accepted > accepted);
	STAYS_SO(&world, 300, calls->open && a.count == 0);
	mock.on_command = NULL;
	mock_send(calls, "$4\r\nlate\r\n");
	WAIT_FOR(&world, 500, a.count == 1);
	assert_string_equal(a.text, "late");
	mock_send(mock.conns, "+OK\r\n+OK\r\n+OK\r\n+PONG\r\n");
	WAIT_FOR(&world, 1000, open_at_mock() == 2);
	assert_true(calls->open);
}

/* What CLIENT PAUSE … WRITE and a failover do: whatever may write waits, on all connections, the rest is
 * answered. */
static bool hold_back_writes(struct mock_conn *c, const redisReply *command)
{
	c->blocked = c->blocked || is_command(command, "PUBLISH") || is_command(command, "FCALL") ||
	             is_command(command, "ECHO");
	return c->blocked;
}

static void a_redis_that_holds_back_writes_keeps_its_command_connection(void **state)
{
	unsigned accepted;
	struct mock_conn *calls;
	struct answer a;

	world.config.redis.call_timeout_ms = 4000;
	world.config.redis.canary_interval_ms = 60000;
	start();
	calls = mock_calls(&mock);
	accepted = mock.accepted;
	mock.on_command = hold_back_writes;
	echo(&a, "late");
	WAIT_FOR(&world, 3500, mock.accepted > accepted);
	STAYS_SO(&world, 3 * REDIS_RACE_PROOF_MS, calls->open && a.count == 0);
	mock.on_command = NULL;
	mock_send(mock.conns, ":0\r\n");
	mock_send(calls, "$4\r\nlate\r\n");
	WAIT_FOR(&world, 500, a.count == 1);
	assert_string_equal(a.text, "late");
	WAIT_FOR(&world, 1000, open_at_mock() == 2);
	assert_true(calls->open && mock.accepted == accepted + 1);
}

static bool hold_back_on_the_old_one(struct mock_conn *c, const redisReply *command)
{
	if (c == silent)
		return true;
	if (!is_command(command, "PUBLISH") || strcmp(word(command, 2), "") != 0)
		return false;
	mock_send(c, "-NOPERM no\r\n");
	return true;
}

static void a_proof_that_is_refused_is_one_too(void **state)
{
	struct answer a;

	world.config.redis.call_timeout_ms = 10000;
	world.config.redis.canary_timeout_ms = 60000;
	start();
	silent = mock_calls(&mock);
	mock.on_command = hold_back_on_the_old_one;
	echo(&a, "lost");
	WAIT_FOR(&world, 8000, a.count == 1);
	assert_true(a.null);
	WAIT_FOR(&world, 2000, is_ready(&world) && !silent->open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define FAULT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		FAULT(replies_may_come_byte_by_byte),
		FAULT(half_a_reply_and_then_nothing_is_a_dead_connection),
		FAULT(a_loading_redis_is_waited_for),
		FAULT(a_replica_is_no_use),
		FAULT(a_redis_that_wants_a_password_is_asked_seldom),
		FAULT(courtesies_may_be_forbidden),
		FAULT(a_server_that_never_answers_is_noticed),
		FAULT(what_was_said_before_the_end_is_heard),
		FAULT(a_server_that_closes_at_once_is_not_hammered),
		FAULT(nonsense_breaks_the_command_connection_and_it_is_made_again),
		FAULT(nonsense_breaks_the_subscriber_connection_and_it_is_made_again),
		FAULT(who_is_owed_an_answer_and_closed_is_told_where_to_look),
		FAULT(messages_on_channels_that_nobody_wants_are_dropped),
		FAULT(a_master_that_became_a_replica_is_left),
		FAULT(errors_of_a_command_are_its_own_affair),
		FAULT(a_lost_confirmation_in_the_middle_is_noticed_by_the_next),
		FAULT(a_lost_last_confirmation_is_noticed_in_time_and_costs_nothing),
		FAULT(a_confirmation_that_never_comes_is_noticed_also_after_one_that_came_late),
		FAULT(behind_many_refusals_the_others_have_their_turn),
		FAULT(a_deaf_redis_is_never_ready_and_not_hammered),
		FAULT(a_connection_that_is_late_is_waited_for_longer_than_a_dead_one),
		FAULT(a_marker_that_is_refused_is_not_published_without_end),
		FAULT(canaries_of_others_prove_nothing),
		FAULT(a_connection_that_hangs_is_overtaken),
		FAULT(over_tls_it_is_overtaken_too),
		FAULT(a_slow_handshake_is_not_begun_again),
		FAULT(who_is_slow_is_waited_for_all_the_same),
		FAULT(a_half_open_command_connection_is_noticed),
		FAULT(one_that_hangs_beside_a_half_open_one_is_overtaken_too),
		FAULT(a_subscriber_connection_that_dies_with_the_other_is_doubted_too),
		FAULT(a_busy_redis_keeps_its_command_connection),
		FAULT(a_redis_that_holds_back_writes_keeps_its_command_connection),
		FAULT(a_proof_that_is_refused_is_one_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
