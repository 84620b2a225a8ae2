/* The keys of session tickets (RFC 5077, 4; RFC 8446, 4.6.1). All processes that share an ancestor have the
 * same ones, and change them at the same moment, without a word: the secret of a period is a one-way function
 * of the one before, and periods are counted on the monotonic clock, which is one for all of a machine and
 * never set.
 *
 * What is past is lost: of the secrets only that of now is held, and of the keys that of now and the one
 * before, whose tickets are taken, too. So nobody who gets hold of a process later can open older tickets. */
#pragma once

#include <openssl/ssl.h>
#include <stdint.h>

enum {
	TLS_TICKET_PERIOD_S = 6 * 3600, /* of one key */
	TLS_TICKET_LIFE_S = 2 * 3600,   /* of a ticket; no longer than a period */
	/* From a handshake with certificates to the last that is built on it. TLS 1.3 gives a new ticket with
	 * each resumption, and without an end to that nobody would ever look at a certificate again. */
	TLS_SESSION_LIFE_S = 24 * 3600,
};

struct tls_tickets;

/* With a new secret. */
struct tls_tickets *tls_tickets_new(void);
/* Wipes all of it. After the contexts that use it. Accepts NULL. */
void tls_tickets_free(struct tls_tickets **t);
/* Goes on to the key of now; milliseconds until the next is due. Using the keys does the same, so it is for
 * those who might not use them for long, and must not keep what is past. */
uint64_t tls_tickets_turn(struct tls_tickets *t);
/* The context issues and takes tickets. Lends t. A session ends with TLS_SESSION_LIFE_S or the certificate of
 * the client, whatever comes first, however often it is resumed. */
void tls_tickets_use(struct tls_tickets *t, SSL_CTX *context);
