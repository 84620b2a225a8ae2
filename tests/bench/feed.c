#include "feed.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

enum { OUT_MAX = 1 << 20 };

static int dial(const char *address)
{
	int fd;

	if (strncmp(address, "unix:", 5) == 0)
		return dial_unix(address + 5);
	fd = dial_port((uint16_t)atoi(address));
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0)
		die("TCP_NODELAY");
	return fd;
}

void feed_open(struct feed *f, const struct dialect *dialect, const char *address, size_t data_size,
               int epoll)
{
	struct epoll_event event = {.events = EPOLLIN};

	*f = (struct feed){.dialect = dialect,
	                   .out = {.text = malloc(OUT_MAX), .size = OUT_MAX},
	                   .data = malloc(data_size),
	                   .data_size = data_size};
	if (f->out.text == NULL || f->data == NULL)
		die("memory");
	f->fd = dial(address);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, f->fd, &event) < 0)
		die("epoll_ctl");
	memcpy(f->out.text, dialect->greeting, dialect->greeting_len);
	f->out.len = dialect->greeting_len;
	feed_flush(f);
}

void feed_put(struct feed *f, const struct message *m)
{
	plan_data(m, f->data, f->data_size);
	f->dialect->publish(&f->out, m->channel, f->data, f->data_size);
}

void feed_flush(struct feed *f)
{
	if (f->out.len > 0 && write(f->fd, f->out.text, f->out.len) != (ssize_t)f->out.len)
		die("publish");
	f->out.len = 0;
}

void feed_drain(void *feed)
{
	struct feed *f = feed;
	char answers[1 << 14];
	ssize_t n = recv(f->fd, answers, sizeof(answers), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		die("who takes the publications hung up");
	if (n > 0 && answers[0] == '-')
		die("Redis refuses a publication");
}
