#include "tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "random.h"
#include "secret.h"

enum { SECRET_LEN = 64, NAME_LEN = 16, CIPHER_KEY_LEN = 32, MAC_KEY_LEN = 32 };

static const uint64_t period_ms = (uint64_t)TLS_TICKET_PERIOD_S * 1000;

struct ticket_key {
	unsigned char name[NAME_LEN];
	unsigned char cipher[CIPHER_KEY_LEN];
	unsigned char mac[MAC_KEY_LEN];
};

struct tls_tickets {
	uint64_t period;
	unsigned char secret[SECRET_LEN]; /* of the period */
	struct ticket_key now, before;
};

/* --- the ratchet --- */

static bool derive(const unsigned char secret[SECRET_LEN], const char *what, unsigned char out[SECRET_LEN])
{
	return HMAC(EVP_sha512(), secret, SECRET_LEN, (const unsigned char *)what, strlen(what), out, NULL) !=
	       NULL;
}

static bool key_of(const unsigned char secret[SECRET_LEN], struct ticket_key *key)
{
	unsigned char part[SECRET_LEN];
	bool ok = derive(secret, "ticket name and cipher", part);

	memcpy(key->name, part, NAME_LEN);
	memcpy(key->cipher, part + NAME_LEN, CIPHER_KEY_LEN);
	ok = ok && derive(secret, "ticket mac", part);
	memcpy(key->mac, part, MAC_KEY_LEN);
	OPENSSL_cleanse(part, sizeof(part));
	return ok;
}

/* All or nothing. */
static bool step(struct tls_tickets *t)
{
	unsigned char next[SECRET_LEN];
	struct ticket_key key;
	bool ok = derive(t->secret, "next secret", next) && key_of(next, &key);

	if (ok) {
		memcpy(t->secret, next, sizeof(next));
		t->before = t->now;
		t->now = key;
		t->period++;
	}
	OPENSSL_cleanse(next, sizeof(next));
	OPENSSL_cleanse(&key, sizeof(key));
	return ok;
}

/* False without memory. A clock that is set back is waited for: what is forgotten cannot be had again. */
static bool turn(struct tls_tickets *t)
{
	uint64_t now = clock_ms() / period_ms;

	while (t->period < now) {
		if (!step(t))
			return false;
	}
	return true;
}

uint64_t tls_tickets_turn(struct tls_tickets *t)
{
	enum { AGAIN_MS = 1000 };

	return turn(t) ? (t->period + 1) * period_ms - clock_ms() : AGAIN_MS;
}

struct tls_tickets *tls_tickets_new(void)
{
	struct tls_tickets *t = secret_alloc(sizeof(*t));

	/* Nobody knows the key before the first, and its tickets. */
	random_bytes(&t->before, sizeof(t->before));
	random_bytes(t->secret, sizeof(t->secret));
	t->period = clock_ms() / period_ms;
	if (key_of(t->secret, &t->now))
		return t;
	tls_tickets_free(&t);
	return NULL;
}

void tls_tickets_free(struct tls_tickets **t)
{
	secret_free(*t, sizeof(**t));
	*t = NULL;
}

/* --- tickets --- */

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1: done; -1: failed. */
static int seal(struct ticket_key *key, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
	if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1 ||
	    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 || !set_mac(mac, key))
		return -1;
	memcpy(name, key->name, NAME_LEN);
	return 1;
}

/* False: failed. */
static bool unseal(struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	return EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) == 1 && set_mac(mac, key);
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3). Of a ticket to open, 2 says that it should be renewed, 0 that it
 * is not ours. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
	struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (!turn(t))
		return -1;
	if (encrypt)
		return seal(&t->now, name, iv, cipher, mac);
	if (CRYPTO_memcmp(t->now.name, name, NAME_LEN) == 0)
		return unseal(&t->now, iv, cipher, mac) ? 1 : -1;
	if (CRYPTO_memcmp(t->before.name, name, NAME_LEN) == 0)
		return unseal(&t->before, iv, cipher, mac) ? 2 : -1;
	return 0;
}

/* --- the end of sessions --- */

static uint64_t unix_now_s(void)
{
	return clock_unix_ms() / 1000;
}

/* For how long what a handshake has shown may be believed. */
static uint64_t end_of_session(const SSL *ssl)
{
	const X509 *client = SSL_get0_peer_certificate(ssl);
	uint64_t end = unix_now_s() + TLS_SESSION_LIFE_S;
	struct tm tm;
	time_t expiry;

	if (client == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(client), &tm) != 1)
		return end;
	expiry = timegm(&tm);
	return expiry > 0 && (uint64_t)expiry < end ? (uint64_t)expiry : end;
}

/* A session that was resumed keeps the end that it was given first. */
static int on_new_ticket(SSL *ssl, void *arg)
{
	uint64_t end;

	if (SSL_session_reused(ssl))
		return 1;
	end = end_of_session(ssl);
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), &end, sizeof(end));
}

static bool is_over(SSL_SESSION *session)
{
	uint64_t end;
	void *data;
	size_t len;

	if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 || len != sizeof(end))
		return true;
	memcpy(&end, data, sizeof(end));
	return unix_now_s() >= end;
}

/* In TLS 1.3 a client should use each ticket only once (RFC 8446, C.4): without a new one it could not come
 * back a second time. */
static SSL_TICKET_RETURN on_old_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                       size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
	if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) || is_over(session))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) == TLS1_3_VERSION
	               ? SSL_TICKET_RETURN_USE_RENEW
	               : SSL_TICKET_RETURN_USE;
}

void tls_tickets_use(struct tls_tickets *t, SSL_CTX *context)
{
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(context, TLS_TICKET_LIFE_S);
	SSL_CTX_set_app_data(context, t);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
	SSL_CTX_set_session_ticket_cb(context, on_new_ticket, on_old_ticket, NULL);
}
