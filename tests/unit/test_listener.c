/* Accepting: what a new connection is like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ev.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "loop.h"

static int accepted = -1;

static void on_accept(void *ctx, int fd, const struct address *peer)
{
	accepted = fd;
}

static int option(int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(accepted, level, name, &value, &len), 0);
	return value;
}

/* Clients that answer no pings would else be kept until the kernel gives up, after a quarter of an hour, or,
 * if they only do not read, for ever. */
static void a_peer_that_is_gone_or_stuck_is_not_kept_for_ever(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(to);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int peer = socket(AF_INET, SOCK_STREAM, 0);
	struct loop *l = loop_new();
	struct listener *ln;

	assert_int_equal(bind(listening, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&to, &len), 0);
	ln = listener_new(l, listening, on_accept, NULL);
	assert_int_equal(connect(peer, (struct sockaddr *)&to, sizeof(to)), 0);
	while (accepted < 0)
		ev_run(loop_ev(l), EVRUN_ONCE);
	assert_in_range(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 5000, 60000);
	assert_in_range(option(IPPROTO_TCP, TCP_KEEPIDLE), 1, 120);
	assert_true(option(SOL_SOCKET, SO_KEEPALIVE));
	assert_true(option(IPPROTO_TCP, TCP_NODELAY));
	listener_free(&ln);
	loop_free(&l);
	close(accepted);
	close(listening);
	close(peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_is_gone_or_stuck_is_not_kept_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
