/* What clients asked for and do not read: all of them together have a limit. */
#include "conn_world.h"

#include "metrics.h"

enum { CLIENTS = 40, ANSWER = (16 << 20) - 16, LARGE_ROOM = 64 << 20, ROOM = 128 << 20, SMALL = 200 << 10 };

static struct client {
	int peer;
	struct conn *conn;
} clients[CLIENTS];

static uint64_t value(enum metric m)
{
	return metrics_mine->values[m];
}

static void connect_clients(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		clients[i].peer = another_client();
		assert_int_equal(send(clients[i].peer, upgrade, strlen(upgrade), 0), strlen(upgrade));
		settle();
		clients[i].conn = t.conn;
	}
	assert_int_equal(t.opened, count);
}

static void disconnect_clients(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(clients[i].peer);
	settle();
	assert_int_equal(value(METRIC_answer_bytes), 0);
}

static void answer(struct client *c, size_t len)
{
	static char text[ANSWER];

	conn_send_answer(c->conn, WS_TEXT, (struct bytes){text, len});
	settle();
}

/* Returns how many got one, as long as there was room. */
static unsigned answer_all(size_t len)
{
	unsigned count = 0;

	while (count < CLIENTS && conn_answer_fits(clients[count].conn, len))
		answer(&clients[count++], len);
	return count;
}

static size_t read_some(struct client *c, size_t most)
{
	static char text[1 << 16];
	size_t done = 0;

	while (done < most) {
		ssize_t n = recv(c->peer, text, sizeof(text), MSG_DONTWAIT);

		if (n <= 0)
			break;
		done += (size_t)n;
		settle();
	}
	return done;
}

static void all_that_nobody_reads_has_a_limit(void **state)
{
	connect_clients(CLIENTS);
	assert_int_equal(answer_all(ANSWER), 4);
	assert_in_range(value(METRIC_answer_bytes), LARGE_ROOM - ANSWER, LARGE_ROOM + 1000);
	assert_int_equal(t.closed, 0);
	/* Small ones have room, but not without an end either. */
	assert_true(conn_answer_fits(clients[CLIENTS - 1].conn, SMALL));
	answer(&clients[4], ANSWER);
	answer(&clients[5], ANSWER);
	answer(&clients[6], ANSWER);
	assert_true(conn_answer_fits(clients[CLIENTS - 1].conn, SMALL));
	answer(&clients[7], ANSWER);
	assert_false(conn_answer_fits(clients[CLIENTS - 1].conn, SMALL));
	assert_in_range(value(METRIC_answer_bytes), ROOM - ANSWER, ROOM + 1000);
	disconnect_clients(CLIENTS);
	assert_true(conn_answer_is_small(SMALL) && !conn_answer_is_small(ANSWER));
}

static void what_is_read_makes_room(void **state)
{
	unsigned count;

	connect_clients(CLIENTS);
	count = answer_all(ANSWER);
	assert_false(conn_answer_fits(clients[count].conn, ANSWER));
	while (read_some(&clients[0], SIZE_MAX) > 0)
		;
	assert_true(conn_answer_fits(clients[count].conn, ANSWER));
	answer(&clients[0], ANSWER);
	assert_false(conn_answer_fits(clients[count].conn, ANSWER));
	assert_int_equal(t.closed, 0);
	disconnect_clients(CLIENTS);
}

/* Only when others wait, and not at once. */
static void who_does_not_read_makes_room_for_others(void **state)
{
	uint64_t slow = value(METRIC_slow_disconnects);
	struct conn *other;
	unsigned count;

	connect_clients(CLIENTS);
	count = answer_all(ANSWER);
	other = clients[count].conn;
	conn_hurry_others(other, ANSWER);
	clock_freeze(1000000 + 2999, 1000000);
	conn_hurry_others(other, ANSWER);
	assert_int_equal(t.closed, 0);
	clock_freeze(1000000 + 3000, 1000000);
	conn_hurry_others(other, SMALL);
	assert_int_equal(t.closed, 0);
	conn_hurry_others(other, ANSWER);
	assert_int_equal(t.closed, 1);
	assert_int_equal(value(METRIC_slow_disconnects), slow + 1);
	assert_true(conn_answer_fits(other, ANSWER));
	answer(&clients[count], ANSWER);
	assert_int_equal(value(METRIC_slow_disconnects), slow + 1);
	disconnect_clients(CLIENTS);
}

static void who_reads_is_left_alone(void **state)
{
	unsigned count;

	connect_clients(CLIENTS);
	count = answer_all(ANSWER);
	for (uint64_t s = 1; s <= 20; s++) {
		clock_freeze(1000000 + s * 1000, 1000000);
		for (unsigned i = 0; i < count; i++)
			assert_true(read_some(&clients[i], ANSWER / 60) > 0);
		conn_hurry_others(clients[count].conn, ANSWER);
		assert_int_equal(t.closed, 0);
	}
	disconnect_clients(CLIENTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(all_that_nobody_reads_has_a_limit),
		TEST(what_is_read_makes_room),
		TEST(who_does_not_read_makes_room_for_others),
		TEST(who_reads_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
