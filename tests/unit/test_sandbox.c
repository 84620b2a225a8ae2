/* What a worker cannot do any more, and what it still can. Each try is a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox.h"

static char path[] = "/tmp/fanfare-sandbox-XXXXXX";

/* The status of a process that does this in the sandbox. */
static int status_of(int (*what)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (!sandbox_enter(false))
			_exit(100);
		_exit(what());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int refused(long rc)
{
	return rc == -1 && errno == EPERM ? 0 : 1;
}

#define FORBIDDEN(name, call)                               \
	static int try_##name(void)                         \
	{                                                   \
		return refused(call);                       \
	}                                                   \
	static void name##_is_refused(void **state)         \
	{                                                   \
		assert_int_equal(status_of(try_##name), 0); \
	}

#define LETHAL(name, call)                                  \
	static int try_##name(void)                         \
	{                                                   \
		call;                                       \
		return 1;                                   \
	}                                                   \
	static void name##_ends_the_process(void **state)   \
	{                                                   \
		int status = status_of(try_##name);         \
                                                            \
		assert_true(WIFSIGNALED(status));           \
		assert_int_equal(WTERMSIG(status), SIGSYS); \
	}

static char *const no_words[] = {NULL};
static struct iovec nothing;
static struct f_owner_ex parent = {F_OWNER_PID, 0};
static struct rlimit limit;

LETHAL(execve, execve("/bin/true", no_words, no_words))
LETHAL(execveat, syscall(SYS_execveat, AT_FDCWD, "/bin/true", no_words, no_words, 0))
LETHAL(ptrace, ptrace(PTRACE_TRACEME, 0, NULL, NULL))
LETHAL(reading_the_memory_of_others, process_vm_readv(getppid(), &nothing, 1, &nothing, 1, 0))
LETHAL(bpf, syscall(SYS_bpf, 0, NULL, 0))
LETHAL(mount, syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL))
LETHAL(unshare, syscall(SYS_unshare, 0))

FORBIDDEN(fork, fork())
FORBIDDEN(clone3, syscall(SYS_clone3, NULL, 0))
FORBIDDEN(killing_the_master, kill(getppid(), 0))
FORBIDDEN(killing_another, syscall(SYS_tgkill, getppid(), getppid(), 0))
/* What comes at a socket can be made a signal to anybody. */
FORBIDDEN(having_sockets_signal_the_master, fcntl(STDERR_FILENO, F_SETOWN, getppid()))
FORBIDDEN(having_sockets_signal_it_in_the_new_way, fcntl(STDERR_FILENO, F_SETOWN_EX, &parent))
FORBIDDEN(having_sockets_signal_it_in_the_old_way, ioctl(STDERR_FILENO, FIOSETOWN, &parent.pid))
FORBIDDEN(having_sockets_signal_it_in_the_way_of_bsd, ioctl(STDERR_FILENO, SIOCSPGRP, &parent.pid))
FORBIDDEN(choosing_the_signal, fcntl(STDERR_FILENO, F_SETSIG, SIGKILL))
FORBIDDEN(the_limits_of_another, prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit))
FORBIDDEN(slowing_another_down, setpriority(PRIO_PROCESS, (id_t)getppid(), 19))
FORBIDDEN(setuid, setuid(getuid()))
FORBIDDEN(a_raw_packet_socket, socket(AF_PACKET, SOCK_RAW, 0))
FORBIDDEN(a_netlink_socket, socket(AF_NETLINK, SOCK_RAW, 0))
FORBIDDEN(a_socket_of_family_4, socket(4, SOCK_DGRAM, 0))
FORBIDDEN(a_vsock_socket, socket(AF_VSOCK, SOCK_STREAM, 0))
FORBIDDEN(opening_to_write, open(path, O_WRONLY))
FORBIDDEN(opening_to_read_and_write, open(path, O_RDWR | O_CLOEXEC))
FORBIDDEN(opening_to_append, openat(AT_FDCWD, path, O_WRONLY | O_APPEND))
FORBIDDEN(emptying_a_file, open(path, O_RDONLY | O_TRUNC))
FORBIDDEN(making_a_file, open("/tmp/fanfare-sandbox-new", O_RDONLY | O_CREAT, 0600))
FORBIDDEN(removing_a_file, unlink(path))
FORBIDDEN(renaming_a_file, rename(path, "/tmp/fanfare-sandbox-new"))
FORBIDDEN(making_a_file_executable, chmod(path, 0755))
FORBIDDEN(io_uring, syscall(SYS_io_uring_setup, 1, NULL))
FORBIDDEN(typing_into_the_terminal, syscall(SYS_ioctl, 0, 0x5412, "x"))

static int work(void)
{
	char byte;
	int pair[2];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fd < 0 || page == MAP_FAILED || read(fd, &byte, 1) != 0 || getrandom(&byte, 1, 0) != 1)
		return 1;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || write(pair[0], "x", 1) != 1 ||
	    read(pair[1], &byte, 1) != 1)
		return 2;
	if (socket(AF_INET, SOCK_STREAM, 0) < 0 ||
	    (socket(AF_INET6, SOCK_DGRAM, 0) < 0 && errno != EAFNOSUPPORT) ||
	    socket(AF_UNIX, SOCK_STREAM, 0) < 0)
		return 3;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || fcntl(fd, F_GETFL) < 0 ||
	    fcntl(fd, F_DUPFD_CLOEXEC, 0) < 0)
		return 5;
	return epoll_create1(0) < 0 ? 4 : 0;
}

static void work_goes_on(void **state)
{
	assert_int_equal(status_of(work), 0);
}

static int do_abort(void)
{
	signal(SIGABRT, SIG_DFL);
	abort();
}

static void an_assertion_that_fails_still_ends_the_process(void **state)
{
	int status = status_of(do_abort);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(work_goes_on),
		cmocka_unit_test(an_assertion_that_fails_still_ends_the_process),
		cmocka_unit_test(execve_ends_the_process),
		cmocka_unit_test(execveat_ends_the_process),
		cmocka_unit_test(ptrace_ends_the_process),
		cmocka_unit_test(reading_the_memory_of_others_ends_the_process),
		cmocka_unit_test(bpf_ends_the_process),
		cmocka_unit_test(mount_ends_the_process),
		cmocka_unit_test(unshare_ends_the_process),
		cmocka_unit_test(fork_is_refused),
		cmocka_unit_test(clone3_is_refused),
		cmocka_unit_test(killing_the_master_is_refused),
		cmocka_unit_test(killing_another_is_refused),
		cmocka_unit_test(having_sockets_signal_the_master_is_refused),
		cmocka_unit_test(having_sockets_signal_it_in_the_new_way_is_refused),
		cmocka_unit_test(having_sockets_signal_it_in_the_old_way_is_refused),
		cmocka_unit_test(having_sockets_signal_it_in_the_way_of_bsd_is_refused),
		cmocka_unit_test(choosing_the_signal_is_refused),
		cmocka_unit_test(the_limits_of_another_is_refused),
		cmocka_unit_test(slowing_another_down_is_refused),
		cmocka_unit_test(setuid_is_refused),
		cmocka_unit_test(a_raw_packet_socket_is_refused),
		cmocka_unit_test(a_netlink_socket_is_refused),
		cmocka_unit_test(a_socket_of_family_4_is_refused),
		cmocka_unit_test(a_vsock_socket_is_refused),
		cmocka_unit_test(opening_to_write_is_refused),
		cmocka_unit_test(opening_to_read_and_write_is_refused),
		cmocka_unit_test(opening_to_append_is_refused),
		cmocka_unit_test(emptying_a_file_is_refused),
		cmocka_unit_test(making_a_file_is_refused),
		cmocka_unit_test(removing_a_file_is_refused),
		cmocka_unit_test(renaming_a_file_is_refused),
		cmocka_unit_test(making_a_file_executable_is_refused),
		cmocka_unit_test(io_uring_is_refused),
		cmocka_unit_test(typing_into_the_terminal_is_refused),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
