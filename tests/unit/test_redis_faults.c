/* worker/redis against a server that answers wrongly, in pieces, late or not at all. */
#include "mocked_world.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
