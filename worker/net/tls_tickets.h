/* The keys of session tickets (RFC 5077, 4; RFC 8446, 4.6.1): drawn from a secret and the time, so that all
 * processes that share the secret have the same ones, and change them at the same moment, without a word.
 * Tickets of the key before are taken, too. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	TLS_TICKET_SECRET_LEN = 32,
	TLS_TICKET_PERIOD_S = 6 * 3600, /* of one key */
	TLS_TICKET_LIFE_S = 2 * 3600,   /* of a ticket; no longer than a period */
};

struct tls_tickets {
	unsigned char secret[TLS_TICKET_SECRET_LEN];
};

void tls_tickets_init(struct tls_tickets *t);
/* Forgets the secret. */
void tls_tickets_clear(struct tls_tickets *t);
/* The context issues and takes tickets. Lends t. */
void tls_tickets_use(struct tls_tickets *t, SSL_CTX *context);
