/* What an authority says about a certificate: when it is shown, and when not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/ocsp.h>
#include <openssl/ssl.h>

#include "clock.h"
#include "mem.h"
#include "tls_ocsp.h"

enum { NOW_S = 2000000000, DAY_S = 86400, NEVER = 0 };

static EVP_PKEY *key;
static X509 *issuer, *ours, *other;

static X509 *new_certificate(const char *name, long serial)
{
	X509 *cert = X509_new();

	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	                           (const unsigned char *)name, -1, -1, 0);
	X509_NAME_add_entry_by_txt(X509_get_issuer_name(cert), "CN", MBSTRING_ASC,
	                           (const unsigned char *)"authority", -1, -1, 0);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	ASN1_TIME_set(X509_getm_notBefore(cert), NOW_S - DAY_S);
	ASN1_TIME_set(X509_getm_notAfter(cert), NOW_S + 100 * DAY_S);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static void add_answer(OCSP_BASICRESP *basic, const X509 *about, int64_t end_s)
{
	ASN1_TIME *begin = ASN1_TIME_set(NULL, NOW_S - DAY_S);
	ASN1_TIME *end = end_s != NEVER ? ASN1_TIME_set(NULL, end_s) : NULL;
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), about, issuer);

	assert_non_null(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, begin, end));
	OCSP_CERTID_free(id);
	ASN1_TIME_free(begin);
	ASN1_TIME_free(end);
}

/* A file with the response; basic NULL: one that only has the status. Takes basic. */
static struct tls_file file_of(int status, OCSP_BASICRESP *basic)
{
	struct tls_file file = {.option = "tls.cert_pem_file"};
	OCSP_RESPONSE *response;
	unsigned char *data = NULL;
	int len;

	if (basic != NULL)
		assert_int_equal(OCSP_basic_sign(basic, issuer, key, EVP_sha256(), NULL, 0), 1);
	response = OCSP_response_create(status, basic);
	len = i2d_OCSP_RESPONSE(response, &data);
	assert_true(len > 0);
	file.data = (char *)data;
	file.len = (size_t)len;
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	return file;
}

static struct tls_file answer_about(const X509 *about, int64_t end_s)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();

	add_answer(basic, about, end_s);
	return file_of(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
}

static void set_clock(int64_t s)
{
	clock_freeze(1, (uint64_t)s * 1000);
}

/* Reads the file, which is given back. */
static struct tls_ocsp read_well(struct tls_file file)
{
	struct tls_ocsp o;

	assert_true(tls_ocsp_read(&o, &file, ours));
	OPENSSL_free(file.data);
	return o;
}

static void expect(const struct tls_ocsp *o, const char *problem)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	SSL *ssl = SSL_new(context);

	if (problem == NULL)
		assert_null(tls_ocsp_problem(o));
	else
		assert_string_equal(tls_ocsp_problem(o), problem);
	assert_int_equal(tls_ocsp_staple(o, ssl), problem == NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK);
	SSL_free(ssl);
	SSL_CTX_free(context);
}

static void an_answer_is_shown_until_its_time_is_over(void **state)
{
	struct tls_ocsp o = read_well(answer_about(ours, NOW_S + DAY_S));

	set_clock(NOW_S);
	expect(&o, NULL);
	set_clock(NOW_S + DAY_S - 1);
	expect(&o, NULL);
	set_clock(NOW_S + DAY_S);
	expect(&o, "has expired, and is not shown");
	tls_ocsp_clear(&o);
	assert_null(o.data);
}

static void an_answer_without_an_end_is_shown_for_ever(void **state)
{
	struct tls_ocsp o = read_well(answer_about(ours, NEVER));

	set_clock(NOW_S + 10000ll * DAY_S);
	expect(&o, NULL);
	tls_ocsp_clear(&o);
}

static void what_is_about_another_certificate_is_not_shown(void **state)
{
	OCSP_BASICRESP *both = OCSP_BASICRESP_new();
	struct tls_ocsp o = read_well(answer_about(other, NOW_S + DAY_S));

	set_clock(NOW_S);
	expect(&o, "is not about this certificate, and is not shown");
	tls_ocsp_clear(&o);
	/* Of several the right one counts, and its time. */
	add_answer(both, other, NOW_S + DAY_S);
	add_answer(both, ours, NOW_S + 2 * DAY_S);
	o = read_well(file_of(OCSP_RESPONSE_STATUS_SUCCESSFUL, both));
	set_clock(NOW_S + DAY_S);
	expect(&o, NULL);
	set_clock(NOW_S + 2 * DAY_S);
	expect(&o, "has expired, and is not shown");
	tls_ocsp_clear(&o);
	o = read_well(file_of(OCSP_RESPONSE_STATUS_TRYLATER, NULL));
	expect(&o, "is not about this certificate, and is not shown");
	tls_ocsp_clear(&o);
}

static void without_a_file_there_is_nothing_to_show_or_to_complain_about(void **state)
{
	struct tls_ocsp o = read_well((struct tls_file){.option = "tls.cert_pem_file"});

	assert_null(tls_ocsp_problem(&o));
	assert_int_equal(tls_ocsp_staple(&o, NULL), SSL_TLSEXT_ERR_NOACK);
	tls_ocsp_clear(&o);
}

static void what_is_no_answer_is_refused_wherever_it_is_cut(void **state)
{
	struct tls_file whole = answer_about(ours, NOW_S + DAY_S), part = whole;
	struct tls_ocsp o;

	for (part.len = 0; part.len < whole.len; part.len++) {
		part.data = mem_alloc(part.len);
		memcpy(part.data, whole.data, part.len);
		assert_false(tls_ocsp_read(&o, &part, ours));
		assert_null(o.data);
		mem_free(part.data);
	}
	/* Damage may be anywhere; what it does to the meaning is for the client to see, by the signature. */
	for (size_t i = 0; i < whole.len; i++) {
		whole.data[i] ^= 0x55;
		if (tls_ocsp_read(&o, &whole, ours))
			tls_ocsp_problem(&o);
		tls_ocsp_clear(&o);
		whole.data[i] ^= 0x55;
	}
	OPENSSL_free(whole.data);
}

static int make_certificates(void **state)
{
	key = EVP_EC_gen("P-256");
	issuer = new_certificate("authority", 1);
	ours = new_certificate("ours", 2);
	other = new_certificate("other", 3);
	return 0;
}

static int free_certificates(void **state)
{
	X509_free(issuer);
	X509_free(ours);
	X509_free(other);
	EVP_PKEY_free(key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_is_shown_until_its_time_is_over),
		cmocka_unit_test(an_answer_without_an_end_is_shown_for_ever),
		cmocka_unit_test(what_is_about_another_certificate_is_not_shown),
		cmocka_unit_test(without_a_file_there_is_nothing_to_show_or_to_complain_about),
		cmocka_unit_test(what_is_no_answer_is_refused_wherever_it_is_cut),
	};

	return cmocka_run_group_tests(tests, make_certificates, free_certificates);
}
