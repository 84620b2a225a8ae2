/* The certificates of the tests of worker/net/tls.c, in a directory of their own; made for the run, signed by
 * themselves. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <unistd.h>

#include "bytes.h"
#include "log.h"

enum { PATH_LEN = 64 };
/* Of the certificates: of the first one, which begins an hour ago, and of the other. */
enum { CERT_LIFE_S = 3600, OTHER_BEGIN_S = 1580428800 };
static const int64_t OTHER_END_S = 2211580800;

static char dir[] = "/tmp/fanfare-tls-XXXXXX";
static char cert_file[PATH_LEN], other_cert_file[PATH_LEN], weak_cert_file[PATH_LEN], crl_file[PATH_LEN],
	both_cas_file[PATH_LEN], junk_file[PATH_LEN];

static void set_name(X509 *cert, const char *name)
{
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	                           (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
}

static X509 *new_certificate(const char *name, EVP_PKEY *key)
{
	X509 *cert = X509_new();

	set_name(cert, name);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), CERT_LIFE_S);
	X509_set_pubkey(cert, key);
	return cert;
}

/* Signs it with its own key. */
static void write_pair(const char *file, X509 *cert, EVP_PKEY *key)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(f, cert), 1);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

static void write_crl(X509 *issuer, EVP_PKEY *key)
{
	FILE *f = fopen(crl_file, "w");
	X509_CRL *crl = X509_CRL_new();

	assert_non_null(f);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
	X509_CRL_set1_lastUpdate(crl, X509_get0_notBefore(issuer));
	X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(issuer));
	assert_true(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(f, issuer), 1);
	assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
	fclose(f);
	X509_CRL_free(crl);
}

static void write_cas(X509 *one, X509 *other)
{
	FILE *f = fopen(both_cas_file, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, one), 1);
	assert_int_equal(PEM_write_X509(f, other), 1);
	fclose(f);
}

static void make_certificates(void)
{
	EVP_PKEY *keys[] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-256"), EVP_RSA_gen(1024)};
	X509 *first = new_certificate("first", keys[0]), *other = new_certificate("other", keys[1]);
	X509 *weak = new_certificate("weak", keys[2]);

	write_pair(cert_file, first, keys[0]);
	ASN1_TIME_set(X509_getm_notBefore(other), OTHER_BEGIN_S);
	ASN1_TIME_set(X509_getm_notAfter(other), OTHER_END_S);
	write_pair(other_cert_file, other, keys[1]);
	write_pair(weak_cert_file, weak, keys[2]);
	write_crl(first, keys[0]);
	write_cas(first, other);
	X509_free(first);
	X509_free(other);
	X509_free(weak);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		EVP_PKEY_free(keys[i]);
}

static const struct {
	const char *name;
	char *path;
} files[] = {
	{"first.pem", cert_file}, {"other.pem", other_cert_file}, {"weak.pem", weak_cert_file},
	{"crl.pem", crl_file},    {"cas.pem", both_cas_file},     {"junk.pem", junk_file},
};

static int make_files(void **state)
{
	FILE *f;

	log_setup(LOG_ERROR + 1, LOG_TEXT); /* failures are asked for here */
	if (mkdtemp(dir) == NULL)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		snprintf(files[i].path, PATH_LEN, "%s/%s", dir, files[i].name);
	make_certificates();
	f = fopen(junk_file, "w");
	if (f == NULL || fputs("junk\n", f) < 0)
		return -1;
	return fclose(f);
}

static int remove_files(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlink(files[i].path);
	return rmdir(dir);
}
