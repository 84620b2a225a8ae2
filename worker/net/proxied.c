#include "proxied.h"

#include <errno.h>
#include <ev.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "proxy_header.h"

struct proxied {
	struct loop *loop;
	void (*on_client)(void *ctx, int fd, const struct address *client, const void *note);
	void *ctx;
	struct list waiting;
	size_t count;
};

struct waiting {
	struct list node;
	struct proxied *set;
	struct ev_io io;
	struct timer timer;
	struct buf in; /* the header so far */
	struct address peer;
	const void *note;
};

/* Lets go of the socket, which the caller has now. */
static int release(struct waiting *w)
{
	int fd = w->io.fd;

	ev_io_stop(loop_ev(w->set->loop), &w->io);
	timer_stop(&w->timer);
	list_remove(&w->node);
	w->set->count--;
	buf_free(&w->in);
	mem_free(w);
	return fd;
}

static void refuse(struct waiting *w, const char *why)
{
	static struct log_limit limit;
	char peer[ADDRESS_TEXT_MAX];

	address_format(&w->peer, peer);
	metrics_inc(proxy_headers_refused);
	if (log_allowed(&limit))
		log_warning("refused %s: PROXY header: %s", peer, why);
	close(release(w));
}

/* Load balancers that only look whether somebody is there do this all the time. */
static void on_end(struct waiting *w, ssize_t n)
{
	log_debug("no PROXY header: %s", n < 0 ? strerror(errno) : "the peer hung up");
	close(release(w));
}

static void on_timer(struct timer *t)
{
	refuse(container_of(t, struct waiting, timer), "not there in time");
}

static ssize_t receive(int fd, void *data, size_t len, int flags)
{
	ssize_t n;

	do {
		n = recv(fd, data, len, flags);
	} while (n < 0 && errno == EINTR);
	return n;
}

static void on_complete(struct waiting *w, const struct proxy_header *header)
{
	struct proxied *set = w->set;
	const void *note = w->note;
	struct address client = w->peer;

	if (!header->local)
		ip_to_address(&header->source, header->source_port, &client);
	set->on_client(set->ctx, release(w), &client, note);
}

/* Takes out of the socket what belongs to the header for certain, and only that. Of an unfinished one that is
 * all that came, so that the loop does not see it again and again. */
static void go_on(struct waiting *w, char *data, size_t peeked)
{
	struct proxy_header header;
	enum proxy_result result = proxy_header_parse((struct bytes){data, w->in.len + peeked}, &header);
	size_t len;

	if (result == PROXY_BAD) {
		refuse(w, header.error);
		return;
	}
	len = header.len - w->in.len;
	if (receive(w->io.fd, data + w->in.len, len, 0) != (ssize_t)len) {
		refuse(w, "cannot be read");
		return;
	}
	metrics_add(bytes_received, len);
	if (result == PROXY_COMPLETE) {
		on_complete(w, &header);
		return;
	}
	buf_put(&w->in, data + w->in.len, len);
	if (!buf_ok(&w->in))
		refuse(w, "no memory for it");
}

static void on_readable(struct ev_loop *ev, struct ev_io *io, int events)
{
	struct waiting *w = container_of(io, struct waiting, io);
	char *data = loop_scratch(w->set->loop);
	ssize_t n;

	_Static_assert((int)PROXY_HEADER_MAX <= (int)LOOP_SCRATCH, "a header fits");
	if (w->in.len > 0)
		memcpy(data, w->in.data, w->in.len);
	n = receive(io->fd, data + w->in.len, PROXY_HEADER_MAX - w->in.len, MSG_PEEK);
	if (n > 0)
		go_on(w, data, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		on_end(w, n);
}

struct proxied *
proxied_new(struct loop *l,
            void (*on_client)(void *ctx, int fd, const struct address *client, const void *note), void *ctx)
{
	struct proxied *p = mem_alloc(sizeof(*p));

	p->loop = l;
	p->on_client = on_client;
	p->ctx = ctx;
	list_init(&p->waiting);
	return p;
}

void proxied_free(struct proxied **p)
{
	if (*p == NULL)
		return;
	list_for_each (node, &(*p)->waiting)
		close(release(container_of(node, struct waiting, node)));
	mem_free(*p);
	*p = NULL;
}

void proxied_accept(struct proxied *p, int fd, const struct address *peer, const void *note,
                    uint64_t timeout_ms)
{
	struct waiting *w = mem_alloc(sizeof(*w));

	w->set = p;
	w->peer = *peer;
	w->note = note;
	w->timer.fire = on_timer;
	buf_init(&w->in, PROXY_HEADER_MAX);
	list_append(&p->waiting, &w->node);
	p->count++;
	timer_start(p->loop, &w->timer, timeout_ms);
	ev_io_init(&w->io, on_readable, fd, EV_READ);
	ev_io_start(loop_ev(p->loop), &w->io);
}

size_t proxied_count(const struct proxied *p)
{
	return p->count;
}
