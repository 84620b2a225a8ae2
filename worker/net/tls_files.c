#include "tls_files.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

bool tls_refuse(struct buf *errors, const char *option, const char *file, const char *what)
{
	buf_putf(errors, "%s: %s: %s\n", option, file, what);
	ERR_clear_error();
	return false;
}

bool tls_can_read(struct buf *errors, const char *option, const char *file)
{
	FILE *f = fopen(file, "re");

	if (f == NULL)
		return tls_refuse(errors, option, file, strerror(errno));
	fclose(f);
	return true;
}

int tls_no_password(char *out, int size, int writing, void *arg)
{
	return -1;
}

SSL_CTX *tls_context_new(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (context == NULL)
		return NULL;
	SSL_CTX_set_options(context,
	                    SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* What is no data is answered within SSL_read(). Without an end to that, who sends nothing but key
	 * updates would keep a worker busy for as long as the socket has more. */
	SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_default_passwd_cb(context, tls_no_password);
	if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
	    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1)
		return context;
	SSL_CTX_free(context);
	return NULL;
}

bool tls_is_misfit(void)
{
	unsigned long error = ERR_peek_last_error();
	int reason = ERR_GET_REASON(error);

	return (ERR_GET_LIB(error) == ERR_LIB_X509 && reason == X509_R_KEY_VALUES_MISMATCH) ||
	       (ERR_GET_LIB(error) == ERR_LIB_SSL && reason == SSL_R_NO_CERTIFICATE_ASSIGNED);
}

bool tls_read_pair(SSL_CTX *context, const char *cert_option, const char *cert_file, const char *key_option,
                   const char *key_file, struct buf *errors)
{
	if (!tls_can_read(errors, cert_option, cert_file) || !tls_can_read(errors, key_option, key_file))
		return false;
	if (SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
		return tls_refuse(errors, cert_option, cert_file,
		                  "holds no certificate in PEM that can be used");
	if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_check_private_key(context) == 1)
		return true;
	if (tls_is_misfit())
		return tls_refuse(errors, key_option, key_file, "the key does not fit the certificate");
	return tls_refuse(errors, key_option, key_file,
	                  "holds no private key in PEM, or one with a password, which cannot be asked for");
}

bool tls_read_authorities(SSL_CTX *context, const char *option, const char *file, struct buf *errors)
{
	if (!tls_can_read(errors, option, file))
		return false;
	return SSL_CTX_load_verify_file(context, file) == 1 ||
	       tls_refuse(errors, option, file, "holds no certificate in PEM");
}
