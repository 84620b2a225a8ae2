/* Messages between master and worker. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control.h"

static int setup(void **state)
{
	static int fds[2];

	*state = fds;
	return control_pair(fds);
}

static int teardown(void **state)
{
	int *fds = *state;

	if (fds[0] >= 0)
		close(fds[0]);
	return close(fds[1]);
}

static void pair_neither_blocks_nor_survives_exec(void **state)
{
	int *fds = *state;

	for (int i = 0; i < 2; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
	}
}

static void messages_arrive_in_order_one_at_a_time(void **state)
{
	int *fds = *state;
	enum control_kind kind;

	assert_int_equal(control_receive(fds[1], &kind), 0);
	assert_int_equal(control_send(fds[0], CONTROL_DRAIN), 0);
	assert_int_equal(control_send(fds[0], CONTROL_STOP), 0);
	assert_int_equal(control_receive(fds[1], &kind), 1);
	assert_int_equal(kind, CONTROL_DRAIN);
	assert_int_equal(control_receive(fds[1], &kind), 1);
	assert_int_equal(kind, CONTROL_STOP);
	assert_int_equal(control_receive(fds[1], &kind), 0);
}

static void end_of_peer_is_told_after_its_last_message(void **state)
{
	int *fds = *state;
	enum control_kind kind;

	assert_int_equal(control_send(fds[0], CONTROL_READY), 0);
	close(fds[0]);
	fds[0] = -1;
	assert_int_equal(control_receive(fds[1], &kind), 1);
	assert_int_equal(kind, CONTROL_READY);
	assert_int_equal(control_receive(fds[1], &kind), -1);
	assert_int_equal(control_send(fds[1], CONTROL_DRAIN), -1);
}

static void nonsense_is_refused(void **state)
{
	enum { LEN = sizeof(struct control_message) };
	static const struct {
		struct control_message m;
		char more[4];
	} packets[] = {
		{{CONTROL_VERSION, 0, ""}, ""},
		{{CONTROL_VERSION, CONTROL_DEAD + 1, ""}, ""},
		{{CONTROL_VERSION + 1, CONTROL_READY, ""}, ""},
		{{CONTROL_VERSION, CONTROL_READY, "a text"}, ""},
		{{CONTROL_VERSION, CONTROL_DEAD, ""}, ""},
		{{CONTROL_VERSION, CONTROL_DEAD, {[0 ... CONTROL_TEXT_MAX] = 'a'}}, ""},
		{{CONTROL_VERSION, CONTROL_READY, ""}, ""},
		{{CONTROL_VERSION, CONTROL_READY, ""}, ""},
		{{CONTROL_VERSION, CONTROL_READY, ""}, ""},
	};
	static const size_t lens[] = {LEN, LEN, LEN, LEN, LEN, LEN, 4, LEN - 1, LEN + 4};
	int *fds = *state;
	enum control_kind kind;

	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		assert_int_equal(send(fds[0], &packets[i], lens[i], 0), lens[i]);
		assert_int_equal(control_receive(fds[1], &kind), -1);
	}
}

static void a_name_comes_with_its_message(void **state)
{
	int *fds = *state;
	struct control_message m;
	char longest[CONTROL_TEXT_MAX + 1] = "";
	int file;

	memset(longest, 'n', CONTROL_TEXT_MAX);
	assert_int_equal(control_send_text(fds[0], CONTROL_DEAD, "first"), 0);
	assert_int_equal(control_send_text(fds[0], CONTROL_DEAD, longest), 0);
	assert_int_equal(control_receive_message(fds[1], &m, &file), 1);
	assert_int_equal(m.kind, CONTROL_DEAD);
	assert_string_equal(m.text, "first");
	assert_int_equal(file, -1);
	assert_int_equal(control_receive_message(fds[1], &m, &file), 1);
	assert_string_equal(m.text, longest);
}

static void full_socket_is_an_error(void **state)
{
	int *fds = *state;
	int sent = 0;

	while (control_send(fds[0], CONTROL_DRAIN) == 0)
		assert_true(++sent < 100000);
	assert_true(errno == EAGAIN || errno == EWOULDBLOCK);
	assert_true(sent > 0);
}

static ino_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void a_descriptor_comes_with_its_message_and_not_with_another(void **state)
{
	int *fds = *state;
	struct control_message m;
	int file, pipe_fds[2];

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(control_send(fds[0], CONTROL_DRAIN), 0);
	assert_int_equal(control_send_file(fds[0], CONTROL_TLS_FILES, pipe_fds[0]), 0);
	assert_int_equal(control_receive_message(fds[1], &m, &file), 1);
	assert_int_equal(m.kind, CONTROL_DRAIN);
	assert_int_equal(file, -1);
	assert_int_equal(control_receive_message(fds[1], &m, &file), 1);
	assert_int_equal(m.kind, CONTROL_TLS_FILES);
	assert_int_equal(inode_of(file), inode_of(pipe_fds[0]));
	assert_true(fcntl(file, F_GETFD) & FD_CLOEXEC);
	close(file);
	assert_int_equal(control_receive_message(fds[1], &m, &file), 0);
	assert_int_equal(file, -1);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* Else they would pile up. */
static void a_descriptor_that_nobody_asked_for_is_closed(void **state)
{
	int *fds = *state;
	enum control_kind kind;
	int pipe_fds[2];
	char none;

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(control_send_file(fds[0], CONTROL_DRAIN, pipe_fds[1]), 0);
	close(pipe_fds[1]);
	assert_int_equal(control_receive(fds[1], &kind), 1);
	assert_int_equal(read(pipe_fds[0], &none, 1), 0); /* nobody holds the other end */
	close(pipe_fds[0]);
}

static void without_a_free_descriptor_the_message_comes_alone(void **state)
{
	int *fds = *state;
	struct rlimit limit, none;
	struct control_message m;
	int file;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	assert_int_equal(control_send_file(fds[0], CONTROL_TLS_FILES, fds[0]), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(control_receive_message(fds[1], &m, &file), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(m.kind, CONTROL_TLS_FILES);
	assert_int_equal(file, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pair_neither_blocks_nor_survives_exec, setup, teardown),
		cmocka_unit_test_setup_teardown(messages_arrive_in_order_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(end_of_peer_is_told_after_its_last_message, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_name_comes_with_its_message, setup, teardown),
		cmocka_unit_test_setup_teardown(full_socket_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(a_descriptor_comes_with_its_message_and_not_with_another,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(a_descriptor_that_nobody_asked_for_is_closed, setup,
	                                        teardown),
		cmocka_unit_test_setup_teardown(without_a_free_descriptor_the_message_comes_alone, setup,
	                                        teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
