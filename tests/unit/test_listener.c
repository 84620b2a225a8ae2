/* Accepting, where descriptors or time are short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ev.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "loop.h"
#include "metrics.h"

static int accepted = -1;

static void on_accept(void *ctx, int fd, const struct address *peer)
{
	accepted = fd;
}

/* Where the next descriptor would be. */
static rlim_t next_descriptor(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return (rlim_t)fd;
}

static void set_descriptor_limit(rlim_t soft)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = soft;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static uint64_t count(enum metric metric)
{
	return metrics_sum(metrics_mine, 1, metric);
}

/* One that waited in the queue instead would wait until somebody else leaves. */
static void without_a_descriptor_those_who_come_are_told_and_the_loop_does_not_spin(void **state)
{
	enum { COMING = 5 };
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(to);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), peers[COMING + 1];
	uint64_t refused = count(METRIC_refused_descriptors), errors = count(METRIC_accept_errors);
	struct loop *l = loop_new();
	struct listener *ln;
	struct rlimit before;
	char answer[16];

	accepted = -1;
	getrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(bind(listening, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(listening, COMING), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&to, &len), 0);
	for (int i = 0; i <= COMING; i++)
		peers[i] = socket(AF_INET, SOCK_STREAM, 0);
	ln = listener_new(l, listening, on_accept, NULL);
	listener_answer(ln, BYTES("full"));
	for (int i = 0; i < COMING; i++)
		assert_int_equal(connect(peers[i], (struct sockaddr *)&to, sizeof(to)), 0);
	set_descriptor_limit(next_descriptor());
	while (count(METRIC_refused_descriptors) < refused + COMING)
		ev_run(loop_ev(l), EVRUN_ONCE);
	for (int i = 0; i < COMING; i++) {
		assert_int_equal(recv(peers[i], answer, sizeof(answer), MSG_WAITALL), 4);
		assert_memory_equal(answer, "full", 4);
	}
	assert_int_equal(accepted, -1);
	assert_int_equal(count(METRIC_accept_errors), errors);
	set_descriptor_limit(before.rlim_cur);
	assert_int_equal(connect(peers[COMING], (struct sockaddr *)&to, sizeof(to)), 0);
	while (accepted < 0)
		ev_run(loop_ev(l), EVRUN_ONCE);
	listener_free(&ln);
	loop_free(&l);
	close(accepted);
	close(listening);
	for (int i = 0; i <= COMING; i++)
		close(peers[i]);
}

/* Who sends as fast as it is read would else never be done with. */
static void of_what_a_refused_one_sent_only_so_much_is_read(void **state)
{
	static char data[4096];
	int fds[2], size = 1 << 20, rest;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	while (send(fds[1], data, sizeof(data), MSG_NOSIGNAL) > 0)
		continue;
	rest = dup(fds[0]);
	listener_refuse(fds[0], (struct bytes){"no", 2});
	assert_int_equal(recv(fds[1], data, sizeof(data), 0), 2);
	assert_int_equal(recv(rest, data, sizeof(data), 0), sizeof(data));
	close(rest);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_descriptor_those_who_come_are_told_and_the_loop_does_not_spin),
		cmocka_unit_test(of_what_a_refused_one_sent_only_so_much_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
