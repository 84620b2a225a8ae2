/* A proxy in front of the test's Redis, in the same loop, that can stall or cut single connections: to make
 * one of them deaf, slow or dead while the others work. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "redis_world.h"

struct proxy;
struct proxied;

enum { FLOW_MAX = 128 << 10 };

/* One direction of a connection. Reads only when everything is written. */
struct flow {
	struct proxied *conn;
	struct ev_io readable;
	struct ev_io writable;
	char data[FLOW_MAX];
	size_t len;
	size_t sent;
	bool stalled;
};

struct proxied {
	struct proxied *next;
	struct proxy *proxy;
	struct flow up;   /* to Redis */
	struct flow down; /* to the worker */
	bool open;
	/* Beside each there may be rivals, which log in and are closed (redis_race). */
	bool subs;            /* a subscriber connection, by its name */
	bool listens;         /* one that has subscribed */
	bool calls;           /* a command connection over which canaries are published */
	bool stall_at_marker; /* stalls `down` as soon as the marker is to be passed on */
	bool marker_came;
};

struct proxy {
	struct world *world;
	struct ev_io acceptable;
	char socket[112];
	char address[128];
	struct proxied *conns; /* newest first */
	unsigned subs_count;   /* rivals included */
	bool stall_new_subs;   /* `down` of each new subscriber connection, from the start */
	bool mark_new_subs;    /* stall_at_marker of each new subscriber connection */
	bool stall_calls_with_new_subs;
};

static void flow_arm(struct flow *f)
{
	struct ev_loop *ev = loop_ev(f->conn->proxy->world->loop);

	ev_io_stop(ev, &f->readable);
	ev_io_stop(ev, &f->writable);
	if (!f->conn->open || f->stalled)
		return;
	ev_io_start(ev, f->sent < f->len ? &f->writable : &f->readable);
}

static void proxied_close(struct proxied *c)
{
	if (!c->open)
		return;
	c->open = false;
	flow_arm(&c->up);
	flow_arm(&c->down);
	close(c->up.readable.fd);
	close(c->up.writable.fd);
}

static UNUSED_OK struct proxied *find_calls(struct proxy *p)
{
	struct proxied *c = p->conns;

	while (c != NULL && !(c->open && c->calls))
		c = c->next;
	return c;
}

static void recognize(struct proxied *c)
{
	if (memmem(c->up.data, c->up.len, "canary ", 7) != NULL)
		c->calls = true;
	if (memmem(c->up.data, c->up.len, "SUBSCRIBE", 9) != NULL)
		c->listens = true;
	if (c->subs || memmem(c->up.data, c->up.len, ".subs", 5) == NULL)
		return;
	c->subs = true;
	c->proxy->subs_count++;
	c->down.stalled = c->proxy->stall_new_subs;
	c->stall_at_marker = c->proxy->mark_new_subs;
	if (c->proxy->stall_calls_with_new_subs) {
		struct proxied *calls = find_calls(c->proxy);
		calls->up.stalled = true;
		flow_arm(&calls->up);
	}
}

static void on_flow_readable(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct flow *f = container_of(io, struct flow, readable);
	struct proxied *c = f->conn;
	ssize_t n = recv(io->fd, f->data, sizeof(f->data), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		proxied_close(c);
		return;
	}
	f->len = (size_t)n;
	f->sent = 0;
	if (f == &c->up)
		recognize(c);
	else if (memmem(f->data, f->len, "marker ", 7) != NULL) {
		c->marker_came = true;
		f->stalled = f->stalled || c->stall_at_marker;
	}
	flow_arm(&c->up);
	flow_arm(&c->down);
}

static void on_flow_writable(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct flow *f = container_of(io, struct flow, writable);
	ssize_t n = send(io->fd, f->data + f->sent, f->len - f->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		proxied_close(f->conn);
		return;
	}
	f->sent += (size_t)n;
	flow_arm(f);
}

static void flow_init(struct flow *f, struct proxied *c, int from, int to)
{
	f->conn = c;
	ev_io_init(&f->readable, on_flow_readable, from, EV_READ);
	ev_io_init(&f->writable, on_flow_writable, to, EV_WRITE);
}

static int unix_socket(const char *path, struct sockaddr_un *un)
{
	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void on_acceptable(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct proxy *p = container_of(io, struct proxy, acceptable);
	int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct sockaddr_un un;
	int up = unix_socket(p->world->socket, &un);
	struct proxied *c;

	assert_true(fd >= 0 && up >= 0);
	if (connect(up, (struct sockaddr *)&un, sizeof(un)) < 0) {
		close(fd);
		close(up);
		return;
	}
	c = mem_alloc(sizeof(*c));
	c->proxy = p;
	c->open = true;
	c->next = p->conns;
	p->conns = c;
	flow_init(&c->up, c, fd, up);
	flow_init(&c->down, c, up, fd);
	flow_arm(&c->up);
	flow_arm(&c->down);
}

/* The world's config is pointed at the proxy. */
static UNUSED_OK void proxy_start(struct proxy *p, struct world *w)
{
	struct sockaddr_un un;
	int fd;

	memset(p, 0, sizeof(*p));
	p->world = w;
	snprintf(p->socket, sizeof(p->socket), "%s/p", w->dir);
	snprintf(p->address, sizeof(p->address), "unix:%s", p->socket);
	w->config.redis.address = p->address;
	fd = unix_socket(p->socket, &un);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 64), 0);
	ev_io_init(&p->acceptable, on_acceptable, fd, EV_READ);
	ev_io_start(loop_ev(w->loop), &p->acceptable);
}

static UNUSED_OK void proxy_stop(struct proxy *p)
{
	while (p->conns != NULL) {
		struct proxied *c = p->conns;
		p->conns = c->next;
		proxied_close(c);
		mem_free(c);
	}
	ev_io_stop(loop_ev(p->world->loop), &p->acceptable);
	close(p->acceptable.fd);
}

static UNUSED_OK void stall_down(struct proxied *c, bool stalled)
{
	c->down.stalled = stalled;
	if (!stalled)
		c->stall_at_marker = false;
	flow_arm(&c->down);
}

static UNUSED_OK void stall_up(struct proxied *c, bool stalled)
{
	c->up.stalled = stalled;
	flow_arm(&c->up);
}

/* The newest open subscriber connection other than that one, or NULL. */
static UNUSED_OK struct proxied *subs_beside(struct proxy *p, const struct proxied *other)
{
	struct proxied *c = p->conns;

	while (c != NULL && !(c->open && c->subs && c != other))
		c = c->next;
	return c;
}

/* The same, and it has subscribed. */
static UNUSED_OK struct proxied *listener_beside(struct proxy *p, const struct proxied *other)
{
	struct proxied *c = p->conns;

	while (c != NULL && !(c->open && c->listens && c != other))
		c = c->next;
	return c;
}

static UNUSED_OK unsigned open_conns(const struct proxy *p)
{
	unsigned count = 0;

	for (const struct proxied *c = p->conns; c != NULL; c = c->next)
		count += c->open;
	return count;
}
