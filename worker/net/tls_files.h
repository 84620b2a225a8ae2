/* Contexts of OpenSSL, and what goes into them from files, alike for accepting and for connecting. Problems
 * are lines in `errors` that name option and file; each function returns false then. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

#include "buf.h"
#include "compiler.h"

/* TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, without compression, renegotiation and
 * questions for passwords, in the modes that tls_stream.c needs. NULL when that cannot be. */
SSL_CTX *tls_context_new(const SSL_METHOD *method) MUST_CHECK;
/* A callback that has none: nobody is there to type one in. */
int tls_no_password(char *out, int size, int writing, void *arg);
/* Whether the last error of OpenSSL is that a key belongs to another certificate, of the same kind or not. */
bool tls_is_misfit(void) MUST_CHECK;
/* The certificate, with those that lead to its authority, and its key. */
bool tls_read_pair(SSL_CTX *context, const char *cert_option, const char *cert_file, const char *key_option,
                   const char *key_file, struct buf *errors) MUST_CHECK;
/* Authorities that the other side's certificate may come from. */
bool tls_read_authorities(SSL_CTX *context, const char *option, const char *file,
                          struct buf *errors) MUST_CHECK;
bool tls_can_read(struct buf *errors, const char *option, const char *file) MUST_CHECK;
/* Always false, so that a caller can return it. */
bool tls_refuse(struct buf *errors, const char *option, const char *file, const char *what);
