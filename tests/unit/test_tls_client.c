/* TLS on connections that we make, over a real socket and a loop turned by hand; the server is OpenSSL, with
 * what it sends and gets in the hands of the test. */
#include <netinet/in.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "address.h"
#include "bytes.h"
#include "tls_client.h"
#include "tls_ends.h"

enum { HOUR_S = 3600 };

static char dir[] = "/tmp/fanfare-tls-client-XXXXXX";

static struct {
	struct tls_client_options options;
	struct tls_client *client;
	const char *late_host; /* that it is told with the connection; NULL: it knows it */
	struct address address;
	int listener;
	SSL_CTX *server_context;
	/* of one connection */
	bool connected;
	int connect_error;
	unsigned told_connected;
} w;

/* --- certificates --- */

static const char *const files[] = {"good.pem", "stranger.pem", "expired.pem", "early.pem",
                                    "user.pem", "empty.pem",    "missing.pem", "socket"};

static char *file(const char *name)
{
	static char paths[ARRAY_LEN(files)][128];
	size_t i = 0;

	while (strcmp(files[i], name) != 0)
		assert_true(++i < ARRAY_LEN(files));
	snprintf(paths[i], sizeof(paths[i]), "%s/%s", dir, name);
	return paths[i];
}

/* Signed by itself, with its key in the same file. */
static void make_certificate(const char *name, const char *alt_names, long from_s, long to_s)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt_names);
	FILE *f = fopen(file(name), "w");

	assert_non_null(f);
	assert_non_null(names);
	X509_set_version(cert, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(cert), from_s);
	X509_gmtime_adj(X509_getm_notAfter(cert), to_s);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	                           (const unsigned char *)"common.example.com", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_add_ext(cert, names, -1);
	X509_set_pubkey(cert, key);
	X509_sign(cert, key, EVP_sha256());
	assert_int_equal(PEM_write_X509(f, cert), 1);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
	X509_EXTENSION_free(names);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* --- our side --- */

static void on_writable(struct stream *s)
{
	if (w.connected)
		return;
	w.told_connected++;
	w.connect_error = stream_connected(s);
	if (w.connect_error != 0) {
		note_error(s, w.connect_error);
		return;
	}
	w.connected = true;
	stream_want_read(s, true);
}

static const struct stream_events events = {on_readable, on_writable};

static void use_certificate(const char *name)
{
	assert_int_equal(SSL_CTX_use_certificate_file(w.server_context, file(name), SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(w.server_context, file(name), SSL_FILETYPE_PEM), 1);
}

/* --- a connection --- */

static void make_client(const char *host)
{
	struct buf errors = {.max = 1000};

	tls_client_free(&w.client);
	w.client = tls_client_new(&w.options, "redis.tls", host, &errors);
	assert_int_equal(errors.len, 0);
	assert_non_null(w.client);
}

static void open_connection(void)
{
	forget_ends();
	w.told_connected = 0;
	w.connected = false;
	w.connect_error = 0;
	stream_init(&t.stream, t.loop, &events);
	assert_true(tls_connect(w.client, &t.stream, &w.address, w.late_host));
	settle();
	t.peer = accept4(w.listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(t.peer >= 0);
	settle();
	t.far = SSL_new(w.server_context);
	SSL_set_bio(t.far, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_accept_state(t.far);
}

static void close_connection(void)
{
	stream_close(&t.stream, false);
	SSL_free(t.far);
	close(t.peer);
}

static void reopen(void)
{
	close_connection();
	open_connection();
}

/* A client that expects the host, and a connection of it. */
static void reopen_to(const char *host)
{
	close_connection();
	make_client(host);
	open_connection();
}

static int set_up(void **state)
{
	char text[160];
	const char *reason;

	memset(&t, 0, sizeof(t));
	memset(&w, 0, sizeof(w));
	clock_freeze(START_MS, START_MS);
	t.loop = loop_new();
	snprintf(text, sizeof(text), "unix:%s", file("socket"));
	assert_true(address_parse(text, &w.address, &reason));
	unlink(file("socket"));
	w.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(w.listener, &w.address.sa.any, w.address.len) < 0 || listen(w.listener, 8) < 0)
		return -1;
	w.options.server_ca_pem_file = file("good.pem");
	make_client("redis.example.com");
	w.server_context = SSL_CTX_new(TLS_server_method());
	use_certificate("good.pem");
	open_connection();
	return 0;
}

static int tear_down(void **state)
{
	close_connection();
	SSL_CTX_free(w.server_context);
	tls_client_free(&w.client);
	loop_free(&t.loop);
	close(w.listener);
	return 0;
}

static void write_all(const char *data, size_t len)
{
	struct iovec iov = {(void *)data, len};

	assert_int_equal(stream_writev(&t.stream, &iov, 1), len);
}

static void greet(void)
{
	char got[16];

	assert_int_equal(SSL_write(t.far, "hello", 5), 5);
	send_flight();
	assert_int_equal(t.heard_len, 5);
	assert_memory_equal(t.heard, "hello", 5);
	t.heard_len = 0;
	write_all("answer", 6);
	assert_int_equal(far_read(got, sizeof(got)), 6);
	assert_memory_equal(got, "answer", 6);
}

/* --- the handshake --- */

static void expect_hello(void)
{
	pass_time(2 * TIMER_TICK_MS);
	assert_int_equal(w.told_connected, 1);
	assert_int_equal(t.heard_len, 5);
	assert_memory_equal(t.heard, "hello", 5);
}

static void a_handshake_may_come_in_any_pieces_and_data_right_behind_it_is_not_lost(void **state)
{
	cut_everywhere(reopen, expect_hello);
}

static void so_may_one_of_tls_1_2(void **state)
{
	SSL_CTX_set_max_proto_version(w.server_context, TLS1_2_VERSION);
	reopen();
	cut_everywhere(reopen, expect_hello);
}

static void tls_1_1_is_not_spoken(void **state)
{
	SSL_CTX_set_cipher_list(w.server_context, "ALL:@SECLEVEL=0");
	SSL_CTX_set_min_proto_version(w.server_context, TLS1_1_VERSION);
	SSL_CTX_set_max_proto_version(w.server_context, TLS1_1_VERSION);
	reopen();
	assert_false(far_step());
	send_flight();
	assert_int_equal(w.connect_error, EPROTO);
}

static void until_the_handshake_is_done_nothing_is_read_written_or_told(void **state)
{
	struct iovec iov = {(char *)"x", 1};
	char none[10];

	assert_int_equal(stream_read(&t.stream, none, sizeof(none)), STREAM_AGAIN);
	assert_int_equal(stream_writev(&t.stream, &iov, 1), STREAM_AGAIN);
	settle();
	assert_int_equal(w.told_connected, 0);
	assert_non_null(strstr(stream_reason(&t.stream), "no answer to the TLS handshake"));
	handshake();
	assert_int_equal(w.told_connected, 1);
	greet();
}

static void it_may_be_closed_at_any_time(void **state)
{
	reopen();
	far_step();
	send_flight();
	reopen();
	handshake();
	reopen();
}

/* --- what does not work out --- */

static void expect_failure(int error, const char *reason)
{
	assert_int_equal(w.told_connected, 1);
	assert_int_equal(w.connect_error, error);
	if (strstr(t.reason, reason) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", reason, t.reason);
	assert_false(stream_open(&t.stream));
}

static void try_handshake(void)
{
	for (int i = 0; i < 10 && stream_open(&t.stream) && !far_step(); i++)
		send_flight();
	send_flight();
}

static void what_does_not_speak_tls_is_told(void **state)
{
	send_bytes("-ERR unknown command\r\n", 22);
	expect_failure(EPROTO, "it does not speak TLS");
}

static void a_server_that_leaves_within_the_handshake_is_told(void **state)
{
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	settle();
	expect_failure(ECONNRESET, "the peer hung up");
}

static void nobody_there_is_told(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct address nobody = {.len = sizeof(nobody.sa)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct stream s;

	/* Bound, so that it is nobody else's, but not listening. */
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, &nobody.sa.any, &nobody.len), 0);
	stream_init(&s, t.loop, &events);
	assert_true(tls_connect(w.client, &s, &nobody, NULL));
	while (w.told_connected == 0)
		ev_run(loop_ev(t.loop), EVRUN_ONCE);
	assert_false(stream_open(&s));
	assert_int_equal(w.connect_error, ECONNREFUSED);
	assert_string_equal(t.reason, "Connection refused");
	close(fd);
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

/* --- data --- */

static void a_socket_that_takes_little_at_a_time_gets_everything_once(void **state)
{
	static char data[300000], got[sizeof(data)];
	size_t sent = 0, read = 0;
	unsigned stops = 0;
	int size = 1;

	fill(data, sizeof(data));
	handshake();
	assert_int_equal(setsockopt(stream_fd(&t.stream), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	while (sent < sizeof(data)) {
		struct iovec iov = {data + sent, sizeof(data) - sent};
		ssize_t n = stream_writev(&t.stream, &iov, 1);

		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		assert_int_equal(n, STREAM_AGAIN);
		stops++;
		read += far_read(got + read, sizeof(got) - read);
	}
	read += far_read(got + read, sizeof(got) - read);
	assert_true(stops > 5);
	assert_int_equal(read, sizeof(data));
	assert_memory_equal(got, data, sizeof(data));
}

static void a_long_answer_is_heard_whole_by_who_reads_little_at_a_time(void **state)
{
	static char data[200000], flight[2 * sizeof(data)];
	size_t len;

	fill(data, sizeof(data));
	handshake();
	t.room = 700;
	assert_int_equal(SSL_write(t.far, data, sizeof(data)), sizeof(data));
	len = take_flight(flight, sizeof(flight));
	for (size_t at = 0; at < len; at += 3001)
		send_bytes(flight + at, at + 3001 < len ? 3001 : len - at);
	for (int i = 0; i < 1000 && t.heard_len < sizeof(data); i++)
		pass_time(2 * TIMER_TICK_MS);
	assert_int_equal(t.heard_len, sizeof(data));
	assert_memory_equal(t.heard, data, sizeof(data));
}

static void key_updates_are_answered(void **state)
{
	handshake();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(SSL_key_update(t.far, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(t.far), 1);
		send_flight();
		greet();
	}
}

/* Redis says no goodbye when it is killed, and when it kills a connection. */
static void the_end_is_the_end_with_or_without_a_word(void **state)
{
	for (int word = 0; word < 2; word++) {
		if (word > 0)
			reopen();
		handshake();
		assert_int_equal(SSL_write(t.far, "last", 4), 4);
		if (word > 0)
			SSL_shutdown(t.far);
		send_flight();
		assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
		pass_time(2 * TIMER_TICK_MS);
		assert_int_equal(t.heard_len, 4);
		assert_int_equal(t.end, 0);
	}
}

static void writing_to_a_server_that_is_gone_is_an_error_and_no_signal(void **state)
{
	struct iovec iov = {(char *)"x", 1};

	handshake();
	close(t.peer);
	assert_int_equal(stream_writev(&t.stream, &iov, 1), STREAM_ERROR);
	assert_int_equal(errno, EPIPE);
	assert_string_equal(stream_reason(&t.stream), "Broken pipe");
	t.peer = dup(STDERR_FILENO);
}

/* --- files --- */

static int make_files(void **state)
{
	static const char names[] = "DNS:redis.example.com,DNS:*.wild.example.com,IP:10.1.2.3,IP:fe80::1";

	if (mkdtemp(dir) == NULL)
		return -1;
	make_certificate("good.pem", names, -HOUR_S, HOUR_S);
	make_certificate("stranger.pem", names, -HOUR_S, HOUR_S);
	make_certificate("expired.pem", names, -2 * HOUR_S, -HOUR_S);
	make_certificate("early.pem", names, HOUR_S, 2 * HOUR_S);
	make_certificate("user.pem", "DNS:user.example.com", -HOUR_S, HOUR_S);
	fclose(fopen(file("empty.pem"), "w"));
	return 0;
}

static int remove_files(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		unlink(file(files[i]));
	return rmdir(dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_handshake_may_come_in_any_pieces_and_data_right_behind_it_is_not_lost),
		TEST(so_may_one_of_tls_1_2),
		TEST(tls_1_1_is_not_spoken),
		TEST(until_the_handshake_is_done_nothing_is_read_written_or_told),
		TEST(it_may_be_closed_at_any_time),
		TEST(what_does_not_speak_tls_is_told),
		TEST(a_server_that_leaves_within_the_handshake_is_told),
		TEST(nobody_there_is_told),
		TEST(a_certificate_of_nobody_that_is_trusted_is_told),
		TEST(a_certificate_whose_time_is_over_or_has_not_come_is_told),
		TEST(the_certificate_must_be_for_the_host),
		TEST(the_name_may_be_another_than_the_host),
		TEST(who_asked_for_it_trusts_everybody),
		TEST(only_names_are_asked_for),
		TEST(a_server_that_misses_our_certificate_is_told),
		TEST(our_certificate_is_shown),
		TEST(what_files_do_not_hold_is_told_with_option_and_file),
		TEST(a_socket_that_takes_little_at_a_time_gets_everything_once),
		TEST(a_long_answer_is_heard_whole_by_who_reads_little_at_a_time),
		TEST(key_updates_are_answered),
		TEST(the_end_is_the_end_with_or_without_a_word),
		TEST(writing_to_a_server_that_is_gone_is_an_error_and_no_signal),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
