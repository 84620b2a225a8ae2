/* What outlives a connection of TLS: tickets, new files while connections stand, what is told of them. */
#include <time.h>

#include "mem.h"
#include "tls_tickets.h"
#include "tls_world.h"

/* --- tickets --- */

static SSL_SESSION *ticket;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION_free(ticket);
	ticket = session;
	return 1;
}

static bool is_resumed_after(uint64_t seconds)
{
	char none[10];

	pass_time(seconds * 1000);
	reopen();
	assert_int_equal(SSL_set_session(t.far, ticket), 1);
	handshake();
	far_read(none, sizeof(none));
	return SSL_session_reused(t.far);
}

static void tickets_are_taken_for_one_more_period_than_their_own(void **state)
{
	char none[10];

	SSL_CTX_set_session_cache_mode(w.client_context, SSL_SESS_CACHE_CLIENT);
	for (uint64_t periods = 0; periods < 4; periods++) {
		SSL_CTX_sess_set_new_cb(w.client_context, on_ticket);
		reopen();
		handshake();
		far_read(none, sizeof(none));
		SSL_CTX_sess_set_new_cb(w.client_context, NULL);
		assert_int_equal(is_resumed_after(periods * TLS_TICKET_PERIOD_S), periods < 2);
	}
	SSL_SESSION_free(ticket);
}

static void a_ticket_of_another_server_is_not_taken_but_a_handshake_is_made(void **state)
{
	char none[10];

	SSL_CTX_set_session_cache_mode(w.client_context, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(w.client_context, on_ticket);
	ticket = NULL;
	handshake();
	far_read(none, sizeof(none));
	SSL_CTX_sess_set_new_cb(w.client_context, NULL);
	close_connection();
	tls_server_free(&w.server);
	w.server = new_server();
	open_connection();
	assert_false(is_resumed_after(0));
	greet();
	SSL_SESSION_free(ticket);
}

/* --- new files --- */

static bool load(struct buf *errors)
{
	struct tls_bundle *bundle = tls_bundle_read(&w.config, errors);
	bool ok = bundle != NULL && tls_server_load(w.server, bundle, errors);

	tls_bundle_free(&bundle);
	return ok;
}

static void load_well(char *cert)
{
	struct buf errors = {.max = 1000};

	w.config.tls.cert_pem_file = cert;
	assert_true(load(&errors));
	assert_int_equal(errors.len, 0);
}

static void expect_shown(const char *name)
{
	char shown[64];

	X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(t.far)), NID_commonName,
	                          shown, sizeof(shown));
	assert_string_equal(shown, name);
}

/* The first flight of the client comes before or after. */
static void load_within_a_handshake(bool has_begun)
{
	if (has_begun) {
		far_step();
		send_flight();
	}
	load_well(other_cert_file);
	handshake();
	expect_shown("first");
	greet();
}

static void connections_live_on_with_the_files_they_began_with(void **state)
{
	handshake();
	load_well(other_cert_file);
	greet();
	expect_shown("first");
	reopen();
	handshake();
	expect_shown("other");
	greet();
}

static void so_do_handshakes(void **state)
{
	for (int has_begun = 0; has_begun < 2; has_begun++) {
		load_well(cert_file);
		reopen();
		load_within_a_handshake(has_begun);
	}
}

static void a_connection_may_live_on_after_many_loads(void **state)
{
	handshake();
	for (int i = 0; i < 100; i++)
		load_well(i % 2 == 0 ? other_cert_file : cert_file);
	greet();
}

static void files_that_cannot_be_used_change_nothing(void **state)
{
	char *cases[][3] = {
		{junk_file, NULL, (char *)"tls.cert_pem_file: %s: holds no certificate in PEM"},
		{cert_file, junk_file, (char *)"tls.key_pem_file: %s: holds no private key"},
		{cert_file, other_cert_file, (char *)"tls.key_pem_file: %s: the key does not fit"},
		{weak_cert_file, NULL, (char *)"tls.cert_pem_file: %s: holds a certificate with a key too"},
	};

	load_well(other_cert_file);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf errors = {.max = 1000};
		const char *named = cases[i][1] != NULL ? cases[i][1] : cases[i][0];
		char *told = strstr(cases[i][2], "%s"), *text;

		w.config.tls.cert_pem_file = cases[i][0];
		w.config.tls.key_pem_file = cases[i][1];
		assert_false(load(&errors));
		buf_putc(&errors, '\0');
		text = mem_printf("%.*s%s%s", (int)(told - cases[i][2]), cases[i][2], named, told + 2);
		assert_memory_equal(errors.data, text, strlen(text));
		mem_free(text);
		buf_free(&errors);
		reopen();
		handshake();
		expect_shown("other");
	}
}

static void take_ticket(void)
{
	char none[10];

	SSL_CTX_set_session_cache_mode(w.client_context, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(w.client_context, on_ticket);
	ticket = NULL;
	reopen();
	handshake();
	far_read(none, sizeof(none));
	greet();
	SSL_CTX_sess_set_new_cb(w.client_context, NULL);
	assert_non_null(ticket);
	assert_int_equal(SSL_SESSION_get_max_early_data(ticket), 0);
}

static bool is_resumed(void)
{
	SSL_SESSION *session = ticket;
	bool resumed;

	ticket = SSL_SESSION_dup(session); /* OpenSSL's client does not use one of TLS 1.3 twice */
	resumed = is_resumed_after(0);
	SSL_SESSION_free(ticket);
	ticket = session;
	greet();
	return resumed;
}

static void tickets_outlive_a_load(void **state)
{
	take_ticket();
	load_well(other_cert_file);
	assert_true(is_resumed());
	SSL_SESSION_free(ticket);
}

static void show_client_certificate(void)
{
	assert_int_equal(SSL_CTX_use_certificate_chain_file(w.client_context, cert_file), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(w.client_context, cert_file, SSL_FILETYPE_PEM), 1);
}

/* Who could resume would not be asked for his certificate, or for one of the new authorities. */
static void a_session_does_not_get_around_other_authorities_of_clients(void **state)
{
	show_client_certificate();
	take_ticket();
	assert_true(is_resumed());
	w.config.tls.client_ca_pem_file = cert_file;
	load_well(cert_file);
	assert_false(is_resumed());
	SSL_SESSION_free(ticket);

	take_ticket();
	assert_true(is_resumed());
	load_well(other_cert_file);
	assert_true(is_resumed());
	w.config.tls.client_ca_pem_file = both_cas_file;
	load_well(cert_file);
	assert_false(is_resumed());
	w.config.tls.client_ca_pem_file = NULL;
	load_well(cert_file);
	assert_false(is_resumed());
	SSL_SESSION_free(ticket);
}

static void nor_in_tls_1_2(void **state)
{
	SSL_CTX_set_max_proto_version(w.client_context, TLS1_2_VERSION);
	a_session_does_not_get_around_other_authorities_of_clients(state);
}

static void ask_for(const char *name)
{
	reopen();
	if (name != NULL)
		SSL_set_tlsext_host_name(t.far, name);
}

/* A client that is not one of theirs gets as far as nowhere, whatever name it asks for. */
static void every_name_wants_the_certificate_of_the_client(void **state)
{
	char *more[] = {other_cert_file};

	w.config.tls.client_ca_pem_file = cert_file;
	w.config.tls.sni_pem_files = (struct strings){more, 1};
	load_well(cert_file);
	for (int i = 0; i < 2; i++) {
		ask_for(i > 0 ? "other" : NULL);
		for (int step = 0; step < 10 && t.end == 1; step++) {
			far_step();
			send_flight();
		}
		expect_error(EPROTO);
	}
	show_client_certificate();
	for (int i = 0; i < 2; i++) {
		ask_for(i > 0 ? "other" : NULL);
		handshake();
		expect_shown(i > 0 ? "other" : "first");
		greet();
	}
}

/* OpenSSL itself looks at the clock of the machine, which the test cannot set. */
static void a_session_ends_with_the_certificate_of_the_client(void **state)
{
	uint64_t now_ms = (uint64_t)time(NULL) * 1000;

	clock_freeze(START_MS, now_ms);
	show_client_certificate();
	w.config.tls.client_ca_pem_file = cert_file;
	load_well(cert_file);
	take_ticket();
	clock_freeze(START_MS, now_ms + (CERT_LIFE_S - 100) * 1000ull);
	assert_true(is_resumed());
	clock_freeze(START_MS, now_ms + (CERT_LIFE_S + 100) * 1000ull);
	assert_false(is_resumed());
	SSL_SESSION_free(ticket);
}

static void a_list_of_revoked_certificates_is_not_ignored_in_silence(void **state)
{
	struct buf errors = {.max = 1000};

	w.config.tls.client_ca_pem_file = crl_file;
	assert_false(load(&errors));
	buf_putc(&errors, '\0');
	assert_non_null(strstr(errors.data, "tls.client_ca_pem_file"));
	assert_non_null(strstr(errors.data, "holds a list of revoked certificates"));
	buf_free(&errors);
}

/* --- what people are told --- */

static char told[2000];

static void tell(bool is_warning, const char *line)
{
	size_t len = strlen(told);

	snprintf(told + len, sizeof(told) - len, "%s%s\n", is_warning ? "warning: " : "", line);
}

static void expect_told(const char *first_date, int64_t now_s, const char *warning)
{
	char *text;

	clock_freeze(START_MS, (uint64_t)now_s * 1000);
	told[0] = '\0';
	tls_server_describe(w.server, tell);
	text = mem_printf("tls.cert_pem_file: %s: CN=other, valid until %s\n", other_cert_file, first_date);
	if (warning != NULL) {
		char *more = mem_printf("%swarning: tls.cert_pem_file: %s: the certificate %s\n", text,
		                        other_cert_file, warning);

		mem_free(text);
		text = more;
	}
	assert_string_equal(told, text);
	mem_free(text);
}

static void certificates_are_described_with_what_is_wrong_with_their_time(void **state)
{
	enum { DAY = 86400 };

	load_well(other_cert_file);
	expect_told("2040-01-31 00:00:00 UTC", OTHER_END_S - 14 * DAY, NULL);
	expect_told("2040-01-31 00:00:00 UTC", OTHER_END_S - 14 * DAY + 1,
	            "expires soon: 2040-01-31 00:00:00 UTC");
	expect_told("2040-01-31 00:00:00 UTC", OTHER_END_S - 1, "expires soon: 2040-01-31 00:00:00 UTC");
	expect_told("2040-01-31 00:00:00 UTC", OTHER_END_S, "has expired: 2040-01-31 00:00:00 UTC");
	expect_told("2040-01-31 00:00:00 UTC", OTHER_BEGIN_S, NULL);
	expect_told("2040-01-31 00:00:00 UTC", OTHER_BEGIN_S - 1,
	            "is not valid before 2020-01-31 00:00:00 UTC");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tickets_are_taken_for_one_more_period_than_their_own),
		TEST(a_ticket_of_another_server_is_not_taken_but_a_handshake_is_made),
		TEST(connections_live_on_with_the_files_they_began_with),
		TEST(so_do_handshakes),
		TEST(a_connection_may_live_on_after_many_loads),
		TEST(files_that_cannot_be_used_change_nothing),
		TEST(tickets_outlive_a_load),
		TEST(a_session_does_not_get_around_other_authorities_of_clients),
		TEST(nor_in_tls_1_2),
		TEST(every_name_wants_the_certificate_of_the_client),
		TEST(a_session_ends_with_the_certificate_of_the_client),
		TEST(a_list_of_revoked_certificates_is_not_ignored_in_silence),
		TEST(certificates_are_described_with_what_is_wrong_with_their_time),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
