/* What accepted connections need from files, and what a client may ask for: certificates and keys by name,
 * authorities, OCSP responses. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "tls_files.h"
#include "tls_internal.h"
#include "tls_reason.h"

enum {
	OCSP_MAX = 65536,
	CLIENT_CHAIN_MAX = 32768, /* bytes of certificates that a client may show */
	FILE_NAME_MAX = 4096,
};

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
		return errno == ENOENT || tls_refuse(errors, option, name, strerror(errno));
	while ((n = fread(data, 1, sizeof(data), f)) > 0)
		buf_put(&c->ocsp, data, n);
	fclose(f);
	at = (const unsigned char *)c->ocsp.data;
	response = buf_ok(&c->ocsp) ? d2i_OCSP_RESPONSE(NULL, &at, (long)c->ocsp.len) : NULL;
	if (response == NULL)
		return tls_refuse(errors, option, name, "is no OCSP response in DER");
	OCSP_RESPONSE_free(response);
	SSL_CTX_set_tlsext_status_cb(c->context, on_status);
	SSL_CTX_set_tlsext_status_arg(c->context, &c->ocsp);
	return true;
}

static bool read_client_ca(SSL_CTX *context, const char *file, struct buf *errors)
{
	static const char option[] = "tls.client_ca_pem_file";
	STACK_OF(X509_NAME) * names;

	if (!tls_read_authorities(context, option, file, errors))
		return false;
	names = SSL_load_client_CA_file(file);
	if (names == NULL)
		return tls_refuse(errors, option, file, "holds no certificate in PEM");
	SSL_CTX_set_client_CA_list(context, names);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return true;
}

/* --- contexts --- */

static bool set_up(SSL_CTX *context, struct tls_server *server)
{
	static const unsigned char who[] =
		"fanfare"; /* tickets are for this server, not for others of the process */

	SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_max_cert_list(context, CLIENT_CHAIN_MAX);
	SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
	SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(context, server);
	tls_tickets_use(&server->tickets, context);
	return SSL_CTX_set_session_id_context(context, who, sizeof(who) - 1) == 1;
}

/* The next certificate of the server; key_file NULL: the key stands beside the certificate. */
static bool add_certificate(struct tls_server *server, const char *cert_option, const char *cert_file,
                            const char *key_file, const char *client_ca_file, struct buf *errors)
{
	struct tls_certificate *c = &server->certificates[server->count];
	const char *key_option = key_file != NULL ? "tls.key_pem_file" : cert_option;

	if (strlen(cert_file) > FILE_NAME_MAX)
		return tls_refuse(errors, cert_option, cert_file, "the path is too long");
	c->context = tls_context_new(TLS_server_method());
	if (c->context == NULL)
		return tls_refuse(errors, cert_option, cert_file, tls_reason());
	server->count++;
	if (!set_up(c->context, server))
		return tls_refuse(errors, cert_option, cert_file, tls_reason());
	if (!tls_read_pair(c->context, cert_option, cert_file, key_option,
	                   key_file != NULL ? key_file : cert_file, errors))
		return false;
	return read_ocsp(c, cert_option, cert_file, errors) &&
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
	tls_tickets_init(&server->tickets);
	ok = tls_gear_init(&server->gear, &tls_role_of_accepted) &&
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
	tls_gear_free(&dead->gear);
	tls_tickets_clear(&dead->tickets);
	mem_free(dead->certificates);
	mem_free(dead);
	*server = NULL;
}
