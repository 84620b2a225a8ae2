/* TLS on accepted connections: the handshakes under way have a deadline and a ceiling, and are counted. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "tls_internal.h"

struct accepted {
	struct tls tls;
	struct list node; /* in server->handshakes, as long as that phase lasts */
};

static struct tls_server *server_of(const struct tls *t)
{
	return container_of(t->gear, struct tls_server, gear);
}

static void on_handshake_over(struct tls *t, bool open)
{
	list_remove(&container_of(t, struct accepted, tls)->node);
	server_of(t)->handshake_count--;
	metrics_dec(tls_handshakes_in_flight);
	if (!open)
		return;
	metrics_inc(tls_handshakes);
	if (SSL_session_reused(t->ssl))
		metrics_inc(tls_resumptions);
}

static void on_failure(struct tls *t, const char *reason)
{
	static struct log_limit limit;
	struct address peer = {.len = sizeof(peer.sa)};
	char name[ADDRESS_TEXT_MAX] = "a peer that is gone";

	if (t->phase == TLS_HANDSHAKE)
		metrics_inc(tls_handshakes_failed);
	if (!log_allowed(&limit))
		return;
	if (getpeername(stream_fd(t->stream), &peer.sa.any, &peer.len) == 0)
		address_format(&peer, name);
	log_info("TLS with %s: %s: %s", name, t->phase == TLS_HANDSHAKE ? "no handshake" : "failed", reason);
}

static void free_accepted(struct tls *t)
{
	mem_free(container_of(t, struct accepted, tls));
}

const struct tls_role tls_role_of_accepted = {
	.on_handshake_over = on_handshake_over,
	.on_failure = on_failure,
	.free = free_accepted,
};

static void make_room(struct tls_server *server)
{
	struct tls *oldest;

	if (server->handshake_count < server->handshake_limit)
		return;
	oldest = &container_of(server->handshakes.next, struct accepted, node)->tls;
	tls_fail(oldest, ETIMEDOUT, "at tls.handshake_limit, and it is the oldest");
	tls_tell_failure(oldest);
}

bool tls_accept(struct tls_server *server, struct stream *s, int fd)
{
	SSL *ssl = tls_open_ssl(server->context, &server->gear, s);
	struct accepted *a;

	if (ssl == NULL) {
		close(fd);
		return false;
	}
	SSL_set_accept_state(ssl);
	make_room(server);
	a = mem_alloc(sizeof(*a));
	list_append(&server->handshakes, &a->node);
	server->handshake_count++;
	metrics_inc(tls_handshakes_in_flight);
	tls_begin(&a->tls, &server->gear, s, ssl, fd, TLS_HANDSHAKE, EV_READ);
	timer_start(stream_loop(s), &a->tls.timer, server->handshake_timeout_ms);
	return true;
}
