/* What the tests of worker/net/tls.c stand on: a server, and a client that is OpenSSL. */
#pragma once

#include "config.h"
#include "tls.h"
#include "tls_bundle.h"
#include "tls_certs.h"
#include "tls_ends.h"

enum { TIMEOUT_MS = 5000, LIMIT = 3 };

static struct {
	struct config config;
	struct tls_server *server;
	SSL_CTX *client_context;
	unsigned writable;
} w;

static void on_writable(struct stream *s)
{
	w.writable++;
}

static const struct stream_events events = {on_readable, on_writable};

static void open_streams(struct stream *s, int *peer)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*peer = fds[1];
	stream_init(s, t.loop, &events);
	assert_true(tls_accept(w.server, s, fds[0]));
}

static void open_client(void)
{
	t.far = SSL_new(w.client_context);
	SSL_set_bio(t.far, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(t.far);
}

static void open_connection(void)
{
	forget_ends();
	w.writable = 0;
	open_streams(&t.stream, &t.peer);
	open_client();
}

static void close_connection(void)
{
	stream_close(&t.stream, false);
	SSL_set_shutdown(t.far, SSL_SENT_SHUTDOWN); /* else its session would count as broken */
	SSL_free(t.far);
	close(t.peer);
}

static void reopen(void)
{
	close_connection();
	open_connection();
}

static struct tls_server *new_server(void)
{
	struct buf errors = {.max = 1000};
	struct tls_bundle *bundle = tls_bundle_read(&w.config, &errors);
	struct tls_server *server = bundle != NULL ? tls_server_new(&w.config, bundle, &errors) : NULL;

	tls_bundle_free(&bundle);
	buf_free(&errors);
	return server;
}

static int set_up(void **state)
{
	memset(&t, 0, sizeof(t));
	memset(&w, 0, sizeof(w));
	clock_freeze(START_MS, START_MS);
	w.config.tls.cert_pem_file = cert_file;
	w.config.tls.handshake_timeout_ms = TIMEOUT_MS;
	w.config.tls.handshake_limit = LIMIT;
	t.loop = loop_new();
	w.server = new_server();
	w.client_context = SSL_CTX_new(TLS_client_method());
	if (w.server == NULL || w.client_context == NULL)
		return -1;
	open_connection();
	return 0;
}

static int tear_down(void **state)
{
	close_connection();
	SSL_CTX_free(w.client_context);
	tls_server_free(&w.server);
	loop_free(&t.loop);
	return 0;
}

static void expect_hello(void)
{
	assert_int_equal(t.heard_len, 5);
	assert_memory_equal(t.heard, "hello", 5);
}

static void greet(void)
{
	assert_int_equal(SSL_write(t.far, "hello", 5), 5);
	send_flight();
	expect_hello();
}

static void expect_error(int error)
{
	assert_int_equal(t.end, STREAM_ERROR);
	assert_int_equal(t.error, error);
	assert_false(stream_open(&t.stream));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
