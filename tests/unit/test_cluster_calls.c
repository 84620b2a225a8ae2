/* cluster_calls.c: calls go to the node that has their slot, wherever that is by now. */
#include "cluster_world.h"

static void names_are_where_the_tests_need_them(void **state)
{
	assert_true(slot_of(low) < REDIS_SLOTS / 2);
	assert_true(slot_of(high) >= REDIS_SLOTS / 2);
}

static void forget_said(void)
{
	for (int i = 0; i < NODES; i++)
		nodes[i].said[0] = '\0';
}

static void calls_go_where_their_slot_is(void **state)
{
	start();
	assert_got(low);
	assert_got(high);
	assert_string_equal(nodes[0].said, "GET t:bar\n");
	assert_string_equal(nodes[1].said, "GET t:foo\n");
}

static void a_call_without_a_key_goes_anywhere(void **state)
{
	const struct bytes argv[] = {BYTES("PING")};
	struct answer a = {.count = 0};

	start();
	redis_call(world.redis, argv, 1, on_answer, &a);
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_string_equal(a.text, "PONG");
}

static void moved_is_followed_and_remembered(void **state)
{
	start();
	owner[slot_of(low)] = 1; /* and CLUSTER SLOTS does not know it yet */
	assert_got(low);
	assert_string_equal(nodes[1].said, "GET t:bar\n");
	forget_said();
	assert_got(low);
	assert_string_equal(nodes[1].said, "GET t:bar\n");
}

static void ask_is_followed_once(void **state)
{
	start();
	asks_at = 0;
	assert_got(low);
	assert_string_equal(nodes[0].said, "GET t:bar\n");
	assert_string_equal(nodes[1].said, "ASKING \nGET t:bar\n");
	asks_at = -1;
	forget_said();
	assert_got(low);
	assert_string_equal(nodes[0].said, "GET t:bar\n");
	assert_string_equal(nodes[1].said, "");
}

static void a_call_is_tried_again_and_later_ones_wait_behind_it(void **state)
{
	struct answer a, b, other;

	start();
	tries_again = 2;
	get(&a, "{t:bar}1");
	WAIT_FOR(&world, 2000, tries_again == 1);
	/* The reply is on its way; when it is there, b waits. */
	WAIT_FOR(&world, 2000, tries_again == 0);
	get(&b, "{t:bar}2");
	get(&other, high);
	WAIT_FOR(&world, 2000, a.count == 1 && b.count == 1 && other.count == 1);
	assert_string_equal(a.text, "{t:bar}1");
	assert_string_equal(b.text, "{t:bar}2");
}

static void later_calls_of_the_slot_do_not_overtake(void **state)
{
	struct answer a, b;

	start();
	tries_again = 3;
	get(&a, "{t:bar}1");
	WAIT_FOR(&world, 2000, tries_again < 3);
	STAYS_SO(&world, 20, a.count == 0); /* it waits now */
	get(&b, "{t:bar}2");
	WAIT_FOR(&world, 2000, a.count == 1 || b.count == 1);
	assert_int_equal(a.count, 1);
	WAIT_FOR(&world, 2000, b.count == 1);
}

static void a_cluster_that_is_down_is_waited_for_until_the_deadline(void **state)
{
	struct answer a;

	start();
	down = true;
	get(&a, low);
	STAYS_SO(&world, 100, a.count == 0);
	down = false;
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_string_equal(a.text, low);
	down = true;
	get(&a, low);
	WAIT_FOR(&world, 2000, a.count == 1);
	assert_true(a.null || strncmp(a.text, "CLUSTERDOWN", 11) == 0);
	STAYS_SO(&world, 200, a.count == 1);
}

static void a_circle_of_redirections_is_left(void **state)
{
	struct answer a;

	start();
	in_circles = true;
	get(&a, low);
	WAIT_FOR(&world, 3000, a.count == 1);
	assert_true(a.null || strncmp(a.text, "MOVED", 5) == 0);
	/* Five at once, and then one each 50 ms until the deadline of 300 ms. */
	assert_in_range(count_said(), 6, 30);
}

static void a_redirection_to_nowhere_ends_with_the_deadline(void **state)
{
	static const char *const places[] = {"-MOVED 1 127.0.0.1:1\r\n", "-MOVED 1 ?:7000\r\n", "-MOVED\r\n",
	                                     "-ASK 99999 a:1\r\n", "-MOVED 1 x y:1\r\n"};
	struct answer a;

	start();
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		sent_away = places[i];
		get(&a, low);
		WAIT_FOR(&world, 3000, a.count == 1);
		assert_true(a.null || a.text[0] != '\0');
	}
	sent_away = NULL;
	assert_got(low);
}

static void a_cancelled_call_is_not_answered(void **state)
{
	struct answer a, b;
	struct redis_call *call;

	start();
	tries_again = 1;
	call = get(&a, low);
	WAIT_FOR(&world, 2000, tries_again == 0);
	STAYS_SO(&world, 20, a.count == 0);
	redis_call_cancel(&call);
	call = get(&b, high);
	redis_call_cancel(&call);
	assert_got(low);
	STAYS_SO(&world, 150, a.count == 0 && b.count == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_where_the_tests_need_them),
		TEST(calls_go_where_their_slot_is),
		TEST(a_call_without_a_key_goes_anywhere),
		TEST(moved_is_followed_and_remembered),
		TEST(ask_is_followed_once),
		TEST(a_call_is_tried_again_and_later_ones_wait_behind_it),
		TEST(later_calls_of_the_slot_do_not_overtake),
		TEST(a_cluster_that_is_down_is_waited_for_until_the_deadline),
		TEST(a_circle_of_redirections_is_left),
		TEST(a_redirection_to_nowhere_ends_with_the_deadline),
		TEST(a_cancelled_call_is_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
