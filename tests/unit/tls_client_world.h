/* What the tests of worker/net/tls_client.c stand on: a client, a server that is OpenSSL behind a real
 * socket, and certificates for both, made for the run. */
#pragma once

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

/* --- the server --- */

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

/* --- what comes of it --- */

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

static void expect_failure(int error, const char *reason)
{
	assert_int_equal(w.told_connected, 1);
	assert_int_equal(w.connect_error, error);
	if (strstr(t.reason, reason) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", reason, t.reason);
	assert_false(stream_open(&t.stream));
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
