/* Requests on a connection, and connections above the limit. */
#include <sys/resource.h>

#include "conn_world.h"

static void requests_may_be_pipelined_and_the_last_one_ends_the_connection(void **state)
{
	static const char two[] =
		"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

	write_all(two, strlen(two));
	settle();
	assert_true(read_all());
	assert_int_equal(t.requests, 2);
	assert_non_null(strstr(strstr(t.answer, "404") + 3, "404"));
	close(t.peer);
	settle();
	assert_int_equal(conns_count(net.conns), 0);
	t.peer = -1;
}

/* Requests until the broker takes no more; how many. */
static size_t pipeline(const char *request, size_t max)
{
	size_t len = strlen(request);
	size_t sent = 0;
	int refused = 0;

	while (refused < 100 && sent < max * len) {
		size_t at = sent % len;
		ssize_t n = send(t.peer, request + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		refused = n > 0 ? 0 : refused + 1;
		sent += n > 0 ? (size_t)n : 0;
		turn();
	}
	return sent / len;
}

static size_t count_responses(void)
{
	size_t count = 0;

	for (const char *p = t.answer; (p = strstr(p, "HTTP/1.1 404 ")) != NULL; p++)
		count++;
	return count;
}

static void requests_are_not_looked_at_while_their_responses_wait(void **state)
{
	static const char request[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
	enum { TOO_MANY = 50000 };
	size_t answered = 0;
	size_t sent = pipeline(request, TOO_MANY);
	int quiet = 0;

	assert_true(sent > t.requests && sent < TOO_MANY);
	while (quiet++ < 100) {
		ssize_t n = recv(t.peer, t.answer, sizeof(t.answer) - 1, MSG_DONTWAIT | MSG_PEEK);
		char *last;

		settle();
		if (n <= 0)
			continue;
		t.answer[n] = '\0';
		last = strstr(t.answer, "none");
		while (last != NULL && strstr(last + 4, "none") != NULL)
			last = strstr(last + 4, "none");
		if (last == NULL)
			continue;
		last[4] = '\0';
		answered += count_responses();
		assert_int_equal(recv(t.peer, t.answer, (size_t)(last + 4 - t.answer), 0),
		                 last + 4 - t.answer);
		quiet = 0;
	}
	assert_int_equal(answered, sent);
	assert_int_equal(t.requests, sent);
	assert_int_equal(conns_count(net.conns), 1);
}

static void nonsense_is_answered_with_400_and_the_connection_ends(void **state)
{
	write_all("BLAH\r\n\r\n", 8);
	settle();
	assert_true(read_all());
	assert_memory_equal(t.answer, "HTTP/1.1 400 ", 13);
	assert_int_equal(t.requests, 0);
}

static void some_descriptors_are_left_for_others(void **state)
{
	struct rlimit before, few;
	size_t most = 0;

	conns_free(&net.conns);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	net_open(on_request);
	while (most++ < 90)
		close(another_client());
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(conns_count(net.conns), 50);
}

static void above_the_limit_a_connection_is_refused_with_503(void **state)
{
	char answer[256] = {0};
	int peer;

	net.config.client.connection_limit = 1;
	peer = another_client();
	assert_true(recv(peer, answer, sizeof(answer) - 1, 0) > 0);
	assert_memory_equal(answer, "HTTP/1.1 503 ", 13);
	assert_int_equal(recv(peer, answer, sizeof(answer), 0), 0);
	assert_int_equal(conns_count(net.conns), 1);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(requests_are_not_looked_at_while_their_responses_wait),
		TEST(requests_may_be_pipelined_and_the_last_one_ends_the_connection),
		TEST(nonsense_is_answered_with_400_and_the_connection_ends),
		TEST(some_descriptors_are_left_for_others),
		TEST(above_the_limit_a_connection_is_refused_with_503),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
