#include "listener.h"

#include <errno.h>
#include <ev.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "metrics.h"

enum {
	ACCEPTS_PER_TURN = 64, /* so that a storm of new connections does not starve the old ones */
	PAUSE_MS = 100,        /* when memory, or even the last descriptor, has run out */
	UNREAD_READS = 16,     /* of 4 KiB: more than a request head has, and no more of a turn for a flood */
};

struct listener {
	struct ev_io io;
	struct timer pause;
	struct loop *loop;
	void (*on_accept)(void *ctx, int fd, const struct address *peer);
	void *ctx;
	struct bytes answer;
	int spare; /* a descriptor to give up when there is no other; -1: none */
	/* How many are accepted in a turn before the next one is looked at: as many as came lately, since to
	 * ask in vain takes as long as to accept. */
	int appetite;
};

/* Errors of the one connection that was about to be accepted, or none at all (accept(2), "Error handling").
 */
static bool harmless(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH: return true;
	default: return false;
	}
}

static void pause_accepting(struct listener *ln, int error)
{
	static struct log_limit limit;

	metrics_inc(accept_errors);
	if (log_allowed(&limit))
		log_error("cannot accept connections: %s; trying again in %d ms", strerror(error), PAUSE_MS);
	ev_io_stop(loop_ev(ln->loop), &ln->io);
	timer_start(ln->loop, &ln->pause, PAUSE_MS);
}

static void on_pause_over(struct timer *t)
{
	struct listener *ln = container_of(t, struct listener, pause);

	ev_io_start(loop_ev(ln->loop), &ln->io);
}

static bool is_short_of_descriptors(int error)
{
	return error == EMFILE || error == ENFILE;
}

/* A socket, since that is what a worker may open wherever it is locked up. */
static void take_spare(struct listener *ln)
{
	ln->spare = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void tell_refused(const struct address *peer)
{
	static struct log_limit limit;
	char name[ADDRESS_TEXT_MAX];

	metrics_inc(refused_descriptors);
	if (!log_allowed(&limit))
		return;
	address_format(peer, name);
	log_error("refused %s: no descriptor is left", name);
}

/* False when that did not work, either; errno is then that of accept(2). */
static bool refuse_one(struct listener *ln)
{
	struct address peer = {.len = sizeof(peer.sa)};
	int fd, error;

	if (ln->spare < 0)
		return false;
	close(ln->spare);
	fd = accept4(ln->io.fd, &peer.sa.any, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	error = errno;
	if (fd >= 0) {
		tell_refused(&peer);
		listener_refuse(fd, ln->answer);
	}
	take_spare(ln);
	errno = error;
	return fd >= 0;
}

/* False when there is nothing more to accept now. */
static bool accept_one(struct listener *ln)
{
	struct address peer = {.len = sizeof(peer.sa)};
	int fd = accept4(ln->io.fd, &peer.sa.any, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (is_short_of_descriptors(errno) && refuse_one(ln))
			return true;
		if (!harmless(errno))
			pause_accepting(ln, errno);
		return false;
	}
	if (ln->spare < 0)
		take_spare(ln);
	ln->on_accept(ln->ctx, fd, &peer);
	return true;
}

static void on_readable(struct ev_loop *ev, struct ev_io *w, int events)
{
	struct listener *ln = container_of(w, struct listener, io);

	for (int i = 0; i < ln->appetite; i++) {
		if (!accept_one(ln)) {
			ln->appetite = i > 0 ? i : 1;
			return;
		}
	}
	ln->appetite = ln->appetite < ACCEPTS_PER_TURN / 2 ? 2 * ln->appetite : ACCEPTS_PER_TURN;
}

struct listener *listener_new(struct loop *l, int fd,
                              void (*on_accept)(void *ctx, int fd, const struct address *peer), void *ctx)
{
	struct listener *ln = mem_alloc(sizeof(*ln));

	ln->loop = l;
	ln->on_accept = on_accept;
	ln->ctx = ctx;
	ln->pause.fire = on_pause_over;
	ln->appetite = 1;
	take_spare(ln);
	ev_io_init(&ln->io, on_readable, fd, EV_READ);
	ev_io_start(loop_ev(l), &ln->io);
	return ln;
}

void listener_answer(struct listener *ln, struct bytes answer)
{
	ln->answer = answer;
}

void listener_free(struct listener **ln)
{
	if (*ln == NULL)
		return;
	ev_io_stop(loop_ev((*ln)->loop), &(*ln)->io);
	timer_stop(&(*ln)->pause);
	if ((*ln)->spare >= 0)
		close((*ln)->spare);
	mem_free(*ln);
	*ln = NULL;
}

void listener_refuse(int fd, struct bytes answer)
{
	char unread[4096];
	int reads = 0;

	while (reads < UNREAD_READS &&
	       recv(fd, unread, sizeof(unread), MSG_DONTWAIT) == (ssize_t)sizeof(unread))
		reads++;
	if (answer.len > 0 && send(fd, answer.ptr, answer.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("refusal not sent: %s", strerror(errno));
	close(fd);
}
