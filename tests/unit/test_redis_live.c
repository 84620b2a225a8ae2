/* worker/redis against a real Redis that works, goes away, comes back, freezes and loses connections. */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "redis_subs.h"
#include "redis_world.h"

static struct redis_call *call(struct world *w, struct answer *a, const char *word, const char *arg)
{
	struct bytes argv[2] = {BYTES_OF_STR(word), BYTES_OF_STR(arg)};

	*a = (struct answer){.count = 0};
	return redis_call(w->redis, argv, arg[0] != '\0' ? 2 : 1, on_answer, a);
}

static void start(struct world *w)
{
	world_redis(w);
	assert_false(is_ready(w));
	assert_non_null(strstr(reason(w), "connecting to Redis at unix:/"));
	WAIT_FOR(w, 5000, is_ready(w));
}

/* --- calls --- */

static void calls_are_answered_in_order(void **state)
{
	struct world *w = *state;
	struct answer answers[100];
	char number[16];

	start(w);
	for (int i = 0; i < 100; i++) {
		snprintf(number, sizeof(number), "%d", i);
		call(w, &answers[i], "ECHO", number);
		assert_int_equal(answers[i].count, 0);
	}
	WAIT_FOR(w, 2000, answers[99].count == 1);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(answers[i].count, 1);
		assert_int_equal(answers[i].type, REDIS_STRING);
		assert_int_equal(atoi(answers[i].text), i);
	}
	call(w, &answers[0], "NOSUCH", "");
	WAIT_FOR(w, 2000, answers[0].count == 1);
	assert_int_equal(answers[0].type, REDIS_ERROR);
}

static void a_cancelled_call_is_never_answered_and_shifts_nothing(void **state)
{
	struct world *w = *state;
	struct answer answers[3];
	struct redis_call *calls[3];

	start(w);
	calls[0] = call(w, &answers[0], "ECHO", "a");
	calls[1] = call(w, &answers[1], "ECHO", "b");
	calls[2] = call(w, &answers[2], "ECHO", "c");
	redis_call_cancel(&calls[1]);
	assert_null(calls[1]);
	WAIT_FOR(w, 2000, answers[2].count == 1);
	assert_string_equal(answers[0].text, "a");
	assert_int_equal(answers[1].count, 0);
	assert_string_equal(answers[2].text, "c");
}

static void calls_without_redis_are_answered_by_null_but_not_from_within(void **state)
{
	struct world *w = *state;
	struct answer a;
	struct answer cancelled;
	struct redis_call *c;

	server_stop(w);
	world_redis(w);
	call(w, &a, "PING", "");
	c = call(w, &cancelled, "PING", "");
	redis_call_cancel(&c);
	assert_int_equal(a.count, 0);
	WAIT_FOR(w, 2000, a.count == 1);
	assert_true(a.null);
	assert_int_equal(cancelled.count, 0);
	WAIT_FOR(w, 2000, strstr(reason(w), "cannot connect to Redis at ") != NULL);
}

static void a_frozen_redis_lets_calls_time_out_and_late_replies_harm_nobody(void **state)
{
	struct world *w = *state;
	struct answer slow;
	struct answer next;
	uint64_t connects;

	start(w);
	connects = metrics_mine->values[METRIC_redis_connects];
	kill(w->server, SIGSTOP);
	call(w, &slow, "ECHO", "slow");
	WAIT_FOR(w, 1000, slow.count == 1);
	assert_true(slow.null);
	WAIT_FOR(w, 1000, !is_ready(w));
	kill(w->server, SIGCONT);
	call(w, &next, "ECHO", "next");
	WAIT_FOR(w, 1000, next.count == 1);
	assert_string_equal(next.text, "next");
	assert_int_equal(slow.count, 1);
	WAIT_FOR(w, 2000, is_ready(w));
	/* It was only slow: the connections are the same. */
	assert_int_equal(metrics_mine->values[METRIC_redis_connects], connects);
}

static void calls_beyond_the_ceiling_are_answered_by_null(void **state)
{
	struct world *w = *state;
	static char big[1 << 20];
	static struct answer answers[40];
	unsigned refused = 0;
	struct bytes argv[2] = {BYTES("ECHO"), {big, sizeof(big)}};

	w->config.redis.call_timeout_ms = 20000;
	w->config.redis.canary_timeout_ms = 20000;
	start(w);
	memset(big, 'x', sizeof(big));
	for (int i = 0; i < 40; i++) {
		answers[i] = (struct answer){.count = 0};
		redis_call(w->redis, argv, 2, on_answer, &answers[i]);
	}
	for (int i = 0; i < 40; i++) {
		WAIT_FOR(w, 5000, answers[i].count == 1);
		refused += answers[i].null;
	}
	assert_int_equal(refused, 40 - 15);
}

/* --- subscriptions --- */

static void many_channels_are_subscribed_and_messages_come_in_order(void **state)
{
	struct world *w = *state;
	enum { CHANNELS = 3000 };
	struct listener_sub *subs = mem_alloc(CHANNELS * sizeof(*subs));
	redisContext *admin = admin_connect(w);
	char channel[64];

	start(w);
	for (int i = 0; i < CHANNELS; i++) {
		snprintf(channel, sizeof(channel), "t:channel-%d", i);
		listen_on(w, &subs[i], channel);
		assert_int_equal(subs[i].confirmed, 0);
	}
	for (int i = 0; i < CHANNELS; i++)
		WAIT_FOR(w, 5000, subs[i].confirmed == 1);
	assert_true(redis_sub_confirmed(subs[7].sub));
	for (int i = 0; i < CHANNELS; i++)
		for (int n = 1; n <= 3; n++)
			publish_number(admin, subs[i].channel, n);
	for (int i = 0; i < CHANNELS; i++) {
		WAIT_FOR(w, 5000, subs[i].messages == 3);
		assert_int_equal(subs[i].lost + subs[i].doubled, 0);
		redis_sub_close(&subs[i].sub);
	}
	assert_true(is_ready(w));
	WAIT_FOR(w, 5000, admin_integer(admin, "PUBLISH t:channel-0 4") == 0);
	WAIT_FOR(w, 5000, admin_integer(admin, "PUBLISH t:channel-2999 4") == 0);
	assert_int_equal(subs[0].messages, 3);
	redisFree(admin);
	mem_free(subs);
}

static void a_channel_reopened_while_it_lingers_is_confirmed_at_once(void **state)
{
	struct world *w = *state;
	struct listener_sub l;
	struct listener_sub again;
	redisContext *admin = admin_connect(w);

	start(w);
	listen_on(w, &l, "t:a");
	WAIT_FOR(w, 2000, l.confirmed == 1);
	redis_sub_close(&l.sub);
	listen_on(w, &again, "t:a");
	assert_true(redis_sub_confirmed(again.sub));
	publish_number(admin, "t:a", 1);
	WAIT_FOR(w, 2000, again.messages == 1);
	assert_int_equal(l.messages, 0);
	assert_int_equal(again.confirmed, 0);
	/* Longer than it lingers: it must not be unsubscribed behind the back of the new owner. */
	STAYS_SO(w, 300, redis_sub_confirmed(again.sub));
	assert_int_equal(admin_integer(admin, "PUBLISH t:a 2"), 1);
	WAIT_FOR(w, 2000, again.messages == 2);
	redis_sub_close(&again.sub);
	redisFree(admin);
}

/* A client that goes from name to name would otherwise leave as many behind as it manages in the time. */
static void only_so_many_subscriptions_linger(void **state)
{
	struct world *w = *state;
	enum { CHANNELS = REDIS_LINGERING_MAX + 10 };
	redisContext *admin = admin_connect(w);
	struct listener_sub l;
	char channel[64];

	w->config.redis.unsubscribe_linger_ms = 60000;
	start(w);
	for (int i = 0; i < CHANNELS; i++) {
		snprintf(channel, sizeof(channel), "t:%d", i);
		listen_on(w, &l, channel);
		if (i % 500 == 0 || i == CHANNELS - 1)
			WAIT_FOR(w, 5000, l.confirmed == 1);
		redis_sub_close(&l.sub);
	}
	WAIT_FOR(w, 5000, admin_integer(admin, "PUBLISH t:9 1") == 0);
	assert_int_equal(admin_integer(admin, "PUBLISH t:10 1"), 1);
	snprintf(channel, sizeof(channel), "PUBLISH t:%d 1", CHANNELS - 1);
	assert_int_equal(admin_integer(admin, channel), 1);
	redisFree(admin);
}

/* Without lingering every close and reopen meets an UNSUBSCRIBE at another point of its way. */
static void a_channel_reopened_while_it_is_unsubscribed_is_subscribed_again(void **state)
{
	struct world *w = *state;
	struct listener_sub l;
	redisContext *admin = admin_connect(w);

	w->config.redis.unsubscribe_linger_ms = 0;
	start(w);
	for (int turns = 0; turns < 60; turns++) {
		listen_on(w, &l, "t:a");
		WAIT_FOR(w, 2000, redis_sub_confirmed(l.sub));
		publish_number(admin, "t:a", 1);
		WAIT_FOR(w, 2000, l.messages == 1);
		redis_sub_close(&l.sub);
		for (int i = 0; i < turns % 6; i++)
			ev_run(loop_ev(w->loop), EVRUN_NOWAIT);
	}
	WAIT_FOR(w, 2000, admin_integer(admin, "PUBLISH t:a 2") == 0);
	assert_true(is_ready(w));
	redisFree(admin);
}

static void channels_carry_any_bytes(void **state)
{
	struct world *w = *state;
	struct listener_sub l = {.messages = 0};
	struct bytes channel = BYTES("t:a\r\nSUBSCRIBE %s%n*\0b");
	struct answer a;
	struct bytes argv[3] = {BYTES("PUBLISH"), channel, BYTES("1")};

	start(w);
	l.sub = redis_sub_open(w->redis, channel, &l);
	WAIT_FOR(w, 2000, l.confirmed == 1);
	a = (struct answer){.count = 0};
	redis_call(w->redis, argv, 3, on_answer, &a);
	WAIT_FOR(w, 2000, a.count == 1 && l.messages == 1);
	assert_int_equal(a.integer, 1);
	redis_sub_close(&l.sub);
}

/* --- losses --- */

static void a_killed_subscriber_connection_is_made_again_and_told(void **state)
{
	struct world *w = *state;
	struct listener_sub l;
	struct listener_sub lingering;
	redisContext *admin = admin_connect(w);

	w->config.redis.unsubscribe_linger_ms = 60000;
	start(w);
	listen_on(w, &l, "t:a");
	listen_on(w, &lingering, "t:b");
	WAIT_FOR(w, 2000, l.confirmed == 1 && lingering.confirmed == 1);
	redis_sub_close(&lingering.sub);
	for (unsigned i = 2; i < 5; i++) {
		assert_true(admin_integer(admin, "CLIENT KILL TYPE pubsub") >= 1);
		WAIT_FOR(w, 3000, l.confirmed == i);
		WAIT_FOR(w, 3000, is_ready(w));
		publish_number(admin, "t:a", i);
		WAIT_FOR(w, 3000, l.last == i);
	}
	assert_int_equal(l.doubled, 0);
	assert_int_equal(lingering.confirmed, 1);
	redis_sub_close(&l.sub);
	redisFree(admin);
}

static void a_restarted_redis_is_found_again(void **state)
{
	struct world *w = *state;
	struct listener_sub l;
	struct answer a;
	unsigned changes;
	redisContext *admin;

	start(w);
	listen_on(w, &l, "t:a");
	WAIT_FOR(w, 2000, l.confirmed == 1);
	changes = w->ready_changes;
	server_stop(w);
	WAIT_FOR(w, 2000, !is_ready(w));
	assert_false(redis_sub_confirmed(l.sub));
	STAYS_SO(w, 1500, !is_ready(w));
	call(w, &a, "PING", "");
	WAIT_FOR(w, 1000, a.count == 1);
	assert_true(a.null);
	assert_int_equal(w->ready_changes, changes + 1);
	server_start(w, "--loglevel", "notice");
	WAIT_FOR(w, 4000, is_ready(w) && l.confirmed == 2);
	assert_int_equal(w->ready_changes, changes + 2);
	admin = admin_connect(w);
	publish_number(admin, "t:a", 1);
	WAIT_FOR(w, 2000, l.messages == 1);
	redis_sub_close(&l.sub);
	redisFree(admin);
}

static void a_freeze_neither_loses_nor_doubles_messages(void **state)
{
	struct world *w = *state;
	struct listener_sub l;
	enum { COUNT = 100000 };
	redisContext *admin = admin_connect(w);
	pid_t publisher;
	long at_freeze;

	start(w);
	listen_on(w, &l, "t:a");
	WAIT_FOR(w, 2000, l.confirmed == 1);
	publisher = publisher_start(w, "t:a", COUNT);
	WAIT_FOR(w, 5000, l.last > 5000);
	kill(w->server, SIGSTOP);
	WAIT_FOR(w, 1500, !is_ready(w));
	at_freeze = l.last;
	/* Long enough for the command link to be given up. */
	STAYS_SO(w, 1500, !is_ready(w));
	assert_true(l.last < COUNT && l.last - at_freeze < 5000);
	kill(w->server, SIGCONT);
	WAIT_FOR(w, 3000, is_ready(w));
	WAIT_FOR(w, 20000, l.last == COUNT);
	publisher_done(publisher);
	assert_int_equal(l.lost, 0);
	assert_int_equal(l.doubled, 0);
	assert_int_equal(l.confirmed, 1);
	/* Two connections of ours, this one, nothing half open. */
	WAIT_FOR(w, 3000, is_ready(w));
	admin_ok(admin, "PING");
	{
		redisReply *reply = redisCommand(admin, "CLIENT LIST");
		unsigned lines = 0;
		for (const char *p = reply->str; *p != '\0'; p++)
			lines += *p == '\n';
		freeReplyObject(reply);
		assert_int_equal(lines, 3);
	}
	redis_sub_close(&l.sub);
	redisFree(admin);
}

/* --- who we are --- */

static int free_port(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	close(fd);
	return ntohs(in.sin_port);
}

/* Connections for which there was no room. */
static long admin_rejected(redisContext *c)
{
	redisReply *reply = redisCommand(c, "INFO stats");
	const char *at;
	long n;

	assert_true(reply != NULL && reply->type == REDIS_REPLY_STRING);
	at = strstr(reply->str, "rejected_connections:");
	n = at != NULL ? atol(at + strlen("rejected_connections:")) : -1;
	freeReplyObject(reply);
	return n;
}

/* Over TCP, as only there an address can carry user, password and database. */
static void user_password_and_database_are_used_over_tcp(void **state)
{
	struct world *w = *state;
	redisContext *admin = admin_connect(w);
	struct answer a;
	char command[64];
	int port = free_port();

	snprintf(command, sizeof(command), "CONFIG SET port %d", port);
	admin_ok(admin, command);
	freeReplyObject(redisCommand(admin, "ACL SETUSER worker on %s +@all ~* &*", ">p@s s%n"));
	freeReplyObject(redisCommand(admin, "ACL SETUSER default %s", ">other"));
	admin_ok(admin, "ACL SETUSER default resetpass >other");
	snprintf(w->address, sizeof(w->address), "redis://worker:wrong@127.0.0.1:%d/2", port);
	world_redis(w);
	WAIT_FOR(w, 2000, strstr(reason(w), "refused authentication: WRONGPASS") != NULL);
	assert_null(strstr(reason(w), "wrong@"));
	redis_free(&w->redis);
	snprintf(w->address, sizeof(w->address), "redis://127.0.0.1:%d", port);
	world_redis(w);
	WAIT_FOR(w, 2000, strstr(reason(w), "refused authentication: NOAUTH") != NULL);
	redis_free(&w->redis);
	snprintf(w->address, sizeof(w->address), "redis://worker:p%%40s%%20s%%25n@localhost:%d/2", port);
	world_redis(w);
	WAIT_FOR(w, 2000, is_ready(w));
	call(w, &a, "CLIENT", "INFO");
	WAIT_FOR(w, 2000, a.count == 1);
	assert_non_null(strstr(a.text, "name=fanfare.n1.calls"));
	redis_free(&w->redis);
	snprintf(w->address, sizeof(w->address), "redis://worker:p%%40s%%20s%%25n@127.0.0.1:%d/99", port);
	world_redis(w);
	WAIT_FOR(w, 2000, strstr(reason(w), "is not ready: DB index") != NULL);
	redisFree(admin);
}

/* Tells nothing about passwords, and is tried again as any Redis that cannot take us just now: with a
 * password in the address, too. */
static void a_redis_that_has_too_many_clients_is_tried_again(void **state)
{
	struct world *w = *state;
	redisContext *admin = admin_connect(w);
	char command[64];
	int port = free_port();

	snprintf(command, sizeof(command), "CONFIG SET port %d", port);
	admin_ok(admin, command);
	admin_ok(admin, "CONFIG SET requirepass secret");
	admin_ok(admin, "CONFIG SET maxclients 1");
	snprintf(w->address, sizeof(w->address), "redis://:secret@127.0.0.1:%d", port);
	world_redis(w);
	WAIT_FOR(w, 5000, strstr(reason(w), "has no room for another client: max number of") != NULL);
	assert_non_null(strstr(reason(w), "maxclients"));
	WAIT_FOR(w, 10000, admin_rejected(admin) >= 8);
	admin_ok(admin, "CONFIG SET maxclients 100");
	WAIT_FOR(w, 10000, is_ready(w));
	redisFree(admin);
}

static void channels_that_are_forbidden_do_not_harm_the_others(void **state)
{
	struct world *w = *state;
	struct listener_sub l[3];
	redisContext *admin = admin_connect(w);

	admin_ok(admin, "ACL SETUSER default resetchannels &t.canary.* &t:ok*");
	start(w);
	listen_on(w, &l[0], "t:ok1");
	listen_on(w, &l[1], "t:no");
	listen_on(w, &l[2], "t:ok2");
	WAIT_FOR(w, 2000, l[0].confirmed == 1 && l[2].confirmed == 1);
	STAYS_SO(w, 500, is_ready(w));
	assert_int_equal(l[1].confirmed, 0);
	assert_false(redis_sub_confirmed(l[1].sub));
	for (int i = 0; i < 3; i++)
		redis_sub_close(&l[i].sub);
	redisFree(admin);
}

static void a_canary_that_is_forbidden_is_told(void **state)
{
	struct world *w = *state;
	redisContext *admin = admin_connect(w);

	admin_ok(admin, "ACL SETUSER default -publish");
	world_redis(w);
	WAIT_FOR(w, 2000, strstr(reason(w), "refuses to publish: NOPERM") != NULL);
	admin_ok(admin, "ACL SETUSER default +publish");
	WAIT_FOR(w, 2000, is_ready(w));
	redis_free(&w->redis);
	admin_ok(admin, "ACL SETUSER default resetchannels &t:*");
	world_redis(w);
	WAIT_FOR(w, 2000, strstr(reason(w), "does not allow the channel t.canary.n1") != NULL);
	redisFree(admin);
}

/* --- what is said --- */

static unsigned count_lines(const char *path, const char *word)
{
	FILE *f = fopen(path, "r");
	char line[1024];
	unsigned count = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		count += strstr(line, word) != NULL;
	fclose(f);
	return count;
}

static void the_log_says_it_once_and_not_at_each_try(void **state)
{
	struct world *w = *state;
	char path[128];
	int saved = dup(STDERR_FILENO);
	int fd;

	snprintf(path, sizeof(path), "%s/log", w->dir);
	fd = open(path, O_CREAT | O_RDWR | O_APPEND, 0600);
	log_setup(LOG_INFO, LOG_TEXT);
	dup2(fd, STDERR_FILENO);
	start(w);
	WAIT_FOR(w, 4000, count_lines(path, "loaded the function library") == 1);
	server_stop(w);
	WAIT_FOR(w, 2000, !is_ready(w));
	STAYS_SO(w, 1500, !is_ready(w));
	server_start(w, "--loglevel", "notice");
	WAIT_FOR(w, 4000, is_ready(w));
	WAIT_FOR(w, 4000, count_lines(path, "loaded the function library") == 2);
	dup2(saved, STDERR_FILENO);
	log_setup(LOG_ERROR, LOG_TEXT);
	assert_int_equal(count_lines(path, "is ready"), 1);
	assert_int_equal(count_lines(path, "warning"), 1);
	assert_int_equal(count_lines(path, "connection to Redis at"), 1);
	assert_int_equal(count_lines(path, "is back, after"), 1);
	assert_int_equal(count_lines(path, "loaded the function library"), 2);
	assert_int_equal(count_lines(path, ""), 5);
	close(fd);
	close(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define LIVE(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
		LIVE(calls_are_answered_in_order),
		LIVE(a_cancelled_call_is_never_answered_and_shifts_nothing),
		LIVE(calls_without_redis_are_answered_by_null_but_not_from_within),
		LIVE(a_frozen_redis_lets_calls_time_out_and_late_replies_harm_nobody),
		LIVE(calls_beyond_the_ceiling_are_answered_by_null),
		LIVE(many_channels_are_subscribed_and_messages_come_in_order),
		LIVE(a_channel_reopened_while_it_lingers_is_confirmed_at_once),
		LIVE(only_so_many_subscriptions_linger),
		LIVE(a_channel_reopened_while_it_is_unsubscribed_is_subscribed_again),
		LIVE(channels_carry_any_bytes),
		LIVE(a_killed_subscriber_connection_is_made_again_and_told),
		LIVE(a_restarted_redis_is_found_again),
		LIVE(a_freeze_neither_loses_nor_doubles_messages),
		LIVE(user_password_and_database_are_used_over_tcp),
		LIVE(a_redis_that_has_too_many_clients_is_tried_again),
		LIVE(channels_that_are_forbidden_do_not_harm_the_others),
		LIVE(a_canary_that_is_forbidden_is_told),
		LIVE(the_log_says_it_once_and_not_at_each_try),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
