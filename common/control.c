#include "control.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Room for one descriptor: those that a packet brings beyond it are closed by the kernel. */
union file_room {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int control_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds);
}

static void put_file(struct msghdr *packet, union file_room *room, int file)
{
	struct cmsghdr *head;

	packet->msg_control = room->bytes;
	packet->msg_controllen = sizeof(room->bytes);
	head = CMSG_FIRSTHDR(packet);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(file));
	memcpy(CMSG_DATA(head), &file, sizeof(file));
}

static int send_message(int fd, struct control_message *m, int file)
{
	struct iovec iov = {m, sizeof(*m)};
	struct msghdr packet = {.msg_iov = &iov, .msg_iovlen = 1};
	union file_room room = {0};
	ssize_t n;

	if (file >= 0)
		put_file(&packet, &room, file);
	do
		n = sendmsg(fd, &packet, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*m) ? 0 : -1;
}

int control_send_file(int fd, enum control_kind kind, int file)
{
	struct control_message m = {.version = CONTROL_VERSION, .kind = (uint32_t)kind};

	return send_message(fd, &m, file);
}

int control_send_text(int fd, enum control_kind kind, const char *text)
{
	struct control_message m = {.version = CONTROL_VERSION, .kind = (uint32_t)kind};
	size_t len = strlen(text);

	assert(len <= CONTROL_TEXT_MAX);
	memcpy(m.text, text, len);
	return send_message(fd, &m, -1);
}

int control_send(int fd, enum control_kind kind)
{
	return control_send_file(fd, kind, -1);
}

static bool is_known(const struct control_message *m)
{
	return m->version == CONTROL_VERSION && m->kind >= CONTROL_READY && m->kind <= CONTROL_DEAD &&
	       m->text[CONTROL_TEXT_MAX] == '\0' && (m->text[0] != '\0') == (m->kind == CONTROL_DEAD);
}

static int file_of(struct msghdr *packet)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(packet);
	int file = -1;

	if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(&file, CMSG_DATA(head), sizeof(file));
	return file;
}

int control_receive_message(int fd, struct control_message *m, int *file)
{
	struct iovec iov = {m, sizeof(*m)};
	union file_room room = {0};
	struct msghdr packet = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (file != NULL) {
		packet.msg_control = room.bytes;
		packet.msg_controllen = sizeof(room.bytes);
	}
	/* MSG_TRUNC makes a packet that is too long show its true length. */
	do
		n = recvmsg(fd, &packet, MSG_TRUNC | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (file != NULL)
		*file = n >= 0 ? file_of(&packet) : -1;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	return n == (ssize_t)sizeof(*m) && is_known(m) ? 1 : -1;
}

int control_receive(int fd, enum control_kind *kind)
{
	struct control_message m;
	int rc = control_receive_message(fd, &m, NULL);

	if (rc > 0)
		*kind = (enum control_kind)m.kind;
	return rc;
}
