/* One TLS connection as a layer of a stream, whoever began it: the handshake, records, what is owed to the
 * socket, the end. Embedded in an object of tls_accept.c or tls_client.c, which does what is different for
 * accepted connections and for those that we make. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "loop.h"
#include "stream_layer.h"

/* The longest record, without what encryption adds (RFC 8446, 5.1). */
enum { TLS_RECORD_MAX = 16384 };

struct tls;

struct tls_role {
	/* The handshake is over, well (open), or because it failed or was given up. */
	void (*on_handshake_over)(struct tls *t, bool open);
	/* It failed: in the phase that it still has. The text lives until this returns. */
	void (*on_failure)(struct tls *t, const char *reason);
	/* As stream_reason(); NULL: what errno says is all that is known. */
	const char *(*reason)(const struct tls *t);
	/* Frees the object around it. */
	void (*free)(struct tls *t);
};

/* What the connections of one origin share. */
struct tls_gear {
	const struct tls_role *role;
	BIO_METHOD *socket;          /* how OpenSSL reads and writes our sockets */
	char record[TLS_RECORD_MAX]; /* where the pieces of one record are put together */
};

/* In the order in which a connection passes through them; it may skip. */
enum tls_phase {
	TLS_CONNECTING, /* the socket */
	TLS_HANDSHAKE,
	TLS_OPEN,
	TLS_FAILED, /* `error` says with what errno; the owner is told and closes */
};

struct tls {
	struct stream_layer layer;
	struct tls_gear *gear;
	struct stream *stream;
	SSL *ssl;
	/* Of the handshake: its deadline, if it has one of its own. Later: goes on reading, when what OpenSSL
	 * has read ahead is all that there is, so that the socket will not tell. */
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

/* False without memory. */
bool tls_gear_init(struct tls_gear *g, const struct tls_role *role) MUST_CHECK;
void tls_gear_free(struct tls_gear *g);

/* An SSL of the context on the stream's socket, to be; NULL without memory. */
SSL *tls_open_ssl(SSL_CTX *context, const struct tls_gear *gear, struct stream *s) MUST_CHECK;
/* Takes socket and SSL over, in the phase TLS_CONNECTING or TLS_HANDSHAKE. t is zeroed. */
void tls_begin(struct tls *t, struct tls_gear *gear, struct stream *s, SSL *ssl, int fd, enum tls_phase phase,
               int wanted);
/* Ends it with an errno; tls_tell_failure() follows. */
void tls_fail(struct tls *t, int error, const char *reason);
/* The owner hears of a failure, whatever he wants to hear of now. May close the stream. */
void tls_tell_failure(struct tls *t);
