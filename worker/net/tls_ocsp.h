/* What an authority says about a certificate of ours, signed and for a few days (RFC 6960), to be shown with
 * it (stapled; RFC 6066, 8). One that is too old, or about another certificate, is worse than none: clients
 * would refuse the handshake. So it is not shown. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "tls_bundle.h"

struct tls_ocsp {
	unsigned char *data; /* NULL: there is none */
	size_t len;
	uint64_t end_s; /* of its time, in Unix time; 0: none */
	bool is_ours;   /* it is about our certificate */
};

/* False when the file, which may be absent, holds something else. */
bool tls_ocsp_read(struct tls_ocsp *o, const struct tls_file *file, const X509 *cert) MUST_CHECK;
void tls_ocsp_clear(struct tls_ocsp *o);
/* Why there is one that is not shown; NULL otherwise. */
const char *tls_ocsp_problem(const struct tls_ocsp *o);
/* For the callback of SSL_CTX_set_tlsext_status_cb(): its result. */
int tls_ocsp_staple(const struct tls_ocsp *o, SSL *ssl);
