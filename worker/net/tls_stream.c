/* TLS as a layer of a stream: the handshake, reading, writing, the end. */
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "metrics.h"
#include "stream_layer.h"
#include "tls_internal.h"

/* In the order in which a connection passes through them; it may skip. */
enum tls_phase {
	TLS_HANDSHAKE,
	TLS_OPEN,
	TLS_FAILED, /* `error` says with what errno; the owner is told and closes */
};

struct tls {
	struct stream_layer layer;
	struct tls_server *server;
	struct stream *stream;
	SSL *ssl;
	struct list node; /* in server->handshakes, as long as that phase lasts */
	/* Of the handshake: its deadline. Later: goes on reading, when what OpenSSL has read ahead is all
	 * that there is, so that the socket will not tell. */
	struct timer timer;
	int error;
	/* A record of that length is made, but the socket has not taken all of it. The owner does not know:
	 * he was told that all but the last byte are written, so that he comes back with that. */
	uint16_t owed;
	uint8_t phase;         /* enum tls_phase */
	uint8_t wanted;        /* by the owner: EV_READ, EV_WRITE */
	bool read_needs_write; /* reading goes on when the socket can be written */
	bool ending;           /* our close_notify is to be sent, and then the end of the stream */
};

static struct tls *tls_of(const struct stream *s)
{
	return container_of(s->layer, struct tls, layer);
}

/* --- OpenSSL's view of the socket --- */

static int socket_write(BIO *bio, const char *data, int len)
{
	struct iovec iov = {(void *)data, (size_t)len};
	ssize_t n = stream_sendv(BIO_get_data(bio), &iov, 1);

	BIO_clear_retry_flags(bio);
	if (n == STREAM_AGAIN)
		BIO_set_retry_write(bio);
	return n < 0 ? -1 : (int)n;
}

static int socket_read(BIO *bio, char *data, int len)
{
	ssize_t n = stream_recv(BIO_get_data(bio), data, (size_t)len);

	BIO_clear_retry_flags(bio);
	if (n == STREAM_AGAIN)
		BIO_set_retry_read(bio);
	if (n == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return n < 0 ? -1 : (int)n;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
	switch (command) {
	case BIO_CTRL_FLUSH: return 1;
	case BIO_CTRL_EOF: return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	default: return 0;
	}
}

BIO_METHOD *tls_socket_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

	if (method == NULL)
		return NULL;
	BIO_meth_set_write(method, socket_write);
	BIO_meth_set_read(method, socket_read);
	BIO_meth_set_ctrl(method, socket_control);
	return method;
}

/* --- what the socket is watched for, and the end of phases --- */

static void watch(struct tls *t)
{
	int events = t->wanted;

	if (t->phase == TLS_HANDSHAKE)
		events = SSL_want_write(t->ssl) ? EV_WRITE : EV_READ;
	else if (t->read_needs_write || t->ending)
		events |= EV_WRITE;
	stream_watch(t->stream, events);
}

static void set_phase(struct tls *t, enum tls_phase phase)
{
	assert(phase > t->phase);
	if (t->phase == TLS_HANDSHAKE) {
		list_remove(&t->node);
		timer_stop(&t->timer);
		t->server->handshake_count--;
		metrics_dec(tls_handshakes_in_flight);
	}
	t->phase = (uint8_t)phase;
}

static void log_failure(const struct tls *t, const char *reason)
{
	static struct log_limit limit;
	struct address peer = {.len = sizeof(peer.sa)};
	char name[ADDRESS_TEXT_MAX] = "a peer that is gone";

	if (!log_allowed(&limit))
		return;
	if (getpeername(stream_fd(t->stream), &peer.sa.any, &peer.len) == 0)
		address_format(&peer, name);
	log_info("TLS with %s: %s: %s", name, t->phase == TLS_HANDSHAKE ? "no handshake" : "failed", reason);
}

static void fail(struct tls *t, int error, const char *reason)
{
	if (t->phase == TLS_FAILED)
		return;
	log_failure(t, reason);
	if (t->phase == TLS_HANDSHAKE)
		metrics_inc(tls_handshakes_failed);
	set_phase(t, TLS_FAILED);
	t->error = error;
}

/* The last call of OpenSSL for this connection went wrong for good. */
static void fail_by(struct tls *t, int ssl_error)
{
	int error = errno;

	if (ssl_error == SSL_ERROR_SSL)
		fail(t, EPROTO, tls_reason());
	else if (ssl_error == SSL_ERROR_SYSCALL && error != 0)
		fail(t, error, strerror(error));
	else
		fail(t, ECONNRESET, "the peer hung up");
}

/* The owner hears of an error even if he wants to read nothing now. */
static void tell_failure(struct tls *t)
{
	t->stream->on_readable(t->stream);
}

/* --- the handshake --- */

static void on_established(struct tls *t)
{
	int events = t->wanted & EV_WRITE;

	set_phase(t, TLS_OPEN);
	metrics_inc(tls_handshakes);
	if (SSL_session_reused(t->ssl))
		metrics_inc(tls_resumptions);
	if (SSL_has_pending(t->ssl))
		events |= EV_READ;
	watch(t);
	stream_tell(t->stream, events);
}

static void shake_hands(struct tls *t)
{
	int rc, error;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(t->ssl);
	if (rc == 1) {
		on_established(t);
		return;
	}
	error = SSL_get_error(t->ssl, rc);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		watch(t);
		return;
	}
	fail_by(t, error);
	tell_failure(t);
}

static void on_timer(struct timer *timer)
{
	struct tls *t = container_of(timer, struct tls, timer);

	if (t->phase != TLS_HANDSHAKE) {
		stream_tell(t->stream, EV_READ);
		return;
	}
	fail(t, ETIMEDOUT, "it took too long");
	tell_failure(t);
}

/* --- operations of the layer --- */

static void go_on_reading_soon(struct tls *t)
{
	if (!timer_armed(&t->timer))
		timer_start(t->stream->loop, &t->timer, 0);
}

/* What SSL_read() said when it had nothing more; `total` bytes had come before. */
static ssize_t nothing_more(struct tls *t, int rc, size_t total)
{
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ: return total > 0 ? (ssize_t)total : STREAM_AGAIN;
	case SSL_ERROR_WANT_WRITE:
		t->read_needs_write = true;
		watch(t);
		return total > 0 ? (ssize_t)total : STREAM_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		if (total > 0)
			go_on_reading_soon(t);
		return (ssize_t)total;
	default: fail_by(t, SSL_get_error(t->ssl, rc)); break;
	}
	if (total > 0) {
		go_on_reading_soon(t);
		return (ssize_t)total;
	}
	errno = t->error;
	return STREAM_ERROR;
}

static ssize_t tls_read(struct stream *s, void *data, size_t len)
{
	struct tls *t = tls_of(s);
	size_t total = 0;

	if (t->phase == TLS_HANDSHAKE)
		return STREAM_AGAIN;
	while (t->phase == TLS_OPEN && total < len) {
		int rc;

		ERR_clear_error();
		errno = 0;
		rc = SSL_read(t->ssl, (char *)data + total, (int)(len - total));
		if (rc <= 0)
			return nothing_more(t, rc, total);
		total += (size_t)rc;
		if (!SSL_has_pending(t->ssl))
			return (ssize_t)total;
	}
	if (t->phase == TLS_OPEN) {
		go_on_reading_soon(t);
		return (ssize_t)total;
	}
	errno = t->error;
	return STREAM_ERROR;
}

/* Puts one record together; a piece that fills it alone is not copied. */
static const char *gather(struct tls_server *server, const struct iovec *iov, int count, size_t *len)
{
	size_t total = 0;

	if (count == 1 || iov[0].iov_len >= TLS_RECORD_MAX) {
		*len = iov[0].iov_len < TLS_RECORD_MAX ? iov[0].iov_len : TLS_RECORD_MAX;
		return iov[0].iov_base;
	}
	for (int i = 0; i < count && total < TLS_RECORD_MAX; i++) {
		size_t room = TLS_RECORD_MAX - total;
		size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

		memcpy(server->record + total, iov[i].iov_base, n);
		total += n;
	}
	*len = total;
	return server->record;
}

/* What SSL_write() said when it did not write the record. */
static ssize_t not_written(struct tls *t, int rc, size_t len)
{
	int error = SSL_get_error(t->ssl, rc);

	if (error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_WANT_READ) {
		fail_by(t, error);
		errno = t->error;
		return STREAM_ERROR;
	}
	/* Something else had to be written before it (a key update): the record is not even made. */
	if (t->owed > 0 || error == SSL_ERROR_WANT_READ || SSL_in_init(t->ssl))
		return STREAM_AGAIN;
	t->owed = (uint16_t)len;
	return len > 1 ? (ssize_t)len - 1 : STREAM_AGAIN;
}

/* A record that was begun is gone on with before any other; OpenSSL has a copy of it, and wants to be asked
 * with the same length, but does not look at the bytes. */
static ssize_t tls_writev(struct stream *s, const struct iovec *iov, int count)
{
	struct tls *t = tls_of(s);
	const char *data = t->server->record;
	size_t len = t->owed;
	int rc;

	if (t->phase == TLS_HANDSHAKE)
		return STREAM_AGAIN;
	if (t->phase == TLS_FAILED) {
		errno = t->error;
		return STREAM_ERROR;
	}
	if (len == 0)
		data = gather(t->server, iov, count, &len);
	if (len == 0)
		return 0;
	ERR_clear_error();
	errno = 0;
	rc = SSL_write(t->ssl, data, (int)len);
	if (rc <= 0)
		return not_written(t, rc, len);
	if (t->owed > 0) {
		t->owed = 0;
		return 1;
	}
	return rc;
}

/* Our close_notify, behind what may be left of a record. False when the socket takes nothing now. */
static bool say_goodbye(struct tls *t)
{
	int rc = 1;

	ERR_clear_error();
	if (t->owed > 0)
		rc = SSL_write(t->ssl, t->server->record, t->owed);
	if (rc > 0) {
		t->owed = 0;
		rc = SSL_shutdown(t->ssl);
	}
	return rc >= 0 || SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_WRITE;
}

static void tls_shutdown(struct stream *s)
{
	struct tls *t = tls_of(s);

	t->ending = t->phase == TLS_OPEN && !say_goodbye(t);
	if (!t->ending)
		shutdown(stream_fd(s), SHUT_WR);
	watch(t);
}

/* The connection was never the owner's business, or is not any more. */
static void tls_free(struct tls *t)
{
	timer_stop(&t->timer);
	SSL_free(t->ssl);
	mem_free(t);
}

static void tls_release(struct stream *s, bool reset)
{
	struct tls *t = tls_of(s);

	if (t->phase == TLS_OPEN && !reset)
		say_goodbye(t);
	if (t->phase != TLS_FAILED)
		set_phase(t, TLS_FAILED);
	tls_free(t);
}

static void tls_want(struct stream *s, int events)
{
	struct tls *t = tls_of(s);
	bool starts_to_read = (events & ~t->wanted & EV_READ) != 0;

	t->wanted = (uint8_t)events;
	if (starts_to_read && t->phase == TLS_OPEN && SSL_has_pending(t->ssl))
		go_on_reading_soon(t);
	watch(t);
}

static int tls_wanted(const struct stream *s)
{
	return tls_of(s)->wanted;
}

static void tls_on_event(struct stream *s, int events)
{
	struct tls *t = tls_of(s);

	if (t->phase == TLS_HANDSHAKE) {
		shake_hands(t);
		return;
	}
	if (t->ending && (events & EV_WRITE))
		tls_shutdown(s);
	if (t->read_needs_write && (events & EV_WRITE)) {
		t->read_needs_write = false;
		watch(t);
		events |= EV_READ;
	}
	stream_tell(s, events & (t->wanted | EV_READ));
}

static const struct stream_ops tls_ops = {
	.read = tls_read,
	.writev = tls_writev,
	.shutdown = tls_shutdown,
	.release = tls_release,
	.want = tls_want,
	.wanted = tls_wanted,
	.on_event = tls_on_event,
};

/* --- the beginning --- */

static SSL *open_ssl(const struct tls_server *server, struct stream *s)
{
	SSL *ssl = SSL_new(server->context);
	BIO *bio = BIO_new(server->socket);

	if (ssl == NULL || bio == NULL) {
		SSL_free(ssl);
		BIO_free(bio);
		return NULL;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_accept_state(ssl);
	return ssl;
}

static void make_room(struct tls_server *server)
{
	struct tls *oldest;

	if (server->handshake_count < server->handshake_limit)
		return;
	oldest = container_of(server->handshakes.next, struct tls, node);
	fail(oldest, ETIMEDOUT, "at tls.handshake_limit, and it is the oldest");
	tell_failure(oldest);
}

bool tls_accept(struct tls_server *server, struct stream *s, int fd)
{
	struct tls *t;
	SSL *ssl = open_ssl(server, s);

	if (ssl == NULL) {
		close(fd);
		return false;
	}
	make_room(server);
	t = mem_alloc(sizeof(*t));
	t->layer.ops = &tls_ops;
	t->server = server;
	t->stream = s;
	t->ssl = ssl;
	t->wanted = EV_READ;
	t->timer.fire = on_timer;
	list_append(&server->handshakes, &t->node);
	server->handshake_count++;
	metrics_inc(tls_handshakes_in_flight);
	stream_attach_layer(s, fd, &t->layer);
	timer_start(s->loop, &t->timer, server->handshake_timeout_ms);
	watch(t);
	return true;
}
