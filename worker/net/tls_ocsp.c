#include "tls_ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "mem.h"

static bool is_about(OCSP_SINGLERESP *single, const X509 *cert)
{
	/* The function takes what it does not change as if it did. */
	OCSP_CERTID *id = (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single);
	ASN1_INTEGER *serial;

	return OCSP_id_get0_info(NULL, NULL, NULL, &serial, id) == 1 &&
	       ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(cert)) == 0;
}

static uint64_t end_of(OCSP_SINGLERESP *single)
{
	ASN1_GENERALIZEDTIME *next = NULL;
	struct tm tm;
	time_t end;

	OCSP_single_get0_status(single, NULL, NULL, NULL, &next);
	if (next == NULL || ASN1_TIME_to_tm(next, &tm) != 1)
		return 0;
	end = timegm(&tm);
	return end > 0 ? (uint64_t)end : 1;
}

/* One that only says "try later" is about no certificate. */
static void look_into(struct tls_ocsp *o, OCSP_RESPONSE *response, const X509 *cert)
{
	OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
	int count = basic != NULL ? OCSP_resp_count(basic) : 0;

	for (int i = 0; i < count && !o->is_ours; i++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);

		o->is_ours = is_about(single, cert);
		o->end_s = o->is_ours ? end_of(single) : 0;
	}
	OCSP_BASICRESP_free(basic);
	ERR_clear_error();
}

bool tls_ocsp_read(struct tls_ocsp *o, const struct tls_file *file, const X509 *cert)
{
	const unsigned char *at = (const unsigned char *)file->data;
	OCSP_RESPONSE *response;

	*o = (struct tls_ocsp){0};
	if (file->data == NULL)
		return true;
	response = d2i_OCSP_RESPONSE(NULL, &at, (long)file->len);
	if (response == NULL)
		return false;
	look_into(o, response, cert);
	OCSP_RESPONSE_free(response);
	o->data = mem_alloc(file->len);
	o->len = file->len;
	memcpy(o->data, file->data, file->len);
	return true;
}

void tls_ocsp_clear(struct tls_ocsp *o)
{
	mem_free(o->data);
	*o = (struct tls_ocsp){0};
}

const char *tls_ocsp_problem(const struct tls_ocsp *o)
{
	if (o->data == NULL)
		return NULL;
	if (!o->is_ours)
		return "is not about this certificate, and is not shown";
	if (o->end_s != 0 && clock_unix_ms() / 1000 >= o->end_s)
		return "has expired, and is not shown";
	return NULL;
}

int tls_ocsp_staple(const struct tls_ocsp *o, SSL *ssl)
{
	unsigned char *copy = NULL;

	if (o->data != NULL && tls_ocsp_problem(o) == NULL)
		copy = OPENSSL_memdup(o->data, o->len);
	if (copy == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)o->len);
	return SSL_TLSEXT_ERR_OK;
}
