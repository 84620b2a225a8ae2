/* What went wrong in OpenSSL, for people: its queue of errors, and the result of checking a certificate, in
 * words that say what to look at. */
#pragma once

#include <openssl/ssl.h>

enum { TLS_REASON_MAX = 192 };

/* Of the last call that has no connection; empties the queue of errors. A static text. */
const char *tls_reason(void);
/* Of the last call for this connection, which SSL_get_error() has said to be an SSL_ERROR_SSL. */
void tls_reason_of(const SSL *ssl, char out[TLS_REASON_MAX]);
