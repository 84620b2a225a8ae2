#include "tls_reason.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *text_of(unsigned long error)
{
	const char *reason = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
	                                             : ERR_reason_error_string(error);

	return reason != NULL ? reason : "no reason given";
}

const char *tls_reason(void)
{
	unsigned long error = ERR_peek_last_error();

	ERR_clear_error();
	return text_of(error);
}

/* For whom the certificate should be. */
static void put_misfit(const SSL *ssl, bool by_address, char out[TLS_REASON_MAX])
{
	X509_VERIFY_PARAM *param = SSL_get0_param((SSL *)ssl);
	char *address = by_address ? X509_VERIFY_PARAM_get1_ip_asc(param) : NULL;
	const char *name = by_address ? address : X509_VERIFY_PARAM_get0_host(param, 0);

	snprintf(out, TLS_REASON_MAX, "its certificate is for another name than %s",
	         name != NULL ? name : "ours");
	OPENSSL_free(address);
}

static void put_distrust(const SSL *ssl, char out[TLS_REASON_MAX])
{
	long result = SSL_get_verify_result(ssl);

	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH: put_misfit(ssl, false, out); return;
	case X509_V_ERR_IP_ADDRESS_MISMATCH: put_misfit(ssl, true, out); return;
	default: break;
	}
	snprintf(out, TLS_REASON_MAX, "its certificate is not trusted: %s",
	         X509_verify_cert_error_string(result));
}

/* The other side's last word (RFC 8446, 6.2). OpenSSL says "tlsv13 alert certificate required", with a
 * version that tells nothing. */
static void put_alert(const char *text, char out[TLS_REASON_MAX])
{
	static const char mark[] = " alert ";
	const char *alert = strstr(text, mark);

	snprintf(out, TLS_REASON_MAX, "it refuses: %s", alert != NULL ? alert + strlen(mark) : text);
}

void tls_reason_of(const SSL *ssl, char out[TLS_REASON_MAX])
{
	unsigned long error = ERR_peek_last_error();
	int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;

	ERR_clear_error();
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		put_distrust(ssl, out);
	else if (reason == SSL_R_WRONG_VERSION_NUMBER)
		snprintf(out, TLS_REASON_MAX, "it does not speak TLS");
	else if (reason >= SSL_AD_REASON_OFFSET)
		put_alert(text_of(error), out);
	else
		snprintf(out, TLS_REASON_MAX, "%s", text_of(error));
}
