#include "control.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

int control_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
}

int control_send(int fd, enum control_kind kind)
{
	struct control_message m = {.version = CONTROL_VERSION, .kind = (uint32_t)kind};
	ssize_t n;

	do
		n = send(fd, &m, sizeof(m), MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(m) ? 0 : -1;
}

static bool is_known(const struct control_message *m)
{
	return m->version == CONTROL_VERSION && m->kind >= CONTROL_READY && m->kind <= CONTROL_STOP;
}

int control_receive(int fd, enum control_kind *kind)
{
	struct control_message m;
	ssize_t n;

	/* MSG_TRUNC makes a packet that is too long show its true length. */
	do
		n = recv(fd, &m, sizeof(m), MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n != (ssize_t)sizeof(m) || !is_known(&m))
		return -1;
	*kind = (enum control_kind)m.kind;
	return 1;
}
