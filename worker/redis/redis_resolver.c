#include "redis_resolver.h"

#include <ares.h>
#include <assert.h>
#include <string.h>

/* Asked once more after this without an answer, and then again after twice the time. */
enum { REDIS_RESOLVER_TIMEOUT_MS = 500, REDIS_RESOLVER_TRIES = 3 };

/* --- what c-ares wants of the loop --- */

static void arm(struct redis_resolver *r)
{
	struct timeval wait;

	if (ares_timeout(r->channel, NULL, &wait) == NULL)
		timer_stop(&r->timer);
	else
		timer_start(r->loop, &r->timer, (uint64_t)wait.tv_sec * 1000 + (uint64_t)wait.tv_usec / 1000);
}

/* Lets c-ares work; the channel may only be closed after that. */
static void process(struct redis_resolver *r, ares_socket_t readable, ares_socket_t writable)
{
	ares_process_fd(r->channel, readable, writable);
	if (!r->done) {
		arm(r);
		return;
	}
	redis_resolver_stop(r);
	r->on_done(r);
}

static void on_socket(struct ev_loop *ev, struct ev_io *io, int events)
{
	process(io->data, events & EV_READ ? io->fd : ARES_SOCKET_BAD,
	        events & EV_WRITE ? io->fd : ARES_SOCKET_BAD);
}

static void on_timer(struct timer *t)
{
	process(container_of(t, struct redis_resolver, timer), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* The watch of the socket, or a free one for it; NULL when all are in use, and then c-ares runs into its
 * timeout and asks elsewhere. */
static struct ev_io *find_watch(struct redis_resolver *r, int fd)
{
	struct ev_io *unused = NULL;

	for (unsigned i = 0; i < REDIS_RESOLVER_WATCHES; i++) {
		if (r->watches[i].fd == fd)
			return &r->watches[i];
		if (r->watches[i].fd < 0)
			unused = &r->watches[i];
	}
	return unused;
}

/* c-ares says what it wants to know of a socket; nothing, before it closes it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct redis_resolver *r = arg;
	struct ev_io *io = find_watch(r, fd);

	if (io == NULL)
		return;
	ev_io_stop(loop_ev(r->loop), io);
	ev_io_set(io, readable || writable ? fd : -1, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	if (readable || writable)
		ev_io_start(loop_ev(r->loop), io);
}

/* --- the answer --- */

static const struct ares_addrinfo_node *choose(const struct ares_addrinfo *info, unsigned turn)
{
	const struct ares_addrinfo_node *node;
	unsigned count = 0;

	for (node = info->nodes; node != NULL; node = node->ai_next)
		count++;
	if (count == 0)
		return NULL;
	node = info->nodes;
	for (turn %= count; turn > 0; turn--)
		node = node->ai_next;
	return node;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct redis_resolver *r = arg;
	const struct ares_addrinfo_node *node = status == ARES_SUCCESS ? choose(info, r->asked++) : NULL;

	r->done = true;
	r->error = status == ARES_SUCCESS ? "the name has no address" : ares_strerror(status);
	if (node != NULL && node->ai_addrlen <= sizeof(r->address.sa)) {
		memcpy(&r->address.sa, node->ai_addr, node->ai_addrlen);
		r->address.len = node->ai_addrlen;
		r->error = NULL;
	}
	ares_freeaddrinfo(info);
}

/* --- the face --- */

static bool open_channel(struct redis_resolver *r)
{
	struct ares_options options = {
		.timeout = REDIS_RESOLVER_TIMEOUT_MS,
		.tries = REDIS_RESOLVER_TRIES,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = r,
	};

	if (ares_init_options(&r->channel, &options,
	                      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS) {
		r->channel = NULL;
		return false;
	}
	return r->servers == NULL || ares_set_servers_ports_csv(r->channel, r->servers) == ARES_SUCCESS;
}

bool redis_resolver_start(struct redis_resolver *r, const char *host, const char *port)
{
	struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

	assert(r->channel == NULL);
	r->done = false;
	if (!open_channel(r)) {
		redis_resolver_stop(r);
		r->error = "the resolver cannot be set up";
		return true;
	}
	ares_getaddrinfo(r->channel, host, port, &hints, on_answer, r);
	if (!r->done) {
		arm(r);
		return false;
	}
	redis_resolver_stop(r);
	return true;
}

/* A question that is still open is answered by ares_destroy(), which nobody hears any more. */
void redis_resolver_stop(struct redis_resolver *r)
{
	struct ares_channeldata *channel = r->channel;

	r->channel = NULL;
	timer_stop(&r->timer);
	if (channel != NULL)
		ares_destroy(channel);
}

void redis_resolver_init(struct redis_resolver *r, struct loop *loop,
                         void (*on_done)(struct redis_resolver *r))
{
	*r = (struct redis_resolver){.loop = loop, .on_done = on_done, .timer.fire = on_timer};
	for (unsigned i = 0; i < REDIS_RESOLVER_WATCHES; i++) {
		ev_io_init(&r->watches[i], on_socket, -1, 0);
		r->watches[i].data = r;
	}
}
