#include "tls_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "tls_files.h"
#include "tls_reason.h"
#include "tls_stream.h"

enum { OPTION_NAME_MAX = 128 };

struct tls_client {
	struct tls_gear gear;
	SSL_CTX *context;
	bool knows_host; /* that the certificates must be for */
	char *name; /* to ask for (SNI); NULL: the other side is known by its address, or not known yet */
};

struct made {
	struct tls tls;
	char reason[TLS_REASON_MAX]; /* of its failure */
};

/* --- the stream --- */

static void on_handshake_over(struct tls *t, bool open)
{
}

static void on_failure(struct tls *t, const char *reason)
{
	snprintf(container_of(t, struct made, tls)->reason, TLS_REASON_MAX, "%s", reason);
}

static const char *reason_of(const struct tls *t)
{
	switch ((enum tls_phase)t->phase) {
	case TLS_CONNECTING:
	case TLS_OPEN: return strerror(errno);
	case TLS_HANDSHAKE: return "no answer to the TLS handshake; perhaps it does not speak TLS";
	case TLS_FAILED: return container_of(t, struct made, tls)->reason;
	}
	return "";
}

static void free_made(struct tls *t)
{
	mem_free(container_of(t, struct made, tls));
}

static const struct tls_role role_of_made = {
	.on_handshake_over = on_handshake_over,
	.on_failure = on_failure,
	.reason = reason_of,
	.free = free_made,
};

/* --- one connection --- */

static bool is_ip(const char *text)
{
	unsigned char out[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, text, out) == 1 || inet_pton(AF_INET6, text, out) == 1;
}

/* What the certificate must be for. A zone (fe80::1%eth0, RFC 6874) is our way to the host, not its name.
 * *name is set to what is to be asked for (SNI), if it is not an address (RFC 6066, 3). */
static bool expect(X509_VERIFY_PARAM *param, const char *host, char **name)
{
	char *bare = mem_strndup(host, strcspn(host, "%"));
	bool ok;

	if (is_ip(bare)) {
		ok = X509_VERIFY_PARAM_set1_ip_asc(param, bare) == 1;
		mem_free(bare);
		return ok;
	}
	*name = bare;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
	                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return X509_VERIFY_PARAM_set1_host(param, bare, 0) == 1;
}

static bool ask_for(SSL *ssl, const struct tls_client *client, const char *host)
{
	char *name = NULL;
	bool ok;

	if (client->knows_host)
		return client->name == NULL || SSL_set_tlsext_host_name(ssl, client->name) == 1;
	ok = expect(SSL_get0_param(ssl), host, &name) &&
	     (name == NULL || SSL_set_tlsext_host_name(ssl, name) == 1);
	mem_free(name);
	return ok;
}

bool tls_connect(struct tls_client *client, struct stream *s, const struct address *to, const char *host)
{
	SSL *ssl = tls_open_ssl(client->context, &client->gear, s);
	struct made *m;
	int fd, saved;

	if (ssl == NULL || !ask_for(ssl, client, host)) {
		SSL_free(ssl);
		ERR_clear_error();
		errno = ENOMEM;
		return false;
	}
	fd = stream_dial(to);
	if (fd < 0) {
		saved = errno;
		SSL_free(ssl);
		errno = saved;
		return false;
	}
	SSL_set_connect_state(ssl);
	m = mem_alloc(sizeof(*m));
	tls_begin(&m->tls, &client->gear, s, ssl, fd, TLS_CONNECTING, EV_WRITE);
	return true;
}

/* --- whom to trust --- */

/* Of an authority that was given, any certificate is one to begin at, a root or not: who names an
 * intermediate one means it. */
static bool trust(SSL_CTX *context, const struct tls_client_options *o, const char *section,
                  struct buf *errors)
{
	char option[OPTION_NAME_MAX];

	SSL_CTX_set_verify(context, o->insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	snprintf(option, sizeof(option), "%s.server_ca_pem_file", section);
	if (o->server_ca_pem_file == NULL)
		return SSL_CTX_set_default_verify_paths(context) == 1 ||
		       tls_refuse(errors, option, "the authorities of the system", tls_reason());
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
	return tls_read_authorities(context, option, o->server_ca_pem_file, errors);
}

static bool show(SSL_CTX *context, const struct tls_client_options *o, const char *section,
                 struct buf *errors)
{
	const char *key = o->key_pem_file != NULL ? o->key_pem_file : o->cert_pem_file;
	char cert_option[OPTION_NAME_MAX], key_option[OPTION_NAME_MAX];

	if (o->cert_pem_file == NULL)
		return true;
	snprintf(cert_option, sizeof(cert_option), "%s.cert_pem_file", section);
	snprintf(key_option, sizeof(key_option), "%s.%s", section,
	         o->key_pem_file != NULL ? "key_pem_file" : "cert_pem_file");
	return tls_read_pair(context, cert_option, o->cert_pem_file, key_option, key, errors);
}

struct tls_client *tls_client_new(const struct tls_client_options *o, const char *section, const char *host,
                                  struct buf *errors)
{
	struct tls_client *client = mem_alloc(sizeof(*client));
	const char *name = o->server_name != NULL ? o->server_name : host;
	bool trusts, shows;

	client->context = tls_context_new(TLS_client_method());
	if (client->context == NULL || !tls_gear_init(&client->gear, &role_of_made) ||
	    (name != NULL && !expect(SSL_CTX_get0_param(client->context), name, &client->name))) {
		tls_refuse(errors, section, name != NULL ? name : "TLS", tls_reason());
		tls_client_free(&client);
		return NULL;
	}
	client->knows_host = name != NULL;
	trusts = trust(client->context, o, section, errors);
	shows = show(client->context, o, section, errors);
	if (!trusts || !shows)
		tls_client_free(&client);
	return client;
}

void tls_client_free(struct tls_client **client)
{
	struct tls_client *dead = *client;

	if (dead == NULL)
		return;
	SSL_CTX_free(dead->context);
	tls_gear_free(&dead->gear);
	mem_free(dead->name);
	mem_free(dead);
	*client = NULL;
}
