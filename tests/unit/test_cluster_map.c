/* cluster_map.c: which node has which slots, as the nodes say, and nodes that come, go and are silent. */
#include "cluster_world.h"

static void give_all_slots_to(uint8_t node)
{
	memset(owner, node, sizeof(owner));
	memset(claimed, node, sizeof(claimed));
}

static void a_bad_map_changes_nothing(void **state)
{
	struct listener_sub l;
	struct answer a;
	unsigned before;

	start();
	listen_on(&world, &l, low);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	instead = "*1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$1\r\na\r\n:1\r\n";
	before = questions;
	in_circles = true;
	get(&a, high);
	WAIT_FOR(&world, 3000, questions > before + 2);
	WAIT_FOR(&world, 3000, a.count == 1);
	in_circles = false;
	assert_int_equal(l.confirmed, 1);
	assert_got(low);
	instead = "-ERR This instance has cluster support disabled\r\n";
	STAYS_SO(&world, 300, l.confirmed == 1);
	instead = NULL;
	redis_sub_close(&l.sub);
}

static void the_map_is_not_asked_for_without_pause(void **state)
{
	unsigned before;
	struct answer a[20];

	start();
	before = questions;
	in_circles = true;
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		get(&a[i], low);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		WAIT_FOR(&world, 3000, a[i].count == 1);
	assert_in_range(questions - before, 1, 19);
}

static void a_node_without_slots_is_left(void **state)
{
	struct listener_sub l;

	start();
	listen_on(&world, &l, high);
	WAIT_FOR(&world, 2000, l.confirmed == 1);
	give_all_slots_to(0);
	assert_got(high);
	WAIT_FOR(&world, 2000, l.confirmed == 2);
	WAIT_FOR(&world, 2000, mock_calls(&nodes[1].mock) == NULL && canary_at(1) == NULL);
	assert_true(is_ready(&world));
	redis_sub_close(&l.sub);
}

static bool is_frozen(struct mock_conn *c, const redisReply *command)
{
	return true;
}

static int frozen; /* the node that was asked for the map next, and has no slot any more; -1: none yet */

static bool freeze_when_asked(struct mock_conn *c, const redisReply *command)
{
	int node = index_of(c);

	if (frozen < 0 && is_command(command, "CLUSTER")) {
		frozen = node;
		give_all_slots_to(!node);
	}
	return node == frozen || do_command(c, command);
}

/* Long before its links are given up. */
static void a_node_that_is_silent_is_not_waited_for_by_the_map(void **state)
{
	const char *const channels[NODES] = {low, high};
	struct listener_sub l[NODES];

	world.config.redis.call_timeout_ms = world.config.redis.canary_timeout_ms = 20000;
	start_and_settle();
	for (int i = 0; i < NODES; i++) {
		listen_on(&world, &l[i], channels[i]);
		WAIT_FOR(&world, 2000, l[i].confirmed == 1);
	}
	frozen = -1;
	for (int i = 0; i < NODES; i++)
		nodes[i].mock.on_command = freeze_when_asked;
	WAIT_FOR(&world, 4000, frozen >= 0);
	WAIT_FOR(&world, 4000, l[frozen].confirmed == 2);
	assert_non_null(mock_subscriber(&nodes[!frozen].mock, channels[frozen]));
	assert_int_equal(l[!frozen].confirmed, 1);
	assert_true(is_ready(&world));
	for (int i = 0; i < NODES; i++)
		redis_sub_close(&l[i].sub);
}

static unsigned answered;

static void count_answer(void *arg, const struct redis_reply *reply)
{
	answered++;
}

static void calls_to_a_silent_node_leave_room_for_others(void **state)
{
	const struct bytes argv[2] = {BYTES("GET"), BYTES_OF_STR(high)};
	unsigned made;

	start();
	answered = 0;
	nodes[1].mock.on_command = is_frozen;
	WAIT_FOR(&world, 3000, !redis_hears(world.redis, BYTES_OF_STR(high)));
	for (made = 0; made < 70000; made++)
		redis_call(world.redis, argv, 2, count_answer, NULL);
	WAIT_FOR(&world, 5000, answered > 0); /* those for which there is no room */
	assert_got(low);
	WAIT_FOR(&world, 10000, answered == made);
}

static void a_node_may_be_gone_from_the_start(void **state)
{
	nodes[0].mock.refuse = true;
	give_all_slots_to(1);
	start();
	assert_got(low);
}

static void nothing_answers_and_it_says_so(void **state)
{
	struct answer a;

	nodes[0].mock.refuse = nodes[1].mock.refuse = true;
	world_redis(&world);
	assert_false(is_ready(&world));
	get(&a, low);
	WAIT_FOR(&world, 3000, a.count == 1);
	assert_true(a.null);
	assert_non_null(strstr(reason(&world), "127.0.0.1"));
	nodes[0].mock.refuse = nodes[1].mock.refuse = false;
	WAIT_FOR(&world, 5000, is_ready(&world));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_bad_map_changes_nothing),
		TEST(the_map_is_not_asked_for_without_pause),
		TEST(a_node_without_slots_is_left),
		TEST(a_node_that_is_silent_is_not_waited_for_by_the_map),
		TEST(calls_to_a_silent_node_leave_room_for_others),
		TEST(a_node_may_be_gone_from_the_start),
		TEST(nothing_answers_and_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
