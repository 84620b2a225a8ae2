/* What OpenSSL needs to shake hands with clients, made from the bytes of a bundle: a context for each
 * certificate. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

#include "buf.h"
#include "tls_bundle.h"
#include "tls_tickets.h"

/* The place in a context that its others hang on; -1 without memory. CRYPTO_free_ex_index() gives it back. */
int tls_contexts_index(void) MUST_CHECK;
/* The context of the first certificate, which owns the others: they live as long as it, and that is as long
 * as a connection that began with it. Takes copies of what it needs. NULL when something cannot be used; then
 * each problem is a line in `errors` that names the option and the file. */
SSL_CTX *tls_contexts_new(const struct tls_bundle *bundle, int index, struct tls_tickets *tickets,
                          struct buf *errors) MUST_CHECK;
/* Tells of each certificate in a line, and of what is wrong with its time in another, as a warning. */
void tls_contexts_describe(const SSL_CTX *first, int index, void (*tell)(bool is_warning, const char *line));
