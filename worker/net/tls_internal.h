/* The inside of TLS, for the files that make it up: tls_server.c and tls_tickets.c (what accepted connections
 * need), tls_accept.c (the accepted ones), tls_client.c (those that we make), tls_files.c (certificates and
 * keys for both), tls_stream.c (one connection), tls_reason.c (what went wrong). */
#pragma once

#include <openssl/ssl.h>

#include "list.h"
#include "tls.h"
#include "tls_stream.h"
#include "tls_tickets.h"

struct tls_certificate {
	SSL_CTX *context;
	struct buf ocsp; /* the response to staple; empty: none */
};

struct tls_server {
	struct tls_certificate *certificates; /* the first is for clients that name none that we have */
	size_t count;
	struct tls_tickets tickets;
	struct tls_gear gear;
	uint64_t handshake_timeout_ms;
	size_t handshake_limit;
	struct list handshakes; /* those that are not done, the oldest first */
	size_t handshake_count;
};

/* tls_accept.c */
extern const struct tls_role tls_role_of_accepted;
