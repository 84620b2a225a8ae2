/* The grid of listening sockets, with real ones. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "address.h"
#include "listeners.h"
#include "log.h"

enum { WORKERS = 3 };

static char dir[] = "/tmp/fanfare-listeners-XXXXXX";
static char path[64];
static char unix_text[80];

static int make_dir(void **state)
{
	log_setup(LOG_ERROR + 1, LOG_TEXT); /* failures are asked for here */
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/http.sock", dir);
	snprintf(unix_text, sizeof(unix_text), "unix:%s", path);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static struct listeners *open_one(const char *text, unsigned workers)
{
	char *items[] = {(char *)text};
	struct strings addresses = {items, 1};

	return listeners_open(&addresses, workers);
}

static int connect_to(const char *text)
{
	const char *reason;
	struct address a;
	int fd, rc;

	assert_true(address_parse(text, &a, &reason));
	fd = socket(a.sa.any.sa_family, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	rc = connect(fd, &a.sa.any, a.len);
	if (rc == 0)
		return fd;
	close(fd);
	return -1;
}

static void check_descriptor(int fd)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len), 0);
	assert_true(listening);
}

static void workers_have_sockets_of_their_own_on_one_port(void **state)
{
	char *items[] = {(char *)"127.0.0.1:0", (char *)"[::1]:0"};
	struct strings addresses = {items, 2};
	struct listeners *l = listeners_open(&addresses, WORKERS);

	if (l == NULL) /* a machine without IPv6 */
		skip();
	for (unsigned w = 0; w < WORKERS; w++) {
		size_t count;
		const int *fds = listeners_of(l, w, &count);

		assert_int_equal(count, 2);
		for (size_t i = 0; i < count; i++) {
			struct address bound = {.len = sizeof(bound.sa)};
			char name[ADDRESS_TEXT_MAX];

			check_descriptor(fds[i]);
			assert_int_equal(getsockname(fds[i], &bound.sa.any, &bound.len), 0);
			address_format(&bound, name);
			assert_string_equal(name, listeners_name(l, i));
			for (unsigned other = 0; other < w; other++)
				assert_int_not_equal(listeners_of(l, other, &count)[i], fds[i]);
		}
	}
	listeners_close(&l);
	assert_null(l);
}

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

/* Clients that answer no pings would else be kept until the kernel gives up, after a quarter of an hour, or,
 * if they only do not read, for ever. */
static void a_peer_that_is_gone_or_stuck_is_not_kept_for_ever(void **state)
{
	struct listeners *l = open_one("127.0.0.1:0", 1);
	size_t count;
	int peer = connect_to(listeners_name(l, 0));
	int accepted = accept(listeners_of(l, 0, &count)[0], NULL, NULL);

	assert_true(accepted >= 0);
	assert_in_range(option(accepted, IPPROTO_TCP, TCP_USER_TIMEOUT), 5000, 60000);
	assert_in_range(option(accepted, IPPROTO_TCP, TCP_KEEPIDLE), 1, 120);
	assert_true(option(accepted, SOL_SOCKET, SO_KEEPALIVE));
	assert_true(option(accepted, IPPROTO_TCP, TCP_NODELAY));
	close(accepted);
	close(peer);
	listeners_close(&l);
}

static void connections_are_spread_over_the_workers(void **state)
{
	struct listeners *l = open_one("127.0.0.1:0", 2);
	int clients[64], accepted[2] = {0, 0};
	size_t count;

	assert_non_null(l);
	for (size_t i = 0; i < 64; i++) {
		clients[i] = connect_to(listeners_name(l, 0));
		assert_true(clients[i] >= 0);
	}
	for (unsigned w = 0; w < 2; w++) {
		int fd;

		while ((fd = accept(listeners_of(l, w, &count)[0], NULL, NULL)) >= 0) {
			accepted[w]++;
			close(fd);
		}
	}
	assert_int_equal(accepted[0] + accepted[1], 64);
	assert_true(accepted[0] > 0 && accepted[1] > 0);
	for (size_t i = 0; i < 64; i++)
		close(clients[i]);
	listeners_close(&l);
}

static unsigned accept_all(const struct listeners *l, unsigned worker)
{
	unsigned count = 0;
	size_t addresses;
	char none;
	int fd;

	while ((fd = accept(listeners_of(l, worker, &addresses)[0], NULL, NULL)) >= 0) {
		assert_int_equal(recv(fd, &none, 1, MSG_DONTWAIT), -1); /* it has not ended */
		close(fd);
		count++;
	}
	return count;
}

static void knock(const struct listeners *l, int clients[64])
{
	for (size_t i = 0; i < 64; i++) {
		clients[i] = connect_to(listeners_name(l, 0));
		assert_true(clients[i] >= 0);
	}
}

/* How many were refused when they already waited. */
static unsigned count_reset(const int clients[64])
{
	unsigned reset = 0;
	char none;

	for (size_t i = 0; i < 64; i++) {
		reset += recv(clients[i], &none, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
		close(clients[i]);
	}
	return reset;
}

/* Also the first one, whose port the kernel chose. */
static void the_others_get_what_a_parked_worker_would_have_got(void **state)
{
	struct listeners *l = open_one("127.0.0.1:0", 2);
	int clients[64];

	assert_non_null(l);
	for (unsigned parked = 0; parked < 2; parked++) {
		unsigned first, second;

		knock(l, clients);
		first = accept_all(l, !parked);
		listeners_park(l, parked);
		listeners_park(l, parked);
		assert_int_equal(first + count_reset(clients), 64);
		knock(l, clients);
		assert_int_equal(accept_all(l, !parked), 64);
		count_reset(clients);
		assert_true(listeners_unpark(l, parked));
		assert_true(listeners_unpark(l, parked));
		knock(l, clients);
		first = accept_all(l, 0);
		second = accept_all(l, 1);
		assert_true(first > 0 && second > 0);
		assert_int_equal(first + second, 64);
		count_reset(clients);
	}
	listeners_close(&l);
}

static void second_broker_on_the_same_port_is_refused(void **state)
{
	struct listeners *first = open_one("127.0.0.1:0", 2);
	struct listeners *second;
	char name[ADDRESS_TEXT_MAX];

	assert_non_null(first);
	snprintf(name, sizeof(name), "%s", listeners_name(first, 0));
	assert_null(open_one(name, 2));
	listeners_close(&first);
	second = open_one(name, 2);
	assert_non_null(second);
	listeners_close(&second);
}

/* Connections that the last broker had are still known to the kernel when the next one starts. */
static void port_with_old_connections_is_taken(void **state)
{
	struct listeners *l = open_one("127.0.0.1:0", 1);
	char name[ADDRESS_TEXT_MAX];
	int client, server;
	size_t count;

	assert_non_null(l);
	snprintf(name, sizeof(name), "%s", listeners_name(l, 0));
	client = connect_to(name);
	server = accept(listeners_of(l, 0, &count)[0], NULL, NULL);
	assert_true(client >= 0 && server >= 0);
	listeners_close(&l);
	l = open_one(name, 1);
	assert_non_null(l);
	close(server);
	close(client);
	listeners_close(&l);
}

static void one_bad_address_opens_nothing(void **state)
{
	struct listeners *first = open_one("127.0.0.1:0", 1);
	char *items[] = {(char *)"127.0.0.1:0", NULL};
	struct strings addresses = {items, 2};
	int before = open("/dev/null", O_RDONLY), after;

	close(before);
	items[1] = (char *)listeners_name(first, 0);
	assert_null(listeners_open(&addresses, 2));
	items[1] = (char *)"127.0.0.1";
	assert_null(listeners_open(&addresses, 2));
	after = open("/dev/null", O_RDONLY);
	assert_int_equal(before, after); /* no descriptor was left behind */
	close(after);
	listeners_close(&first);
}

static void unix_socket_is_shared_and_removed(void **state)
{
	struct listeners *l = open_one(unix_text, WORKERS);
	struct stat st;
	size_t count;
	int client;

	assert_non_null(l);
	for (unsigned w = 1; w < WORKERS; w++)
		assert_int_equal(listeners_of(l, w, &count)[0], listeners_of(l, 0, &count)[0]);
	check_descriptor(listeners_of(l, 0, &count)[0]);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	client = connect_to(unix_text);
	assert_true(client >= 0);
	close(client);
	listeners_close(&l);
	assert_int_equal(stat(path, &st), -1);
}

static void unix_socket_is_not_parked(void **state)
{
	struct listeners *l = open_one(unix_text, 2);
	int client;

	assert_non_null(l);
	listeners_park(l, 0);
	client = connect_to(unix_text);
	assert_true(client >= 0);
	close(client);
	assert_true(listeners_unpark(l, 0));
	listeners_close(&l);
}

static void unix_socket_in_use_is_refused_and_left_alone(void **state)
{
	struct listeners *l = open_one(unix_text, 1);
	int client;

	assert_non_null(l);
	assert_null(open_one(unix_text, 1));
	client = connect_to(unix_text);
	assert_true(client >= 0);
	close(client);
	listeners_close(&l);
}

static void stale_socket_file_is_replaced(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int dead = socket(AF_UNIX, SOCK_STREAM, 0);
	struct listeners *l;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(bind(dead, (struct sockaddr *)&un, sizeof(un)), 0);
	close(dead);
	l = open_one(unix_text, 1);
	assert_non_null(l);
	listeners_close(&l);
}

static void file_that_is_no_socket_is_left_alone(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);
	struct stat st;

	assert_true(fd >= 0);
	close(fd);
	assert_null(open_one(unix_text, 1));
	assert_int_equal(stat(path, &st), 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_have_sockets_of_their_own_on_one_port),
		cmocka_unit_test(a_peer_that_is_gone_or_stuck_is_not_kept_for_ever),
		cmocka_unit_test(connections_are_spread_over_the_workers),
		cmocka_unit_test(the_others_get_what_a_parked_worker_would_have_got),
		cmocka_unit_test(second_broker_on_the_same_port_is_refused),
		cmocka_unit_test(port_with_old_connections_is_taken),
		cmocka_unit_test(one_bad_address_opens_nothing),
		cmocka_unit_test(unix_socket_is_shared_and_removed),
		cmocka_unit_test(unix_socket_is_not_parked),
		cmocka_unit_test(unix_socket_in_use_is_refused_and_left_alone),
		cmocka_unit_test(stale_socket_file_is_replaced),
		cmocka_unit_test(file_that_is_no_socket_is_left_alone),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
