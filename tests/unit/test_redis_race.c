/* redis_race.c: the connection that is made beside one that does not come up, or has fallen silent. */
#include "mocked_world.h"
#include "redis_race.h"

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

/* Answers to what each connection begins with, which the mock was silent about. */
static void let_in(struct mock_conn *c)
{
	mock_send(c, "+OK\r\n+OK\r\n+OK\r\n+PONG\r\n");
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
	struct answer a;

	memset(big, 'x', sizeof(big) - 1);
	world.config.redis.connect_timeout_ms = 8000;
	hang = 2;
	mock.on_command = hang_at_first;
	world_redis(&world);
	WAIT_FOR(&world, 7000, is_ready(&world));
	assert_true(mock.accepted >= 4);
	echo(&a, big);
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_false(a.null);
}

static bool be_silent(struct mock_conn *c, const redisReply *command)
{
	return true;
}

/* Two connections, and one beside each, which are not replaced while they get on. */
static void a_slow_handshake_is_not_begun_again(void **state)
{
	world.config.redis.connect_timeout_ms = 8000;
	mock.deaf = true;
	mock.on_command = be_silent;
	world_redis(&world);
	WAIT_FOR(&world, 4000, mock.accepted == 4);
	STAYS_SO(&world, 3000, mock.accepted == 4);
	mock_listen_again(&mock);
	STAYS_SO(&world, 1200, mock.accepted == 4);
	mock.on_command = NULL;
	for (struct mock_conn *c = mock.conns; c != NULL; c = c->next)
		let_in(c);
	WAIT_FOR(&world, 3000, is_ready(&world));
	assert_int_equal(mock.accepted, 4);
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
	let_in(first);
	let_in(second);
	WAIT_FOR(&world, 1000, is_ready(&world));
	assert_true(first->open && second->open);
	WAIT_FOR(&world, 1000, open_at_mock() == 2);
}

/* --- a link that is half-open --- */

/* Nothing but a call shows it, and that is not overdue for long. */
static void start_patiently(void)
{
	world.config.redis.call_timeout_ms = 10000;
	world.config.redis.canary_timeout_ms = 60000;
	start();
}

static void assert_silence_is_noticed(bool (*on_command)(struct mock_conn *c, const redisReply *command))
{
	struct answer a;

	silent = mock_calls(&mock);
	mock.on_command = on_command;
	echo(&a, "lost");
	WAIT_FOR(&world, 8000, a.count == 1);
	assert_true(a.null);
	WAIT_FOR(&world, 2000, is_ready(&world) && !silent->open);
}

static void a_half_open_command_connection_is_noticed(void **state)
{
	start_patiently();
	assert_silence_is_noticed(be_silent_there);
}

static bool hang_at_first_calls(struct mock_conn *c, const redisReply *command)
{
	return c != mock_subscriber(&mock, "t.canary.n1") && hang_at_first(c, command);
}

/* Made while packets are lost, and waited for for as long as a try may take, it would keep the others away.
 */
static void one_that_hangs_beside_a_half_open_one_is_overtaken_too(void **state)
{
	world.config.redis.connect_timeout_ms = 4000;
	start_patiently();
	hang = mock.accepted + 1;
	assert_silence_is_noticed(hang_at_first_calls);
}

/* That what writes is answered at all (redis_node.c). */
static bool is_proof(const redisReply *command)
{
	return is_command(command, "PUBLISH") && strcmp(word(command, 2), "") == 0;
}

static bool hold_back_on_the_old_one(struct mock_conn *c, const redisReply *command)
{
	if (c == silent)
		return true;
	if (!is_proof(command))
		return false;
	mock_send(c, "-NOPERM no\r\n");
	return true;
}

static void a_proof_that_is_refused_is_one_too(void **state)
{
	start_patiently();
	assert_silence_is_noticed(hold_back_on_the_old_one);
}

/* Nor do they hear what proves that one beside them is alive. */
static bool be_dead_at_both(struct mock_conn *c, const redisReply *command)
{
	if (is_among_first(c, 2))
		return true;
	if (!is_proof(command))
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

/* --- a Redis that is busy --- */

static struct mock_conn *calls; /* it keeps a call waiting */
static struct answer late;
static unsigned accepted; /* until then */

static void keep_waiting(bool (*on_command)(struct mock_conn *c, const redisReply *command), uint64_t for_ms)
{
	world.config.redis.call_timeout_ms = 4000;
	world.config.redis.canary_interval_ms = 60000;
	start();
	calls = mock_calls(&mock);
	accepted = mock.accepted;
	mock.on_command = on_command;
	echo(&late, "late");
	WAIT_FOR(&world, 3500, mock.accepted > accepted);
	STAYS_SO(&world, for_ms, calls->open && late.count == 0);
	mock.on_command = NULL;
}

static void answer_late(void)
{
	mock_send(calls, "$4\r\nlate\r\n");
	WAIT_FOR(&world, 500, late.count == 1);
	assert_string_equal(late.text, "late");
}

static void assert_rival_leaves(void)
{
	WAIT_FOR(&world, 1000, open_at_mock() == 2);
	assert_true(calls->open);
	assert_int_equal(mock.accepted, accepted + 1);
}

/* It answers on no other connection either. */
static void a_busy_redis_keeps_its_command_connection(void **state)
{
	world.config.redis.connect_timeout_ms = 60000;
	keep_waiting(be_silent, 300);
	answer_late();
	let_in(mock.conns);
	assert_rival_leaves();
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
	keep_waiting(hold_back_writes, 3 * REDIS_RACE_PROOF_MS);
	mock_send(mock.conns, ":0\r\n");
	answer_late();
	assert_rival_leaves();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define FAULT(f)          cmocka_unit_test_setup_teardown(f, setup, teardown)
#define FAULT_OVER_TLS(f) cmocka_unit_test_setup_teardown(f, setup_tls, teardown)
		FAULT(a_connection_that_hangs_is_overtaken),
		FAULT_OVER_TLS(over_tls_it_is_overtaken_too),
		FAULT_OVER_TLS(a_slow_handshake_is_not_begun_again),
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
