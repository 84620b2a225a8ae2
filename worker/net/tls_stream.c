#include "tls_stream.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#include "tls_reason.h"

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

static BIO_METHOD *socket_method(void)
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

	if (t->phase == TLS_CONNECTING)
		events = EV_WRITE;
	else if (t->phase == TLS_HANDSHAKE)
		events = SSL_want_write(t->ssl) ? EV_WRITE : EV_READ;
	else if (t->read_needs_write || t->ending)
		events |= EV_WRITE;
	stream_watch(t->stream, events);
}

static void set_phase(struct tls *t, enum tls_phase phase)
{
	bool shook_hands = t->phase < TLS_OPEN;

	assert(phase > t->phase);
	t->phase = (uint8_t)phase;
	if (!shook_hands || phase < TLS_OPEN)
		return;
	timer_stop(&t->timer);
	t->gear->role->on_handshake_over(t, phase == TLS_OPEN);
}

void tls_fail(struct tls *t, int error, const char *reason)
{
	if (t->phase == TLS_FAILED)
		return;
	t->error = error;
	t->gear->role->on_failure(t, reason);
	set_phase(t, TLS_FAILED);
}

/* The last call of OpenSSL for this connection went wrong for good. */
static void fail_by(struct tls *t, int ssl_error)
{
	char reason[TLS_REASON_MAX];
	int error = errno;

	if (ssl_error == SSL_ERROR_SSL) {
		tls_reason_of(t->ssl, reason);
		tls_fail(t, EPROTO, reason);
	} else if (ssl_error == SSL_ERROR_SYSCALL && error != 0) {
		tls_fail(t, error, strerror(error));
	} else {
		tls_fail(t, ECONNRESET, "the peer hung up");
	}
}

/* Who waits for a connection that he makes, waits to write. */
void tls_tell_failure(struct tls *t)
{
	if (!SSL_is_server(t->ssl) && (t->wanted & EV_WRITE))
		stream_tell(t->stream, EV_WRITE);
	else
		t->stream->events->on_readable(t->stream);
}

/* --- the handshake --- */

static void on_established(struct tls *t)
{
	int events = t->wanted & EV_WRITE;

	set_phase(t, TLS_OPEN);
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
	tls_tell_failure(t);
}

static void on_socket_connected(struct tls *t)
{
	int error = stream_socket_error(t->stream);

	if (error == 0) {
		set_phase(t, TLS_HANDSHAKE);
		shake_hands(t);
		return;
	}
	tls_fail(t, error, strerror(error));
	tls_tell_failure(t);
}

static void on_timer(struct timer *timer)
{
	struct tls *t = container_of(timer, struct tls, timer);

	if (t->phase != TLS_HANDSHAKE) {
		stream_tell(t->stream, EV_READ);
		return;
	}
	tls_fail(t, ETIMEDOUT, "it took too long");
	tls_tell_failure(t);
}

/* --- operations of the layer --- */

static void go_on_reading_soon(struct tls *t)
{
	if (!timer_armed(&t->timer))
		timer_start(stream_loop(t->stream), &t->timer, 0);
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

	if (t->phase < TLS_OPEN)
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

/* A client may ask for short ones (RFC 6066, 4), and OpenSSL grants it without asking. It takes more in one
 * call, but makes several records of it, so that nobody could tell how much of it is made when the socket is
 * full. */
static size_t longest_record(const SSL *ssl)
{
	uint8_t code = SSL_SESSION_get_max_fragment_length(SSL_get_session(ssl));

	return code != TLSEXT_max_fragment_length_DISABLED ? (size_t)256 << code : TLS_RECORD_MAX;
}

/* Puts one record together; a piece that fills it alone is not copied. */
static const char *gather(struct tls *t, const struct iovec *iov, int count, size_t *len)
{
	size_t max = longest_record(t->ssl), total = 0;
	char *record = t->gear->record;

	if (count == 1 || iov[0].iov_len >= max) {
		*len = iov[0].iov_len < max ? iov[0].iov_len : max;
		return iov[0].iov_base;
	}
	for (int i = 0; i < count && total < max; i++) {
		size_t room = max - total;
		size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

		memcpy(record + total, iov[i].iov_base, n);
		total += n;
	}
	*len = total;
	return record;
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

/* A record that was begun is gone on with before any other. OpenSSL has a copy of it, and wants to be asked
 * with the same length, but does not look at the bytes. If it ever did, it must not find those of others. */
static const char not_looked_at[TLS_RECORD_MAX];

static ssize_t tls_writev(struct stream *s, const struct iovec *iov, int count)
{
	struct tls *t = tls_of(s);
	const char *data = not_looked_at;
	size_t len = t->owed;
	int rc;

	if (t->phase < TLS_OPEN)
		return STREAM_AGAIN;
	if (t->phase == TLS_FAILED) {
		errno = t->error;
		return STREAM_ERROR;
	}
	if (len == 0)
		data = gather(t, iov, count, &len);
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
		rc = SSL_write(t->ssl, not_looked_at, t->owed);
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

static void tls_moved(struct stream *s)
{
	struct tls *t = tls_of(s);

	t->stream = s;
	BIO_set_data(SSL_get_rbio(t->ssl), s); /* for writing it is the same one */
}

static void tls_release(struct stream *s, bool reset)
{
	struct tls *t = tls_of(s);

	if (t->phase == TLS_OPEN && !reset)
		say_goodbye(t);
	if (t->phase != TLS_FAILED)
		set_phase(t, TLS_FAILED);
	timer_stop(&t->timer);
	SSL_free(t->ssl);
	t->gear->role->free(t);
}

/* Data, or an end, that OpenSSL knows of already, so that the socket will not tell. */
static bool has_more_to_tell(const struct tls *t)
{
	return t->phase == TLS_FAILED ||
	       (t->phase == TLS_OPEN &&
	        (SSL_has_pending(t->ssl) || (SSL_get_shutdown(t->ssl) & SSL_RECEIVED_SHUTDOWN)));
}

static void tls_want(struct stream *s, int events)
{
	struct tls *t = tls_of(s);
	bool starts_to_read = (events & ~t->wanted & EV_READ) != 0;

	t->wanted = (uint8_t)events;
	if (starts_to_read && has_more_to_tell(t))
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

	if (t->phase == TLS_CONNECTING) {
		on_socket_connected(t);
		return;
	}
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

static int tls_connected(struct stream *s)
{
	const struct tls *t = tls_of(s);

	return t->phase == TLS_FAILED ? t->error : 0;
}

static const char *tls_reason_told(const struct stream *s)
{
	const struct tls *t = tls_of(s);

	return t->gear->role->reason != NULL ? t->gear->role->reason(t) : strerror(errno);
}

static const struct stream_ops tls_ops = {
	.connected = tls_connected,
	.reason = tls_reason_told,
	.read = tls_read,
	.writev = tls_writev,
	.shutdown = tls_shutdown,
	.moved = tls_moved,
	.release = tls_release,
	.want = tls_want,
	.wanted = tls_wanted,
	.on_event = tls_on_event,
};

/* --- the beginning --- */

SSL *tls_open_ssl(SSL_CTX *context, const struct tls_gear *gear, struct stream *s)
{
	SSL *ssl = SSL_new(context);
	BIO *bio = BIO_new(gear->socket);

	if (ssl == NULL || bio == NULL) {
		SSL_free(ssl);
		BIO_free(bio);
		return NULL;
	}
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	return ssl;
}

void tls_begin(struct tls *t, struct tls_gear *gear, struct stream *s, SSL *ssl, int fd, enum tls_phase phase,
               int wanted)
{
	t->layer.ops = &tls_ops;
	t->gear = gear;
	t->stream = s;
	t->ssl = ssl;
	t->phase = (uint8_t)phase;
	t->wanted = (uint8_t)wanted;
	t->timer.fire = on_timer;
	stream_attach_layer(s, fd, &t->layer);
	watch(t);
}

bool tls_gear_init(struct tls_gear *g, const struct tls_role *role)
{
	g->role = role;
	g->socket = socket_method();
	return g->socket != NULL;
}

void tls_gear_free(struct tls_gear *g)
{
	BIO_meth_free(g->socket);
}
