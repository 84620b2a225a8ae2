/* worker/redis with sentinels that are right, stale, silent, undecided, or lie. */
#include "redis_mock.h"
#include "redis_sentinel.h"
#include "redis_sentinels.h"

enum { SERVERS = 2, SENTINELS = 3, NAME_MAX_LEN = 300 };

struct server {
	struct mock mock;
	int port;
	const char *role;
};

struct sentinel {
	struct mock mock;
	int port;
	unsigned asked;
	char host[NAME_MAX_LEN]; /* of the master; "": it knows none */
	char master_port[16];
	unsigned epoch;
	bool forbids_state; /* SENTINEL MASTER */
	bool silent;
	const char *says;        /* in place of the place; NULL: the place */
	unsigned peers;          /* that it names, at 127.0.1.x */
	struct server *turns[2]; /* that it names in turn; NULL: it keeps to one */
};

static struct world world;
static struct server servers[SERVERS];
static struct sentinel sentinels[SENTINELS];
static char addresses[SENTINELS][32];
static char *items[SENTINELS];
static char master_name[] = "m";
static struct listener_sub heard;

/* --- what they do --- */

static bool as_server(struct mock_conn *c, const redisReply *command)
{
	const struct server *s = container_of(c->mock, struct server, mock);

	if (!is_command(command, "ROLE"))
		return false;
	mock_send(c, "*1\r\n");
	mock_bulk(c, s->role);
	return true;
}

static void name(struct sentinel *s, const struct server *server)
{
	snprintf(s->host, sizeof(s->host), "127.0.0.1");
	snprintf(s->master_port, sizeof(s->master_port), "%d", server->port);
}

static void say_place(struct mock_conn *c, struct sentinel *s)
{
	s->asked++;
	if (s->turns[0] != NULL)
		name(s, s->turns[s->asked % 2]);
	if (s->says != NULL) {
		mock_send(c, s->says);
	} else if (s->host[0] == '\0') {
		mock_send(c, "*-1\r\n");
	} else {
		mock_send(c, "*2\r\n");
		mock_bulk(c, s->host);
		mock_bulk(c, s->master_port);
	}
}

static void say_state(struct mock_conn *c, const struct sentinel *s)
{
	char epoch[16];

	if (s->forbids_state) {
		mock_send(c, "-NOPERM this user has no permissions\r\n");
		return;
	}
	snprintf(epoch, sizeof(epoch), "%u", s->epoch);
	mock_send(c, "*4\r\n");
	mock_bulk(c, "name");
	mock_bulk(c, master_name);
	mock_bulk(c, "config-epoch");
	mock_bulk(c, epoch);
}

static void say_peers(struct mock_conn *c, const struct sentinel *s)
{
	char text[32];

	snprintf(text, sizeof(text), "*%u\r\n", s->peers);
	mock_send(c, text);
	for (unsigned i = 0; i < s->peers; i++) {
		mock_send(c, "*6\r\n");
		mock_bulk(c, "ip");
		snprintf(text, sizeof(text), "127.0.1.%u", i + 1);
		mock_bulk(c, text);
		mock_bulk(c, "port");
		snprintf(text, sizeof(text), "%d", s->port);
		mock_bulk(c, text);
		mock_bulk(c, "runid");
		snprintf(text, sizeof(text), "peer%u", i);
		mock_bulk(c, text);
	}
}

static bool as_sentinel(struct mock_conn *c, const redisReply *command)
{
	struct sentinel *s = container_of(c->mock, struct sentinel, mock);
	const char *what = word(command, 1);

	if (s->silent)
		return true;
	if (is_command(command, "ROLE")) {
		mock_send(c, "*2\r\n$8\r\nsentinel\r\n*0\r\n");
		return true;
	}
	if (!is_command(command, "SENTINEL"))
		return false;
	if (strcmp(what, "MASTER") == 0)
		say_state(c, s);
	else if (strcmp(what, "SENTINELS") == 0)
		say_peers(c, s);
	else if (strcmp(what, "MYID") == 0)
		mock_send(c, "-ERR no\r\n");
	else
		say_place(c, s);
	return true;
}

static void all_name(const struct server *server, unsigned epoch)
{
	for (size_t i = 0; i < SENTINELS; i++) {
		name(&sentinels[i], server);
		sentinels[i].epoch = epoch;
	}
}

/* --- the world --- */

static int setup(void **state)
{
	world_init(&world);
	memset(&heard, 0, sizeof(heard));
	world.config.redis.address = NULL;
	world.config.redis.sentinel_master_name = master_name;
	world.config.redis.sentinel_address = (struct strings){.items = items, .count = SENTINELS};
	for (size_t i = 0; i < SERVERS; i++) {
		mock_start_port(&servers[i].mock, &world, &servers[i].port);
		servers[i].mock.on_command = as_server;
		servers[i].role = "master";
	}
	for (size_t i = 0; i < SENTINELS; i++) {
		sentinels[i] = (struct sentinel){.port = 0};
		mock_start_port(&sentinels[i].mock, &world, &sentinels[i].port);
		sentinels[i].mock.on_command = as_sentinel;
		snprintf(addresses[i], sizeof(addresses[i]), "127.0.0.1:%d", sentinels[i].port);
		items[i] = addresses[i];
	}
	all_name(&servers[0], 1);
	return 0;
}

static int teardown(void **state)
{
	redis_sub_close(&heard.sub);
	redis_free(&world.redis);
	for (size_t i = 0; i < SERVERS; i++)
		mock_stop(&servers[i].mock);
	for (size_t i = 0; i < SENTINELS; i++)
		mock_stop(&sentinels[i].mock);
	world_free(&world);
	return 0;
}

static bool is_at(const struct server *s)
{
	return is_ready(&world) && mock_subscriber((struct mock *)&s->mock, "t:a") != NULL;
}

static void start(void)
{
	world_redis(&world);
	listen_on(&world, &heard, "t:a");
	WAIT_FOR(&world, 5000, is_at(&servers[0]) && heard.confirmed == 1);
}

/* --- followed --- */

static void the_master_is_followed_and_subscriptions_are_told_again(void **state)
{
	start();
	mock_publish(&servers[0].mock, "t:a", "1");
	WAIT_FOR(&world, 2000, heard.messages == 1);
	all_name(&servers[1], 2);
	WAIT_FOR(&world, 5000, is_at(&servers[1]) && heard.confirmed == 2);
	mock_publish(&servers[1].mock, "t:a", "2");
	WAIT_FOR(&world, 2000, heard.messages == 2);
	assert_null(mock_subscriber(&servers[0].mock, "t:a"));
}

static void a_sentinel_that_tells_of_a_change_is_asked_at_once(void **state)
{
	enum { TIMES = 20 };
	const unsigned *asked = &sentinels[0].asked;
	uint64_t begin;
	unsigned before;

	start();
	WAIT_FOR(&world, 2000, mock_subscriber(&sentinels[0].mock, "+switch-master") != NULL);
	begin = clock_ms();
	for (int i = 0; i < TIMES; i++) {
		before = *asked;
		mock_publish(&sentinels[0].mock, "+switch-master", "m 127.0.0.1 1 127.0.0.1 2");
		WAIT_FOR(&world, 5000, *asked > before);
	}
	assert_in_range(clock_ms() - begin, 0, TIMES * SENTINEL_ASK_MS / 2);

	/* What is about another master is none of our business. */
	begin = clock_ms();
	before = *asked;
	for (int i = 0; i < TIMES; i++) {
		mock_publish(&sentinels[0].mock, "+switch-master", "other 127.0.0.1 1 127.0.0.1 2");
		STAYS_SO(&world, 60, true);
	}
	assert_in_range(*asked - before, 0, (clock_ms() - begin) / (SENTINEL_ASK_MS * 3 / 4) + 2);
}

static void announce(const struct server *server)
{
	char text[128];

	snprintf(text, sizeof(text), "slave x 127.0.0.1 %d @ m 127.0.0.1 %d", server->port, servers[0].port);
	mock_publish(&sentinels[0].mock, "+failover-state-wait-promotion", text);
}

static void a_promotion_that_is_announced_is_followed_when_it_has_happened(void **state)
{
	unsigned tried;

	servers[1].role = "slave";
	start();
	WAIT_FOR(&world, 2000, mock_subscriber(&sentinels[0].mock, "+failover-state-wait-promotion") != NULL);
	announce(&servers[1]);
	tried = servers[1].mock.accepted;
	WAIT_FOR(&world, 3000, servers[1].mock.accepted >= tried + 3);
	assert_true(is_at(&servers[0]));
	servers[1].role = "master";
	WAIT_FOR(&world, 3000, is_at(&servers[1]));
	all_name(&servers[1], 2);
	STAYS_SO(&world, SENTINELS_CANDIDATE_MS + 500, is_at(&servers[1]));
}

static void a_promotion_that_nobody_confirms_is_taken_back(void **state)
{
	start();
	WAIT_FOR(&world, 2000, mock_subscriber(&sentinels[0].mock, "+failover-state-wait-promotion") != NULL);
	announce(&servers[1]);
	WAIT_FOR(&world, 3000, is_at(&servers[1]));
	WAIT_FOR(&world, SENTINELS_CANDIDATE_MS + 5000, is_at(&servers[0]));
}

static void give_up(const char *master)
{
	char text[128];

	snprintf(text, sizeof(text), "master %s 127.0.0.1 %d", master, servers[0].port);
	mock_publish(&sentinels[0].mock, "-failover-abort-slave-timeout", text);
}

/* It becomes a master when it hears of it at last: one that the sentinels do not follow. */
static void a_promotion_that_is_given_up_is_not_followed(void **state)
{
	unsigned tried;

	servers[1].role = "slave";
	start();
	WAIT_FOR(&world, 2000, mock_subscriber(&sentinels[0].mock, "-failover-abort-slave-timeout") != NULL);
	announce(&servers[1]);
	tried = servers[1].mock.accepted;
	WAIT_FOR(&world, 3000, servers[1].mock.accepted >= tried + 3);
	give_up("other");
	tried = servers[1].mock.accepted;
	WAIT_FOR(&world, 3000, servers[1].mock.accepted >= tried + 3);
	give_up("m");
	STAYS_SO(&world, 200, true);
	servers[1].role = "master";
	STAYS_SO(&world, SENTINELS_CANDIDATE_MS + 500, is_at(&servers[0]));
}

static bool as_stuck_server(struct mock_conn *c, const redisReply *command)
{
	return true;
}

static void calls_under_way_end_with_the_master(void **state)
{
	struct bytes argv[2] = {BYTES("ECHO"), BYTES("x")};
	struct answer answer = {.count = 0};

	world.config.redis.call_timeout_ms = 60000;
	start();
	servers[0].mock.on_command = as_stuck_server;
	redis_call(world.redis, argv, 2, on_answer, &answer);
	STAYS_SO(&world, 100, answer.count == 0);
	all_name(&servers[1], 2);
	WAIT_FOR(&world, 5000, answer.count == 1);
	assert_true(answer.null);
	WAIT_FOR(&world, 5000, is_at(&servers[1]));
	redis_call(world.redis, argv, 2, on_answer, &answer);
	WAIT_FOR(&world, 5000, answer.count == 2);
	assert_false(answer.null);
}

/* --- not believed --- */

static void who_is_stale_is_not_believed_even_if_there_are_more_of_them(void **state)
{
	name(&sentinels[0], &servers[1]);
	name(&sentinels[1], &servers[1]);
	sentinels[2].epoch = 2;
	start();
	STAYS_SO(&world, 2500, is_at(&servers[0]));
	assert_null(mock_subscriber(&servers[1].mock, "t:a"));
}

static void without_epochs_the_majority_decides(void **state)
{
	for (size_t i = 0; i < SENTINELS; i++)
		sentinels[i].forbids_state = true;
	start();
	name(&sentinels[0], &servers[1]);
	STAYS_SO(&world, 2500, is_at(&servers[0]));
	name(&sentinels[2], &servers[1]);
	WAIT_FOR(&world, 5000, is_at(&servers[1]));
}

/* Served well, it stays where it is, ready all the time, whatever the newest configuration says. */
static void stays_while_one_names(const char *host, const char *port)
{
	unsigned asked = sentinels[1].asked;

	snprintf(sentinels[1].host, sizeof(sentinels[1].host), "%s", host);
	snprintf(sentinels[1].master_port, sizeof(sentinels[1].master_port), "%s", port);
	sentinels[1].epoch = 1000;
	WAIT_FOR(&world, 3000, sentinels[1].asked > asked + 1);
	STAYS_SO(&world, 300, is_at(&servers[0]));
	assert_int_equal(heard.confirmed, 1);
}

static void no_place_is_the_master_that_does_not_say_so(void **state)
{
	char port[16];

	start();
	servers[1].role = "slave";
	snprintf(port, sizeof(port), "%d", servers[1].port);
	stays_while_one_names("127.0.0.1", port);
	servers[1].role = "sentinel";
	stays_while_one_names("127.0.0.1", port);
	stays_while_one_names("127.0.0.1", "1");
	stays_while_one_names("no-such-host.invalid", "6379");
}

static void nonsense_is_no_place(void **state)
{
	static const char *const nonsense[] = {
		"*0\r\n",
		"*1\r\n$9\r\n127.0.0.1\r\n",
		"*2\r\n$0\r\n\r\n$4\r\n6379\r\n",
		"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n65536\r\n",
		"*2\r\n$9\r\n127.0.0.1\r\n$1\r\n0\r\n",
		"*2\r\n$9\r\n127.0.0.1\r\n:6379\r\n",
		"*2\r\n$5\r\na b/c\r\n$4\r\n6379\r\n",
		"*2\r\n*0\r\n*0\r\n",
		"$5\r\nhello\r\n",
		"-ERR whatever\r\n",
		":1\r\n",
		"!\r\n",
	};

	start();
	sentinels[1].epoch = 1000;
	for (size_t i = 0; i < ARRAY_LEN(nonsense); i++) {
		unsigned asked = sentinels[1].asked;

		sentinels[1].says = nonsense[i];
		WAIT_FOR(&world, 5000, sentinels[1].asked > asked);
		assert_true(is_at(&servers[0]));
	}
	assert_int_equal(heard.confirmed, 1);
}

static void who_changes_his_mind_all_the_time_is_followed_seldom(void **state)
{
	uint64_t begin;
	unsigned before;

	world.config.redis.sentinel_address.count = 1;
	start();
	sentinels[0].turns[0] = &servers[0];
	sentinels[0].turns[1] = &servers[1];
	before = heard.confirmed;
	begin = clock_ms();
	for (int i = 0; i < 60; i++) {
		mock_publish(&sentinels[0].mock, "+switch-master", "m 127.0.0.1 1 127.0.0.1 2");
		STAYS_SO(&world, 60, true);
	}
	assert_in_range(heard.confirmed - before, 1, (clock_ms() - begin) / SENTINELS_CHANGE_MS + 1);
}

static unsigned open_connections(const struct mock *m)
{
	unsigned count = 0;

	for (const struct mock_conn *c = m->conns; c != NULL; c = c->next)
		count += c->open;
	return count;
}

/* Twice as many as there should be may be open while some that took too long are made again. */
static void only_so_many_are_known(void **state)
{
	world.config.redis.sentinel_address.count = 1;
	sentinels[0].peers = 200;
	start();
	WAIT_FOR(&world, 5000, open_connections(&sentinels[0].mock) >= 2 * SENTINELS_MAX);
	STAYS_SO(&world, 1500, open_connections(&sentinels[0].mock) <= 4 * SENTINELS_MAX);
}

/* --- away --- */

static void one_that_is_silent_delays_nothing_and_none_is_no_trouble(void **state)
{
	sentinels[0].silent = true;
	start();
	sentinels[1].silent = sentinels[2].silent = true;
	STAYS_SO(&world, SENTINELS_ANSWER_KEPT_MS + 2000, is_at(&servers[0]));
	assert_int_equal(heard.confirmed, 1);
	for (size_t i = 0; i < SENTINELS; i++)
		sentinels[i].silent = false;
	all_name(&servers[1], 2);
	WAIT_FOR(&world, 8000, is_at(&servers[1]));
}

static void why_no_master_is_known_is_told(void **state)
{
	for (size_t i = 0; i < SENTINELS; i++)
		sentinels[i].host[0] = '\0';
	world_redis(&world);
	WAIT_FOR(&world, 3000, strstr(reason(&world), "knows no master named m") != NULL);
	all_name(&servers[0], 1);
	servers[0].role = "slave";
	WAIT_FOR(&world, 5000, strstr(reason(&world), "is a read-only replica") != NULL);
	servers[0].role = "master";
	WAIT_FOR(&world, 5000, is_ready(&world));
}

static void a_redis_in_place_of_a_sentinel_is_told(void **state)
{
	snprintf(addresses[0], sizeof(addresses[0]), "127.0.0.1:%d", servers[0].port);
	world.config.redis.sentinel_address.count = 1;
	world_redis(&world);
	WAIT_FOR(&world, 3000, strstr(reason(&world), "is a Redis and no sentinel") != NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define SENTINEL(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		SENTINEL(the_master_is_followed_and_subscriptions_are_told_again),
		SENTINEL(a_sentinel_that_tells_of_a_change_is_asked_at_once),
		SENTINEL(a_promotion_that_is_announced_is_followed_when_it_has_happened),
		SENTINEL(a_promotion_that_nobody_confirms_is_taken_back),
		SENTINEL(a_promotion_that_is_given_up_is_not_followed),
		SENTINEL(calls_under_way_end_with_the_master),
		SENTINEL(who_is_stale_is_not_believed_even_if_there_are_more_of_them),
		SENTINEL(without_epochs_the_majority_decides),
		SENTINEL(no_place_is_the_master_that_does_not_say_so),
		SENTINEL(nonsense_is_no_place),
		SENTINEL(who_changes_his_mind_all_the_time_is_followed_seldom),
		SENTINEL(only_so_many_are_known),
		SENTINEL(one_that_is_silent_delays_nothing_and_none_is_no_trouble),
		SENTINEL(why_no_master_is_known_is_told),
		SENTINEL(a_redis_in_place_of_a_sentinel_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
