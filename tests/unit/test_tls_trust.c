/* Whom a TLS client of ours trusts, for which host, and what it shows of itself. */
#include "tls_client_world.h"

/* A client that expects the host, and a connection of it. */
static void reopen_to(const char *host)
{
	close_connection();
	make_client(host);
	open_connection();
}

static void try_handshake(void)
{
	for (int i = 0; i < 10 && stream_open(&t.stream) && !far_step(); i++)
		send_flight();
	send_flight();
}

static void a_certificate_of_nobody_that_is_trusted_is_told(void **state)
{
	use_certificate("stranger.pem");
	reopen();
	try_handshake();
	expect_failure(EPROTO, "its certificate is not trusted: self-signed certificate");
}

static void a_certificate_whose_time_is_over_or_has_not_come_is_told(void **state)
{
	static const char *const names[][2] = {
		{"expired.pem", "its certificate is not trusted: certificate has expired"},
		{"early.pem", "its certificate is not trusted: certificate is not yet valid"},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		w.options.server_ca_pem_file = file(names[i][0]);
		use_certificate(names[i][0]);
		reopen_to("redis.example.com");
		try_handshake();
		expect_failure(EPROTO, names[i][1]);
	}
}

/* It makes no difference whether the client knows the host, or is told it with each connection. */
static bool is_taken_for(const char *host)
{
	bool early;

	reopen_to(host);
	try_handshake();
	early = w.connected;
	close_connection();
	make_client(NULL);
	w.late_host = host;
	open_connection();
	try_handshake();
	w.late_host = NULL;
	assert_int_equal(w.connected, early);
	return early;
}

static void the_certificate_must_be_for_the_host(void **state)
{
	assert_true(is_taken_for("redis.example.com"));
	assert_true(is_taken_for("REDIS.example.com"));
	assert_true(is_taken_for("a.wild.example.com"));
	assert_true(is_taken_for("10.1.2.3"));
	assert_true(is_taken_for("fe80::1"));
	assert_true(is_taken_for("fe80::1%eth0"));
	assert_false(is_taken_for("a.b.wild.example.com"));
	assert_false(is_taken_for("10.1.2.4"));
	expect_failure(EPROTO, "its certificate is for another name than 10.1.2.4");
	assert_false(is_taken_for("elsewhere.example.com"));
	expect_failure(EPROTO, "its certificate is for another name than elsewhere.example.com");
	/* Its subject says so, but that is no name (RFC 9525, 2). */
	assert_false(is_taken_for("common.example.com"));
	/* A name that looks like one of the addresses. */
	assert_false(is_taken_for("example.com"));
}

static void the_name_may_be_another_than_the_host(void **state)
{
	w.options.server_name = (char *)"redis.example.com";
	assert_true(is_taken_for("10.9.9.9"));
	w.options.server_name = (char *)"elsewhere.example.com";
	assert_false(is_taken_for("redis.example.com"));
	w.options.server_name = (char *)"10.1.2.3";
	assert_true(is_taken_for("elsewhere.example.com"));
}

static void who_asked_for_it_trusts_everybody(void **state)
{
	w.options.insecure_skip_verify = true;
	use_certificate("stranger.pem");
	assert_true(is_taken_for("elsewhere.example.com"));
	use_certificate("expired.pem");
	assert_true(is_taken_for("10.9.9.9"));
	greet();
}

static void only_names_are_asked_for(void **state)
{
	assert_true(is_taken_for("redis.example.com"));
	assert_string_equal(SSL_get_servername(t.far, TLSEXT_NAMETYPE_host_name), "redis.example.com");
	assert_true(is_taken_for("10.1.2.3"));
	assert_null(SSL_get_servername(t.far, TLSEXT_NAMETYPE_host_name));
}

/* In TLS 1.3 the handshake is over for us before the server has seen our certificate. */
static void a_server_that_misses_our_certificate_is_told(void **state)
{
	SSL_CTX_set_verify(w.server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	reopen();
	try_handshake();
	far_step();
	send_flight();
	assert_true(w.connected);
	assert_int_equal(t.end, STREAM_ERROR);
	assert_int_equal(t.error, EPROTO);
	assert_string_equal(t.reason, "it refuses: certificate required");
	SSL_CTX_set_max_proto_version(w.server_context, TLS1_2_VERSION);
	reopen();
	try_handshake();
	far_step();
	send_flight();
	expect_failure(EPROTO, "it refuses: handshake failure");
}

static void our_certificate_is_shown(void **state)
{
	X509 *shown;

	SSL_CTX_set_verify(w.server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	assert_int_equal(SSL_CTX_load_verify_file(w.server_context, file("user.pem")), 1);
	w.options.cert_pem_file = file("user.pem");
	reopen_to("redis.example.com");
	handshake();
	greet();
	shown = SSL_get1_peer_certificate(t.far);
	assert_non_null(shown);
	assert_int_equal(X509_check_host(shown, "user.example.com", 0, 0, NULL), 1);
	X509_free(shown);
}

static void what_files_do_not_hold_is_told_with_option_and_file(void **state)
{
	const struct {
		struct tls_client_options options;
		const char *option, *file, *what;
	} wrong[] = {
		{{.server_ca_pem_file = file("missing.pem")},
	         "server_ca_pem_file",
	         "missing.pem",
	         "No such file"},
		{{.server_ca_pem_file = file("empty.pem")},
	         "server_ca_pem_file",
	         "empty.pem",
	         "holds no certificate"},
		{{.cert_pem_file = file("missing.pem")}, "cert_pem_file", "missing.pem", "No such file"},
		{{.cert_pem_file = file("empty.pem")}, "cert_pem_file", "empty.pem", "holds no certificate"},
		{{.cert_pem_file = file("good.pem"), .key_pem_file = file("empty.pem")},
	         "key_pem_file",
	         "empty.pem",
	         "holds no private key"},
		{{.cert_pem_file = file("good.pem"), .key_pem_file = file("user.pem")},
	         "key_pem_file",
	         "user.pem",
	         "the key does not fit"},
	};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct buf errors;
		char told[256];

		buf_init(&errors, 1000);
		snprintf(told, sizeof(told), "redis.tls.%s: %s: %s", wrong[i].option, file(wrong[i].file),
		         wrong[i].what);
		assert_null(tls_client_new(&wrong[i].options, "redis.tls", "h", &errors));
		buf_putc(&errors, '\0');
		assert_ptr_equal(strstr(errors.data, told), errors.data);
		buf_free(&errors);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_certificate_of_nobody_that_is_trusted_is_told),
		TEST(a_certificate_whose_time_is_over_or_has_not_come_is_told),
		TEST(the_certificate_must_be_for_the_host),
		TEST(the_name_may_be_another_than_the_host),
		TEST(who_asked_for_it_trusts_everybody),
		TEST(only_names_are_asked_for),
		TEST(a_server_that_misses_our_certificate_is_told),
		TEST(our_certificate_is_shown),
		TEST(what_files_do_not_hold_is_told_with_option_and_file),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
