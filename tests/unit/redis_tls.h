/* TLS for redis_mock.h: a certificate that is made for the run, and the way of the mock's bytes through it.
 */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "redis_world.h"

/* A server's context with a certificate for 127.0.0.1, which is also written to the file. */
static UNUSED_OK SSL_CTX *mock_tls_context(const char *ca_file)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_EXTENSION *name = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	FILE *f = fopen(ca_file, "w");

	assert_non_null(f);
	X509_set_version(cert, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_add_ext(cert, name, -1);
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	assert_int_equal(PEM_write_X509(f, cert), 1);
	fclose(f);
	assert_int_equal(SSL_CTX_use_certificate(context, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	X509_EXTENSION_free(name);
	X509_free(cert);
	EVP_PKEY_free(key);
	return context;
}

static UNUSED_OK SSL *mock_tls_open(SSL_CTX *context, int fd)
{
	SSL *ssl = SSL_new(context);
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	SSL_set_fd(ssl, fd);
	SSL_set_accept_state(ssl);
	return ssl;
}

/* As recv() and send() would say it; every end is a good one. */
static UNUSED_OK ssize_t mock_tls_outcome(const SSL *ssl, int rc)
{
	int error = SSL_get_error(ssl, rc);

	ERR_clear_error();
	if (rc > 0)
		return rc;
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		return 0;
	errno = EAGAIN;
	return -1;
}
