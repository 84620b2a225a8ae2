#include "tls_contexts.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "mem.h"
#include "tls_files.h"
#include "tls_internal.h"
#include "tls_ocsp.h"
#include "tls_reason.h"

enum {
	CLIENT_CHAIN_MAX = 32768, /* bytes of certificates that a client may show */
	/* 112 bits, which is RSA of 2048 and no SHA-1, also where the distribution's default is lower. */
	SECURITY_LEVEL = 2,
	SOON_S = 14 * 86400,
};

/* One certificate. */
struct identity {
	SSL_CTX *context;
	char *place; /* "OPTION: FILE", for people */
	struct tls_ocsp ocsp;
};

/* Of one bundle. Owned by the context of the first identity. */
struct identities {
	struct identity *items;
	size_t count;
};

/* Always false, so that a caller can return it. */
static bool refuse(struct buf *errors, const struct tls_file *f, const char *what)
{
	buf_putf(errors, "%s: %s: %s\n", f->option, f->path, what);
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
	const struct identities *set = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (size_t i = 0; i < set->count; i++) {
		SSL_CTX *context = set->items[i].context;

		if (X509_check_host(SSL_CTX_get0_certificate(context), name, strlen(name), 0, NULL) == 1) {
			SSL_set_SSL_CTX(ssl, context);
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static int on_status(SSL *ssl, void *arg)
{
	return tls_ocsp_staple(arg, ssl);
}

/* --- what is in the files --- */

static BIO *open_bytes(const struct tls_file *f)
{
	return BIO_new_mem_buf(f->data, (int)f->len);
}

/* Behind the last one OpenSSL says that no more begins. */
static bool is_end_of_pem(void)
{
	unsigned long error = ERR_peek_last_error();
	bool end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

	ERR_clear_error();
	return end;
}

static bool use_chain(SSL_CTX *context, BIO *bio)
{
	X509 *next = PEM_read_bio_X509_AUX(bio, NULL, tls_no_password, NULL);
	bool ok = next != NULL && SSL_CTX_use_certificate(context, next) == 1;

	X509_free(next);
	while (ok && (next = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL)) != NULL) {
		ok = SSL_CTX_add0_chain_cert(context, next) == 1;
		if (!ok)
			X509_free(next);
	}
	return ok && is_end_of_pem();
}

static bool is_too_weak(unsigned long error)
{
	int reason = ERR_GET_REASON(error);

	return ERR_GET_LIB(error) == ERR_LIB_SSL &&
	       (reason == SSL_R_EE_KEY_TOO_SMALL || reason == SSL_R_CA_KEY_TOO_SMALL ||
	        reason == SSL_R_CA_MD_TOO_WEAK);
}

static bool read_chain(struct identity *id, const struct tls_file *cert, struct buf *errors)
{
	BIO *bio = open_bytes(cert);
	bool ok = bio != NULL && use_chain(id->context, bio);

	BIO_free(bio);
	if (ok)
		return true;
	if (is_too_weak(ERR_peek_last_error()))
		return refuse(errors, cert, "holds a certificate with a key too short, or a digest too weak");
	return refuse(errors, cert, "holds no certificate in PEM that can be used");
}

static bool read_key(struct identity *id, const struct tls_file *file, struct buf *errors)
{
	BIO *bio = open_bytes(file);
	EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, tls_no_password, NULL) : NULL;
	bool ok = key != NULL && SSL_CTX_use_PrivateKey(id->context, key) == 1 &&
	          SSL_CTX_check_private_key(id->context) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	if (ok)
		return true;
	if (tls_is_misfit())
		return refuse(errors, file, "the key does not fit the certificate");
	return refuse(errors, file,
	              "holds no private key in PEM, or one with a password, which cannot be asked for");
}

static bool read_ocsp(struct identity *id, const struct tls_file *file, struct buf *errors)
{
	if (!tls_ocsp_read(&id->ocsp, file, SSL_CTX_get0_certificate(id->context)))
		return refuse(errors, file, "is no OCSP response in DER");
	SSL_CTX_set_tlsext_status_cb(id->context, on_status);
	SSL_CTX_set_tlsext_status_arg(id->context, &id->ocsp);
	return true;
}

/* Authorities of clients, once for all contexts. */
struct authorities {
	X509_STORE *store; /* NULL: clients need no certificate */
	STACK_OF(X509_NAME) * names;
};

static bool add_authority(struct authorities *a, const X509_INFO *info)
{
	X509_NAME *name = X509_NAME_dup(X509_get_subject_name(info->x509));

	if (name == NULL || sk_X509_NAME_push(a->names, name) <= 0) {
		X509_NAME_free(name);
		return false;
	}
	return X509_STORE_add_cert(a->store, info->x509) == 1;
}

/* NULL, or what is wrong. Lists of revoked certificates would be taken for heeded. */
static const char *add_authorities(struct authorities *a, const STACK_OF(X509_INFO) * infos)
{
	int count = 0;

	for (int i = 0; i < sk_X509_INFO_num(infos); i++) {
		const X509_INFO *info = sk_X509_INFO_value(infos, i);

		if (info->crl != NULL)
			return "holds a list of revoked certificates, which this version does not heed";
		if (info->x509 != NULL && !add_authority(a, info))
			return tls_reason();
		count += info->x509 != NULL;
	}
	return count > 0 ? NULL : "holds no certificate in PEM";
}

static void authorities_clear(struct authorities *a)
{
	X509_STORE_free(a->store);
	sk_X509_NAME_pop_free(a->names, X509_NAME_free);
}

static bool read_authorities(struct authorities *a, const struct tls_file *file, struct buf *errors)
{
	STACK_OF(X509_INFO) * infos;
	const char *problem;
	BIO *bio;

	*a = (struct authorities){0};
	if (file->data == NULL)
		return true;
	a->store = X509_STORE_new();
	a->names = sk_X509_NAME_new_null();
	bio = open_bytes(file);
	infos = bio != NULL ? PEM_X509_INFO_read_bio(bio, NULL, tls_no_password, NULL) : NULL;
	if (infos == NULL || a->store == NULL || a->names == NULL)
		problem = "holds what cannot be read as PEM";
	else
		problem = add_authorities(a, infos);
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	BIO_free(bio);
	ERR_clear_error();
	return problem == NULL || refuse(errors, file, problem);
}

/* --- contexts --- */

/* Tickets are for servers with the same authorities of clients: a session that was begun with others, or
 * without any, must not get around those of now (RFC 8446, 4.6.1). All names have the same ones. */
static bool bind_sessions(SSL_CTX *context, const struct tls_file *client_ca)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	if (client_ca->data == NULL)
		return SSL_CTX_set_session_id_context(context, (const unsigned char *)"fanfare", 7) == 1;
	return EVP_Digest(client_ca->data, client_ca->len, digest, NULL, EVP_sha256(), NULL) == 1 &&
	       SSL_CTX_set_session_id_context(context, digest, sizeof(digest)) == 1;
}

static bool demand_certificates(SSL_CTX *context, const struct authorities *a)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_deep_copy(a->names, X509_NAME_dup, X509_NAME_free);

	if (names == NULL)
		return false;
	SSL_CTX_set1_cert_store(context, a->store);
	SSL_CTX_set_client_CA_list(context, names);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return true;
}

/* Without early data (RFC 8446, 2.3), which anybody could send again. */
static bool set_up(SSL_CTX *context, struct identities *set, struct tls_tickets *tickets)
{
	SSL_CTX_set_security_level(context, SECURITY_LEVEL);
	SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_max_cert_list(context, CLIENT_CHAIN_MAX);
	SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
	SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(context, set);
	tls_tickets_use(tickets, context);
	return SSL_CTX_set_max_early_data(context, 0) == 1 &&
	       SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
	                                         "TLS_AES_128_GCM_SHA256") == 1 &&
	       /* The strong but slow groups are for others: clients choose what a handshake costs us. */
	       SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1;
}

/* `key` may be the certificate's own file. */
static bool add_identity(struct identities *set, const struct tls_bundle *bundle, const struct tls_file *cert,
                         const struct tls_file *key, struct tls_tickets *tickets, struct buf *errors)
{
	struct identity *id = &set->items[set->count];

	id->context = tls_context_new(TLS_server_method());
	if (id->context == NULL)
		return refuse(errors, cert, tls_reason());
	set->count++;
	id->place = mem_printf("%s: %s", cert->option, cert->path);
	if (!set_up(id->context, set, tickets) ||
	    !bind_sessions(id->context, &bundle->files[TLS_FILE_CLIENT_CA]))
		return refuse(errors, cert, tls_reason());
	return read_chain(id, cert, errors) && read_key(id, key, errors) && read_ocsp(id, cert + 1, errors);
}

static bool add_identities(struct identities *set, const struct tls_bundle *bundle,
                           struct tls_tickets *tickets, struct buf *errors)
{
	const struct tls_file *files = bundle->files;
	const struct tls_file *cert = &files[TLS_FILE_CERT], *key = &files[TLS_FILE_KEY];
	bool ok = add_identity(set, bundle, cert, key->data != NULL ? key : cert, tickets, errors);

	for (size_t i = TLS_FILE_SNI; i < bundle->count; i += 2)
		ok = add_identity(set, bundle, &files[i], &files[i], tickets, errors) && ok;
	return ok;
}

static bool add_authorities_of_clients(struct identities *set, const struct tls_file *file,
                                       struct buf *errors)
{
	struct authorities authorities;
	bool ok = read_authorities(&authorities, file, errors);

	for (size_t i = 0; ok && authorities.store != NULL && i < set->count; i++)
		ok = demand_certificates(set->items[i].context, &authorities) ||
		     refuse(errors, file, tls_reason());
	authorities_clear(&authorities);
	return ok;
}

/* From the context at `from` on. */
static void identities_free(struct identities *set, size_t from)
{
	for (size_t i = 0; i < set->count; i++) {
		if (i >= from)
			SSL_CTX_free(set->items[i].context);
		mem_free(set->items[i].place);
		tls_ocsp_clear(&set->items[i].ocsp);
	}
	mem_free(set->items);
	mem_free(set);
}

/* The first context ends, when the last connection that began with it has ended. */
static void on_first_freed(void *context, void *set, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
	if (set != NULL)
		identities_free(set, 1);
}

int tls_contexts_index(void)
{
	return CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL_CTX, 0, NULL, NULL, NULL, on_first_freed);
}

SSL_CTX *tls_contexts_new(const struct tls_bundle *bundle, int index, struct tls_tickets *tickets,
                          struct buf *errors)
{
	struct identities *set = mem_alloc(sizeof(*set));
	bool ok;

	set->items = mem_alloc((bundle->count - TLS_FILE_SNI + 1) * sizeof(*set->items));
	ok = add_identities(set, bundle, tickets, errors);
	ok = add_authorities_of_clients(set, &bundle->files[TLS_FILE_CLIENT_CA], errors) && ok;
	if (ok && SSL_CTX_set_ex_data(set->items[0].context, index, set) == 1)
		return set->items[0].context;
	if (ok)
		refuse(errors, &bundle->files[TLS_FILE_CERT], tls_reason());
	identities_free(set, 0);
	return NULL;
}

/* --- for people --- */

/* Certificates without a subject are usual today: what counts are the names of the host. */
static void put_subject(struct buf *out, const X509 *cert)
{
	const X509_NAME *name = X509_get_subject_name(cert);
	BIO *bio = BIO_new(BIO_s_mem());
	GENERAL_NAMES *others = NULL;
	char *text;
	long len;

	if (bio == NULL)
		return;
	if (X509_NAME_entry_count(name) > 0)
		X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
	else
		others = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	if (sk_GENERAL_NAME_num(others) > 0)
		GENERAL_NAME_print(bio, sk_GENERAL_NAME_value(others, 0));
	len = BIO_get_mem_data(bio, &text);
	buf_put_bytes(out, (struct bytes){text, (size_t)len});
	GENERAL_NAMES_free(others);
	BIO_free(bio);
}

static time_t unix_time(const ASN1_TIME *time)
{
	struct tm tm;

	return ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

static void put_time(struct buf *out, time_t t)
{
	char text[32];
	struct tm tm;

	if (gmtime_r(&t, &tm) != NULL && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		buf_puts(out, text);
}

static void put_lifetime(struct buf *out, const struct identity *id, const char *what, time_t moment)
{
	buf_reset(out);
	buf_putf(out, "%s: the certificate %s ", id->place, what);
	put_time(out, moment);
}

typedef void tell_fn(bool is_warning, const char *line);

static void tell_line(const struct identity *id, struct buf *line, bool is_warning, tell_fn *tell)
{
	buf_putc(line, '\0');
	tell(is_warning, buf_ok(line) ? line->data : id->place);
}

static void describe(const struct identity *id, struct buf *line, tell_fn *tell)
{
	const X509 *cert = SSL_CTX_get0_certificate(id->context);
	time_t begin = unix_time(X509_get0_notBefore(cert)), end = unix_time(X509_get0_notAfter(cert));
	time_t now = (time_t)(clock_unix_ms() / 1000);

	buf_reset(line);
	buf_putf(line, "%s: ", id->place);
	put_subject(line, cert);
	buf_puts(line, ", valid until ");
	put_time(line, end);
	tell_line(id, line, false, tell);
	if (now < begin)
		put_lifetime(line, id, "is not valid before", begin);
	else if (now >= end)
		put_lifetime(line, id, "has expired:", end);
	else if (end - now < SOON_S)
		put_lifetime(line, id, "expires soon:", end);
	else
		return;
	tell_line(id, line, true, tell);
}

static void describe_ocsp(const struct identity *id, struct buf *line, tell_fn *tell)
{
	const char *problem = tls_ocsp_problem(&id->ocsp);

	if (problem == NULL)
		return;
	buf_reset(line);
	buf_putf(line, "%s.ocsp: %s", id->place, problem);
	tell_line(id, line, true, tell);
}

void tls_contexts_describe(const SSL_CTX *first, int index, void (*tell)(bool is_warning, const char *line))
{
	enum { LINE_MAX_LEN = 16384 };
	const struct identities *set = SSL_CTX_get_ex_data(first, index);
	struct buf line;

	buf_init(&line, LINE_MAX_LEN);
	for (size_t i = 0; i < set->count; i++) {
		describe(&set->items[i], &line, tell);
		describe_ocsp(&set->items[i], &line, tell);
	}
	buf_free(&line);
}
