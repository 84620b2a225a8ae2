/* What TLS needs from files: certificates, keys, authorities, OCSP responses. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "tls_internal.h"

enum {
	OCSP_MAX = 65536,
	CLIENT_CHAIN_MAX = 32768, /* bytes of certificates that a client may show */
	FILE_NAME_MAX = 4096,
};

const char *tls_reason(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
	                                             : ERR_reason_error_string(error);

	ERR_clear_error();
	return reason != NULL ? reason : "no reason given";
}

/* Always false, so that a caller can return it. */
static bool refuse(struct buf *errors, const char *option, const char *file, const char *what)
{
	buf_putf(errors, "%s: %s: %s\n", option, file, what);
	ERR_clear_error();
	return false;
}

/* --- what a client asks for --- */

/* RFC 7301: whoever offers protocols and none that we speak is told so. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                   unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *server = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < server->count; i++) {
		SSL_CTX *context = server->certificates[i].context;

		if (X509_check_host(SSL_CTX_get0_certificate(context), name, strlen(name), 0, NULL) == 1) {
			SSL_set_SSL_CTX(ssl, context);
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static int on_status(SSL *ssl, void *arg)
{
	const struct buf *ocsp = arg;
	unsigned char *copy;

	if (ocsp->len == 0)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(ocsp->data, ocsp->len);
	if (copy == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)ocsp->len);
	return SSL_TLSEXT_ERR_OK;
}

/* --- files --- */

/* Nobody is there to type one in. */
static int no_password(char *out, int size, int writing, void *arg)
{
	return -1;
}

static bool can_read(struct buf *errors, const char *option, const char *file)
{
	FILE *f = fopen(file, "re");

	if (f == NULL)
		return refuse(errors, option, file, strerror(errno));
	fclose(f);
	return true;
}

/* FILE.ocsp, which need not exist. */
static bool read_ocsp(struct tls_certificate *c, const char *option, const char *cert_file,
                      struct buf *errors)
{
	char name[FILE_NAME_MAX + sizeof(".ocsp")], data[4096];
	const unsigned char *at;
	OCSP_RESPONSE *response;
	FILE *f;
	size_t n;

	buf_init(&c->ocsp, OCSP_MAX);
	snprintf(name, sizeof(name), "%s.ocsp", cert_file);
	f = fopen(name, "re");
	if (f == NULL)
		return errno == ENOENT || refuse(errors, option, name, strerror(errno));
	while ((n = fread(data, 1, sizeof(data), f)) > 0)
		buf_put(&c->ocsp, data, n);
	fclose(f);
	at = (const unsigned char *)c->ocsp.data;
	response = buf_ok(&c->ocsp) ? d2i_OCSP_RESPONSE(NULL, &at, (long)c->ocsp.len) : NULL;
	if (response == NULL)
		return refuse(errors, option, name, "is no OCSP response in DER");
	OCSP_RESPONSE_free(response);
	SSL_CTX_set_tlsext_status_cb(c->context, on_status);
	SSL_CTX_set_tlsext_status_arg(c->context, &c->ocsp);
	return true;
}

/* The key of another certificate, of the same kind or not. */
static bool is_misfit(unsigned long error)
{
	int reason = ERR_GET_REASON(error);

	return (ERR_GET_LIB(error) == ERR_LIB_X509 && reason == X509_R_KEY_VALUES_MISMATCH) ||
	       (ERR_GET_LIB(error) == ERR_LIB_SSL && reason == SSL_R_NO_CERTIFICATE_ASSIGNED);
}

static bool read_pair(struct tls_certificate *c, const char *cert_option, const char *cert_file,
                      const char *key_option, const char *key_file, struct buf *errors)
{
	if (!can_read(errors, cert_option, cert_file) || !can_read(errors, key_option, key_file))
		return false;
	if (SSL_CTX_use_certificate_chain_file(c->context, cert_file) != 1)
		return refuse(errors, cert_option, cert_file, "holds no certificate in PEM that can be used");
	if (SSL_CTX_use_PrivateKey_file(c->context, key_file, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_check_private_key(c->context) == 1)
		return read_ocsp(c, cert_option, cert_file, errors);
	if (is_misfit(ERR_peek_last_error()))
		return refuse(errors, key_option, key_file, "the key does not fit the certificate");
	return refuse(errors, key_option, key_file,
	              "holds no private key in PEM, or one with a password, which cannot be asked for");
}

static bool read_client_ca(SSL_CTX *context, const char *file, struct buf *errors)
{
	static const char option[] = "tls.client_ca_pem_file";
	STACK_OF(X509_NAME) * names;

	if (!can_read(errors, option, file))
		return false;
	names = SSL_load_client_CA_file(file);
	if (names == NULL || SSL_CTX_load_verify_file(context, file) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return refuse(errors, option, file, "holds no certificate in PEM");
	}
	SSL_CTX_set_client_CA_list(context, names);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return true;
}

/* --- contexts --- */

static bool set_up(SSL_CTX *context, struct tls_server *server)
{
	static const unsigned char who[] =
		"fanfare"; /* tickets are for this server, not for others of the process */

	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
	                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
	                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_max_cert_list(context, CLIENT_CHAIN_MAX);
	SSL_CTX_set_default_passwd_cb(context, no_password);
	SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
	SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(context, server);
	tls_tickets_use(server->tickets, context);
	return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1 &&
	       SSL_CTX_set_session_id_context(context, who, sizeof(who) - 1) == 1;
}

/* The next certificate of the server; key_file NULL: the key stands beside the certificate. */
static bool add_certificate(struct tls_server *server, const char *cert_option, const char *cert_file,
                            const char *key_file, const char *client_ca_file, struct buf *errors)
{
	struct tls_certificate *c = &server->certificates[server->count];
	const char *key_option = key_file != NULL ? "tls.key_pem_file" : cert_option;

	if (strlen(cert_file) > FILE_NAME_MAX)
		return refuse(errors, cert_option, cert_file, "the path is too long");
	c->context = SSL_CTX_new(TLS_server_method());
	if (c->context == NULL)
		return refuse(errors, cert_option, cert_file, tls_reason());
	server->count++;
	if (!set_up(c->context, server))
		return refuse(errors, cert_option, cert_file, tls_reason());
	return read_pair(c, cert_option, cert_file, key_option, key_file != NULL ? key_file : cert_file,
	                 errors) &&
	       (client_ca_file == NULL || read_client_ca(c->context, client_ca_file, errors));
}

struct tls_server *tls_server_new(const struct config *config, struct buf *errors)
{
	struct tls_server *server = mem_alloc(sizeof(*server));
	const struct strings *more = &config->tls.sni_pem_files;
	bool ok;

	server->certificates = mem_alloc((more->count + 1) * sizeof(*server->certificates));
	server->handshake_timeout_ms = config->tls.handshake_timeout_ms;
	server->handshake_limit = (size_t)config->tls.handshake_limit;
	list_init(&server->handshakes);
	server->tickets = tls_tickets_new();
	server->socket = tls_socket_method();
	ok = server->tickets != NULL &&
	     add_certificate(server, "tls.cert_pem_file", config->tls.cert_pem_file, config->tls.key_pem_file,
	                     config->tls.client_ca_pem_file, errors);
	for (size_t i = 0; i < more->count; i++)
		ok = add_certificate(server, "tls.sni_pem_files", more->items[i], NULL,
		                     config->tls.client_ca_pem_file, errors) &&
		     ok;
	if (!ok)
		tls_server_free(&server);
	return server;
}

void tls_server_free(struct tls_server **server)
{
	struct tls_server *dead = *server;

	if (dead == NULL)
		return;
	for (size_t i = 0; i < dead->count; i++) {
		SSL_CTX_free(dead->certificates[i].context);
		buf_free(&dead->certificates[i].ocsp);
	}
	BIO_meth_free(dead->socket);
	tls_tickets_free(&dead->tickets);
	mem_free(dead->certificates);
	mem_free(dead);
	*server = NULL;
}
