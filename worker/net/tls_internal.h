/* The inside of TLS, for the files that make it up: tls_bundle.c, tls_contexts.c, tls_ocsp.c and
 * tls_tickets.c (what accepted connections need), tls_server.c (all of that), tls_accept.c (the accepted
 * ones), tls_client.c (those that we make), tls_files.c (certificates and keys for these), tls_stream.c (one
 * connection), tls_reason.c (what went wrong). */
#pragma once

#include <openssl/ssl.h>

#include "list.h"
#include "tls.h"
#include "tls_stream.h"
#include "tls_tickets.h"

struct tls_server {
	SSL_CTX *context; /* for new connections: tls_contexts_new() */
	int index;        /* tls_contexts_index() */
	struct tls_tickets *tickets;
	struct tls_gear gear;
	uint64_t handshake_timeout_ms;
	size_t handshake_limit;
	struct list handshakes; /* those that are not done, the oldest first */
	size_t handshake_count;
};

/* tls_accept.c */
extern const struct tls_role tls_role_of_accepted;
