/* The system calls of the worker and of its libraries, libev above all: what the executable defines itself is
 * not taken from the C library. Descriptors that are none of this world's, and everything while no worker
 * runs, go to the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"
#include "sim_files.h"
#include "sim_net.h"

static inline bool ours(int fd)
{
	return sim.running && sim_owns(fd);
}

/* --- sockets --- */

int socket(int domain, int type, int protocol)
{
	return sim.running ? sim_socket() : (int)syscall(SYS_socket, domain, type, protocol);
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	return ours(fd) ? sim_connect(fd) : (int)syscall(SYS_connect, fd, to, len);
}

int accept4(int fd, struct sockaddr *peer, socklen_t *restrict len, int flags)
{
	return ours(fd) ? sim_accept(fd, peer, len) : (int)syscall(SYS_accept4, fd, peer, len, flags);
}

ssize_t recv(int fd, void *data, size_t len, int flags)
{
	return ours(fd) ? sim_recv(fd, data, len, flags)
	                : syscall(SYS_recvfrom, fd, data, len, flags, NULL, NULL);
}

ssize_t read(int fd, void *data, size_t len)
{
	return ours(fd) ? sim_recv(fd, data, len, 0) : syscall(SYS_read, fd, data, len);
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	struct iovec iov = {(void *)data, len};

	return ours(fd) ? sim_sendv(fd, &iov, 1) : syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
}

ssize_t write(int fd, const void *data, size_t len)
{
	struct iovec iov = {(void *)data, len};

	return ours(fd) ? sim_sendv(fd, &iov, 1) : syscall(SYS_write, fd, data, len);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return ours(fd) ? sim_sendv(fd, msg->msg_iov, msg->msg_iovlen) : syscall(SYS_sendmsg, fd, msg, flags);
}

/* Without the descriptors that may come along: nobody sends any here. */
ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (!ours(fd))
		return syscall(SYS_recvmsg, fd, msg, flags);
	msg->msg_controllen = 0;
	msg->msg_flags = 0;
	return sim_recv(fd, msg->msg_iov[0].iov_base, msg->msg_iov[0].iov_len, flags);
}

/* As when there are no more: who keeps a spare one does without. */
int dup(int fd)
{
	if (!ours(fd))
		return (int)syscall(SYS_dup, fd);
	errno = EMFILE;
	return -1;
}

int shutdown(int fd, int how)
{
	return ours(fd) ? sim_shutdown(fd) : (int)syscall(SYS_shutdown, fd, how);
}

int close(int fd)
{
	return ours(fd) ? sim_close(fd) : (int)syscall(SYS_close, fd);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return ours(fd) ? sim_setsockopt(fd, level, name, value)
	                : (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return ours(fd) ? sim_getsockopt(fd, level, name, value)
	                : (int)syscall(SYS_getsockopt, fd, level, name, value, len);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	long arg;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	return ours(fd) ? 0 : (int)syscall(SYS_fcntl, fd, command, arg);
}

/* --- waiting, and time --- */

int epoll_create1(int flags)
{
	return sim.running ? sim_epoll_create() : (int)syscall(SYS_epoll_create1, flags);
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
	return ours(epoll) ? sim_epoll_ctl(op, fd, event) : (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
	return ours(epoll) ? sim_epoll_wait(events, max, timeout)
	                   : (int)syscall(SYS_epoll_wait, epoll, events, max, timeout);
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
	bool wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
	uint64_t now_us;

	if (!sim.running)
		return (int)syscall(SYS_clock_gettime, id, ts);
	now_us = sim.now_us + (wall ? (uint64_t)sim.unix_offset_us : 0);
	ts->tv_sec = (time_t)(now_us / SIM_SECOND);
	ts->tv_nsec = (long)(now_us % SIM_SECOND) * 1000;
	return 0;
}

/* --- chance: from the seed, and before the first one from a constant --- */

ssize_t getrandom(void *out, size_t len, unsigned flags)
{
	for (size_t i = 0; i < len; i++)
		((unsigned char *)out)[i] = (unsigned char)sim_random();
	return (ssize_t)len;
}

uint32_t arc4random(void)
{
	return (uint32_t)sim_random();
}

uint32_t arc4random_uniform(uint32_t n)
{
	return n < 2 ? 0 : sim_below(n);
}

void arc4random_buf(void *out, size_t len)
{
	getrandom(out, len, 0);
}

/* --- limits --- */

int getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	if (!sim.running || resource != RLIMIT_NOFILE)
		return (int)syscall(SYS_prlimit64, 0, resource, NULL, limit);
	limit->rlim_cur = limit->rlim_max = sim_file_limit();
	return 0;
}

static bool no_memory(void)
{
	if (!sim.running || !sim_lies(sim.weather.no_memory))
		return false;
	sim.counts.no_memory++;
	return true;
}

void *__real_mem_try_alloc(size_t size);
void *__real_mem_try_realloc(void *ptr, size_t size);
void *__wrap_mem_try_alloc(size_t size);
void *__wrap_mem_try_realloc(void *ptr, size_t size);

void *__wrap_mem_try_alloc(size_t size)
{
	return no_memory() ? NULL : __real_mem_try_alloc(size);
}

void *__wrap_mem_try_realloc(void *ptr, size_t size)
{
	return no_memory() ? NULL : __real_mem_try_realloc(ptr, size);
}
