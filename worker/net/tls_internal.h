/* The inside of TLS, for the files that make it up: tls_bundle.c (the bytes of files), tls_contexts.c (what
 * OpenSSL makes of them), tls_tickets.c, tls_server.c (all of that), tls_stream.c (one connection). */
#pragma once

#include <openssl/ssl.h>

#include "list.h"
#include "tls.h"
#include "tls_tickets.h"

/* The longest record, without what encryption adds (RFC 8446, 5.1). */
enum { TLS_RECORD_MAX = 16384 };

struct tls_server {
	SSL_CTX *context; /* for new connections: tls_contexts_new() */
	int index;        /* tls_contexts_index() */
	struct tls_tickets *tickets;
	BIO_METHOD *socket; /* how OpenSSL reads and writes our sockets */
	uint64_t handshake_timeout_ms;
	size_t handshake_limit;
	struct list handshakes; /* those that are not done, the oldest first */
	size_t handshake_count;
	char record[TLS_RECORD_MAX]; /* where the pieces of one record are put together */
};

/* tls_stream.c; NULL without memory. */
BIO_METHOD *tls_socket_method(void) MUST_CHECK;
/* What went wrong last in OpenSSL, for people; empties its queue of errors. */
const char *tls_reason(void);
