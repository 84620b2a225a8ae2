/* A history that is removed does not come back from anywhere. */
#include "history_world.h"

/* The read was carried out before the removal, and is answered after the message that tells of it. */
static void what_is_removed_while_it_is_read_does_not_come_back(void **state)
{
	struct client *c = &t.clients[0];
	struct want want = recover(2, "ep1");

	publish_many(5);
	lose_link();
	assert_false(subscribe(c, &want));
	fake_redis_confirm("pre:news");
	fake_redis_message("pre:news", removal);
	answer();
	assert_false(c->told);
	t.first = 6;
	answer();
	assert_false(begin(c));
	assert_int_equal(c->count, 0);
	assert_int_equal(c->position, 5);
}

static void what_is_removed_while_messages_are_held_does_not_come_back(void **state)
{
	struct want want = recover(3, "ep1");

	go_live(&t.clients[0]);
	publish_many(3);
	arrive_all();
	fake_redis_confirm("pre:news");
	publish();
	arrive_all();
	fake_redis_message("pre:news", removal);
	answer();
	assert_int_equal(t.clients[0].position, 4);
	t.first = 5;
	assert_false(subscribe(&t.clients[1], &want));
	answer_all();
	assert_false(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 0);
	/* What comes after that is kept again. */
	publish();
	arrive_all();
	want = recover(4, "ep1");
	assert_true(subscribe(&t.clients[2], &want));
	assert_true(begin(&t.clients[2]));
	assert_int_equal(t.clients[2].count, 1);
}

/* As much waits as there is room for, and more comes in each turn. */
static void a_removal_is_heard_however_much_waits(void **state)
{
	enum { SIZE = 1 << 20 };
	struct want want = recover(3, "ep1");
	char *plain = mem_alloc(SIZE + 1);

	go_live(&t.clients[0]);
	publish_many(10);
	arrive_all();
	overload();
	memset(plain, ' ', SIZE);
	plain[0] = '1';
	for (int i = 0; i < BACKLOG_BYTES / SIZE; i++)
		fake_redis_message("pre:news", plain);
	mem_free(plain);
	fake_redis_message("pre:news", removal);
	t.first = t.top + 1;
	assert_false(subscribe(&t.clients[1], &want));
	end_turns();
	answer_all();
	assert_false(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 0);
}

static void what_waited_when_a_history_was_removed_does_not_come_back(void **state)
{
	struct want before = recover(3, "ep1"), after = recover(4, "ep1");

	go_live(&t.clients[0]);
	publish_many(3);
	arrive_all();
	overload();
	publish();
	arrive_all();
	fake_redis_message("pre:news", removal);
	t.first = 5;
	publish();
	arrive_all();
	end_turns();
	assert_int_equal(t.clients[0].position, 5);
	assert_true(subscribe(&t.clients[1], &after));
	assert_true(begin(&t.clients[1]));
	assert_int_equal(t.clients[1].count, 1);
	assert_false(subscribe(&t.clients[2], &before));
	answer_all();
	assert_false(begin(&t.clients[2]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(what_is_removed_while_it_is_read_does_not_come_back),
		TEST(what_is_removed_while_messages_are_held_does_not_come_back),
		TEST(a_removal_is_heard_however_much_waits),
		TEST(what_waited_when_a_history_was_removed_does_not_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
