#include "tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

#include "clock.h"
#include "random.h"

enum { NAME_LEN = 16, CIPHER_KEY_LEN = 32, MAC_KEY_LEN = 32, HALF_LEN = 64 };

struct ticket_key {
	unsigned char name[NAME_LEN];
	unsigned char cipher[CIPHER_KEY_LEN];
	unsigned char mac[MAC_KEY_LEN];
};

void tls_tickets_init(struct tls_tickets *t)
{
	random_bytes(t->secret, sizeof(t->secret));
}

void tls_tickets_clear(struct tls_tickets *t)
{
	OPENSSL_cleanse(t->secret, sizeof(t->secret));
}

static uint64_t period_now(void)
{
	return clock_unix_ms() / 1000 / TLS_TICKET_PERIOD_S;
}

static bool derive(const struct tls_tickets *t, unsigned char half, uint64_t period,
                   unsigned char out[HALF_LEN])
{
	unsigned char what[1 + sizeof(period)] = {half};

	memcpy(what + 1, &period, sizeof(period));
	return HMAC(EVP_sha512(), t->secret, sizeof(t->secret), what, sizeof(what), out, NULL) != NULL;
}

static bool key_of(const struct tls_tickets *t, uint64_t period, struct ticket_key *key)
{
	unsigned char half[HALF_LEN];
	bool ok = derive(t, 'c', period, half);

	memcpy(key->name, half, NAME_LEN);
	memcpy(key->cipher, half + NAME_LEN, CIPHER_KEY_LEN);
	ok = ok && derive(t, 'm', period, half);
	memcpy(key->mac, half, MAC_KEY_LEN);
	OPENSSL_cleanse(half, sizeof(half));
	return ok;
}

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
static int seal(const struct tls_tickets *t, struct ticket_key *key, unsigned char *name, unsigned char *iv,
                EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	if (!key_of(t, period_now(), key) || RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1 ||
	    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 || !set_mac(mac, key))
		return -1;
	memcpy(name, key->name, NAME_LEN);
	return 1;
}

/* 1: a ticket of the key; 2: the same, and it should be renewed; 0: not ours; -1: failed. */
static int unseal(const struct tls_tickets *t, struct ticket_key *key, const unsigned char *name,
                  const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	for (uint64_t age = 0; age < 2; age++) {
		if (!key_of(t, period_now() - age, key))
			return -1;
		if (CRYPTO_memcmp(key->name, name, NAME_LEN) != 0)
			continue;
		if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv) != 1 ||
		    !set_mac(mac, key))
			return -1;
		return age == 0 ? 1 : 2;
	}
	return 0;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
	const struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct ticket_key key;
	int result = encrypt ? seal(t, &key, name, iv, cipher, mac) : unseal(t, &key, name, iv, cipher, mac);

	OPENSSL_cleanse(&key, sizeof(key));
	return result;
}

void tls_tickets_use(struct tls_tickets *t, SSL_CTX *context)
{
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(context, TLS_TICKET_LIFE_S);
	SSL_CTX_set_app_data(context, t);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}
