/* What clients ask of histories: few reads at a time, which others share, and which do not wait for ever. */
#include "history_world.h"

enum { QUERIES = 24 };
static struct hub_history *queries[QUERIES];
static enum error_code outcomes[QUERIES]; /* of those that are over */

static void on_queried(void *arg, enum error_code error, const struct history_result *result)
{
	int i = (int)(intptr_t)arg;

	assert_non_null(queries[i]);
	assert_true((error == ERROR_NONE) == (result != NULL));
	queries[i] = NULL;
	outcomes[i] = error;
}

static void start_query(int i, uint32_t limit, const char *epoch)
{
	const struct hub_history_query query = {
		.options = &t.config.channel.without_namespace, .limit = limit, .epoch = BYTES_OF_STR(epoch)};

	queries[i] = hub_history(t.hub, BYTES_OF_STR(channel), &query, on_queried, (void *)(intptr_t)i);
}

/* Each asks for something else. */
static void start_queries(void)
{
	t.config.redis.call_timeout_ms = 5000;
	for (int i = 0; i < 6; i++)
		start_query(i, 10 + (uint32_t)i, "ep1");
}

static void what_clients_ask_is_read_a_few_at_a_time(void **state)
{
	publish_many(3);
	lose_link();
	start_queries();
	assert_int_equal(fake_redis_calls(), 4);
	hub_history_cancel(&queries[5]);
	assert_int_equal(fake_redis_calls(), 4);
	hub_history_cancel(&queries[0]);
	assert_int_equal(fake_redis_calls(), 4);
	assert_int_equal(option("limit"), 11);
	answer_all();
	for (int i = 1; i < 5; i++) {
		assert_null(queries[i]);
		assert_int_equal(outcomes[i], ERROR_NONE);
	}
}

/* What is on its way may have been carried out before the question came. */
static void who_asks_for_the_same_shares_what_was_not_sent_yet(void **state)
{
	publish_many(3);
	lose_link();
	t.config.redis.call_timeout_ms = 5000;
	for (int i = 0; i < 16; i++)
		start_query(i, 10, i == 5 ? "another" : "ep1");
	assert_int_equal(fake_redis_calls(), 4);
	hub_history_cancel(&queries[6]);
	for (int i = 0; i < 4; i++)
		answer();
	assert_int_equal(fake_redis_calls(), 2);
	answer();
	assert_null(queries[11]);
	assert_non_null(queries[12]);
	hub_history_cancel(&queries[12]);
	hub_history_cancel(&queries[13]);
	answer();
	assert_int_equal(fake_redis_calls(), 0);
	for (int i = 0; i < 16; i++)
		assert_null(queries[i]);
	assert_int_equal(outcomes[5], ERROR_UNRECOVERABLE_POSITION);
	assert_int_equal(outcomes[4], ERROR_NONE);
	assert_int_equal(outcomes[15], ERROR_NONE);
}

static void cancel_all_but(void *arg, enum error_code error, const struct history_result *result)
{
	queries[(intptr_t)arg] = NULL;
	for (int i = 0; i < QUERIES; i++)
		hub_history_cancel(&queries[i]);
}

/* A session that ends as it is answered takes its others along; here all of them are one's. */
static void who_is_answered_may_take_others_back(void **state)
{
	const struct hub_history_query query = {.options = &t.config.channel.without_namespace};

	for (int i = 0; i < 12; i++)
		queries[i] = hub_history(t.hub, BYTES_OF_STR(channel), &query, cancel_all_but,
		                         (void *)(intptr_t)i);
	answer_all();
	for (int i = 0; i < 12; i++)
		queries[i] = hub_history(t.hub, BYTES_OF_STR(channel), &query, cancel_all_but,
		                         (void *)(intptr_t)i);
	for (int i = 0; i < 4; i++)
		hub_history_cancel(&queries[i]);
	answer_all();
	for (int i = 0; i < 12; i++)
		assert_null(queries[i]);
}

static void what_clients_ask_for_is_no_more_than_a_piece(void **state)
{
	t.config.client.queue_max_size = 5000;
	start_query(0, 300, "");
	assert_int_equal(option("piece"), 5000);
	answer_all();
	t.config.client.queue_max_size = 1 << 30;
	start_query(0, 300, "");
	assert_int_equal(option("piece"), 1 << 20);
	answer_all();
}

static void what_clients_ask_does_not_wait_for_ever(void **state)
{
	publish_many(3);
	lose_link();
	start_queries();
	pass_time(5000);
	hub_tick(t.hub);
	assert_non_null(queries[4]);
	pass_time(1);
	hub_tick(t.hub);
	assert_null(queries[4]);
	assert_null(queries[5]);
	assert_int_equal(outcomes[4], ERROR_INTERNAL);
	while (fake_redis_calls() > 0)
		fake_redis_answer(NULL);
	assert_int_equal(outcomes[0], ERROR_INTERNAL);
	start_queries();
	assert_int_equal(fake_redis_calls(), 4);
	answer_all();
	assert_int_equal(outcomes[5], ERROR_NONE);
}

static void who_asks_late_does_not_share_what_is_about_to_be_given_up(void **state)
{
	start_queries();
	pass_time(2500);
	start_query(6, 15, "ep1");
	pass_time(1);
	start_query(7, 15, "ep1");
	start_query(8, 15, "ep1");
	pass_time(2500);
	hub_tick(t.hub);
	assert_null(queries[5]);
	assert_null(queries[6]);
	assert_non_null(queries[7]);
	assert_non_null(queries[8]);
	for (int i = 0; i < 4; i++)
		answer();
	assert_int_equal(fake_redis_calls(), 1);
	answer();
	assert_int_equal(outcomes[6], ERROR_INTERNAL);
	assert_int_equal(outcomes[7], ERROR_NONE);
	assert_int_equal(outcomes[8], ERROR_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(what_clients_ask_is_read_a_few_at_a_time),
		TEST(what_clients_ask_does_not_wait_for_ever),
		TEST(who_asks_for_the_same_shares_what_was_not_sent_yet),
		TEST(who_asks_late_does_not_share_what_is_about_to_be_given_up),
		TEST(who_is_answered_may_take_others_back),
		TEST(what_clients_ask_for_is_no_more_than_a_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
