/* The bytes of all the files that TLS for clients needs: read by whoever may read them, and handed to those
 * who may not, in a sealed memfd. Knows the files' places in the configuration, not what is in them. */
#pragma once

#include <stddef.h>

#include "buf.h"
#include "config.h"

enum {
	TLS_FILE_MAX = 1 << 20,    /* bytes of one file */
	TLS_BUNDLE_MAX = 32 << 20, /* of all together */
};

/* The places in the bundle. Each certificate is followed by its OCSP response, a file that need not exist. */
enum {
	TLS_FILE_CERT,
	TLS_FILE_CERT_OCSP,
	TLS_FILE_KEY, /* not there: it stands beside the certificate */
	TLS_FILE_CLIENT_CA,
	TLS_FILE_SNI, /* the first, with certificate and key in one; its response, the second … */
};

struct tls_file {
	const char *option; /* that names it */
	char *path;         /* NULL: none is configured */
	char *data;         /* secret_alloc(); NULL: the file is not there */
	size_t len;
};

struct tls_bundle {
	struct tls_file *files;
	size_t count;
};

/* Reads the files of config->tls, from cert_pem_file on. NULL when one cannot be had; then each problem is a
 * line in `errors`. */
struct tls_bundle *tls_bundle_read(const struct config *config, struct buf *errors) MUST_CHECK;
/* Wipes it. Accepts NULL. */
void tls_bundle_free(struct tls_bundle **b);
/* A descriptor from which tls_bundle_receive() reads the same, and whose content nobody can change. -1 with
 * errno. */
int tls_bundle_seal(const struct tls_bundle *b) MUST_CHECK;
/* NULL when it is not what tls_bundle_seal() made with such a configuration, or cannot be read. */
struct tls_bundle *tls_bundle_receive(const struct config *config, int fd) MUST_CHECK;
