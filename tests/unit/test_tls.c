/* TLS as a stream, over a socket pair and a real loop turned by hand; the client is OpenSSL, with what it
 * sends and gets in the hands of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <ev.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"
#include "clock.h"
#include "log.h"
#include "loop.h"
#include "mem.h"
#include "stream.h"
#include "tls.h"
#include "tls_tickets.h"

enum { START_MS = 1000000, TIMEOUT_MS = 5000, LIMIT = 3, ROOM = 1 << 20, RECORD_DATA = 23, PATH_LEN = 64 };
/* Of the certificates: of the first one, which begins an hour ago, and of the other. */
enum { CERT_LIFE_S = 3600, OTHER_BEGIN_S = 1580428800 };
static const int64_t OTHER_END_S = 2211580800;

static char dir[] = "/tmp/fanfare-tls-XXXXXX";
static char cert_file[PATH_LEN], other_cert_file[PATH_LEN], weak_cert_file[PATH_LEN], crl_file[PATH_LEN],
	both_cas_file[PATH_LEN], junk_file[PATH_LEN];

static struct {
	struct config config;
	struct loop *loop;
	struct tls_server *server;
	SSL_CTX *client_context;
	/* of one connection */
	struct stream stream;
	SSL *client;
	int peer;    /* the client's end */
	size_t room; /* how much the owner reads at a time */
	unsigned readable, writable;
	ssize_t end; /* what the last read said that brought nothing: 0 or STREAM_ERROR */
	int error;   /* errno with STREAM_ERROR */
	char heard[ROOM];
	size_t heard_len;
	char wire[ROOM]; /* what came to the client, encrypted */
	size_t wire_len;
} t;

/* --- the server's side --- */

static void on_readable(struct stream *s)
{
	ssize_t n = stream_read(s, t.heard + t.heard_len, t.room);

	t.readable++;
	if (n > 0)
		t.heard_len += (size_t)n;
	else if (n != STREAM_AGAIN)
		t.end = n;
	if (n == STREAM_ERROR) {
		t.error = errno;
		stream_close(s, false);
	} else if (n == 0) {
		stream_want_read(s, false);
	}
}

static void on_writable(struct stream *s)
{
	t.writable++;
}

static const struct stream_events events = {on_readable, on_writable};

static void settle(void)
{
	for (int i = 0; i < 10; i++)
		ev_run(loop_ev(t.loop), EVRUN_NOWAIT);
}

static void pass_time(uint64_t ms)
{
	clock_freeze(clock_ms() + ms, clock_unix_ms() + ms);
	settle();
}

/* --- the client's side --- */

/* What the client has to send. */
static size_t take_flight(char *out, size_t max)
{
	int n = BIO_read(SSL_get_wbio(t.client), out, (int)max);

	return n > 0 ? (size_t)n : 0;
}

static void send_bytes(const char *data, size_t len)
{
	if (len > 0)
		assert_int_equal(send(t.peer, data, len, MSG_NOSIGNAL), len);
	settle();
}

static void send_flight(void)
{
	char data[65536];

	send_bytes(data, take_flight(data, sizeof(data)));
}

static void hear(void)
{
	ssize_t n;

	while ((n = recv(t.peer, t.wire + t.wire_len, sizeof(t.wire) - t.wire_len, MSG_DONTWAIT)) > 0) {
		assert_int_equal(BIO_write(SSL_get_rbio(t.client), t.wire + t.wire_len, (int)n), n);
		t.wire_len += (size_t)n;
	}
}

static bool client_step(void)
{
	hear();
	return SSL_do_handshake(t.client) == 1;
}

static void handshake(void)
{
	for (int i = 0; i < 10 && !client_step(); i++)
		send_flight();
	send_flight();
	assert_true(SSL_is_init_finished(t.client));
}

static size_t client_read(char *out, size_t max)
{
	size_t total = 0;
	int n;

	hear();
	while (total < max && (n = SSL_read(t.client, out + total, (int)(max - total))) > 0)
		total += (size_t)n;
	return total;
}

/* Records of data among what came since the last question. */
static unsigned data_records(void)
{
	unsigned count = 0;

	hear();
	for (size_t at = 0; at + 5 <= t.wire_len;) {
		count += t.wire[at] == RECORD_DATA;
		at += 5 + ((size_t)(unsigned char)t.wire[at + 3] << 8 | (unsigned char)t.wire[at + 4]);
	}
	t.wire_len = 0;
	return count;
}

static void forget_wire(void)
{
	char none[16];

	client_read(none, sizeof(none));
	t.wire_len = 0;
}

/* --- a connection --- */

static void open_streams(struct stream *s, int *peer)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*peer = fds[1];
	stream_init(s, t.loop, &events);
	assert_true(tls_accept(t.server, s, fds[0]));
}

static void open_client(void)
{
	t.client = SSL_new(t.client_context);
	SSL_set_bio(t.client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(t.client);
}

static void open_connection(void)
{
	t.heard_len = t.wire_len = 0;
	t.readable = t.writable = 0;
	t.end = 1;
	t.room = 65536;
	open_streams(&t.stream, &t.peer);
	open_client();
}

static void close_connection(void)
{
	stream_close(&t.stream, false);
	SSL_set_shutdown(t.client, SSL_SENT_SHUTDOWN); /* else its session would count as broken */
	SSL_free(t.client);
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
	struct tls_bundle *bundle = tls_bundle_read(&t.config, &errors);
	struct tls_server *server = bundle != NULL ? tls_server_new(&t.config, bundle, &errors) : NULL;

	tls_bundle_free(&bundle);
	buf_free(&errors);
	return server;
}

static int set_up(void **state)
{
	memset(&t, 0, sizeof(t));
	clock_freeze(START_MS, START_MS);
	t.config.tls.cert_pem_file = cert_file;
	t.config.tls.handshake_timeout_ms = TIMEOUT_MS;
	t.config.tls.handshake_limit = LIMIT;
	t.loop = loop_new();
	t.server = new_server();
	t.client_context = SSL_CTX_new(TLS_client_method());
	if (t.server == NULL || t.client_context == NULL)
		return -1;
	open_connection();
	return 0;
}

static int tear_down(void **state)
{
	close_connection();
	SSL_CTX_free(t.client_context);
	tls_server_free(&t.server);
	loop_free(&t.loop);
	return 0;
}

/* --- the handshake --- */

static void greet(void)
{
	assert_int_equal(SSL_write(t.client, "hello", 5), 5);
	send_flight();
	assert_int_equal(t.heard_len, 5);
	assert_memory_equal(t.heard, "hello", 5);
}

/* Every flight of the client is cut at the place, if it is that long; data comes with the last. */
static size_t handshake_cut_at(size_t cut, size_t step)
{
	char flight[4096];
	size_t longest = 0;

	for (int i = 0; i < 10; i++) {
		bool done = client_step();
		size_t len, first;

		if (done)
			assert_int_equal(SSL_write(t.client, "hello", 5), 5);
		len = take_flight(flight, sizeof(flight));
		first = cut < len ? cut : len;
		send_bytes(flight, first);
		for (size_t at = first; at < len; at += step)
			send_bytes(flight + at, at + step < len ? step : len - at);
		longest = len > longest ? len : longest;
		if (done)
			break;
	}
	assert_int_equal(t.heard_len, 5);
	assert_memory_equal(t.heard, "hello", 5);
	return longest;
}

static void cut_everywhere(void)
{
	size_t longest = handshake_cut_at(0, 1);

	assert_true(longest > 100);
	for (size_t cut = 0; cut <= longest; cut++) {
		reopen();
		handshake_cut_at(cut, 4096);
	}
}

static void a_handshake_may_come_in_any_pieces_and_data_right_behind_it_is_not_lost(void **state)
{
	cut_everywhere();
}

static void so_may_one_of_tls_1_2(void **state)
{
	SSL_CTX_set_max_proto_version(t.client_context, TLS1_2_VERSION);
	reopen();
	cut_everywhere();
}

static void the_owner_who_reads_or_writes_before_the_handshake_is_told_to_wait(void **state)
{
	struct iovec iov = {(char *)"x", 1};
	char none[10];

	assert_int_equal(stream_read(&t.stream, none, sizeof(none)), STREAM_AGAIN);
	assert_int_equal(stream_writev(&t.stream, &iov, 1), STREAM_AGAIN);
	stream_want_write(&t.stream, true);
	settle();
	assert_int_equal(t.writable, 0);
	handshake();
	assert_int_equal(t.writable, 1);
	assert_int_equal(t.readable, 0);
}

static void expect_error(int error)
{
	assert_int_equal(t.end, STREAM_ERROR);
	assert_int_equal(t.error, error);
	assert_false(stream_open(&t.stream));
}

static void what_is_no_handshake_is_an_error(void **state)
{
	static const struct bytes garbage[] = {
		BYTES("GET / HTTP/1.1\r\n\r\n"),
		BYTES("\x16\x03\x01\xff\xff\x01"),
		BYTES("\x17\x03\x03\x00\x01x"),
		BYTES("\x15\x03\x01\x00\x02\x02\x28"),
		BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	};

	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		if (i > 0)
			reopen();
		send_bytes(garbage[i].ptr, garbage[i].len);
		expect_error(EPROTO);
	}
}

static void a_peer_that_leaves_within_the_handshake_is_an_error(void **state)
{
	client_step();
	send_flight();
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	settle();
	expect_error(ECONNRESET);
}

static void a_handshake_has_its_time_and_no_more(void **state)
{
	client_step();
	send_flight();
	pass_time(TIMEOUT_MS - 100);
	assert_int_equal(t.end, 1);
	pass_time(200);
	expect_error(ETIMEDOUT);
}

static void a_connection_that_is_established_has_no_deadline(void **state)
{
	handshake();
	pass_time(100 * TIMEOUT_MS);
	greet();
}

static void at_the_limit_the_oldest_handshake_gives_way(void **state)
{
	struct stream others[LIMIT];
	int peers[LIMIT];

	for (int i = 0; i < LIMIT; i++) {
		assert_int_equal(t.end, 1);
		open_streams(&others[i], &peers[i]);
	}
	expect_error(ETIMEDOUT);
	for (int i = 0; i < LIMIT; i++) {
		assert_true(stream_open(&others[i]));
		stream_close(&others[i], true);
		close(peers[i]);
	}
}

static void those_that_are_done_do_not_count_for_the_limit(void **state)
{
	struct stream others[LIMIT];
	int peers[LIMIT];

	handshake();
	for (int i = 0; i < LIMIT; i++)
		open_streams(&others[i], &peers[i]);
	for (int i = 0; i < LIMIT; i++) {
		assert_true(stream_open(&others[i]));
		stream_close(&others[i], true);
		close(peers[i]);
	}
	greet();
}

/* --- writing --- */

static void the_pieces_of_one_flush_are_one_record(void **state)
{
	struct iovec iov[20];
	char got[100];

	handshake();
	forget_wire();
	for (int i = 0; i < 20; i++)
		iov[i] = (struct iovec){(char *)"abcdefghijklmnopqrst" + i, 1};
	assert_int_equal(stream_writev(&t.stream, iov, 20), 20);
	assert_int_equal(data_records(), 1);
	assert_int_equal(client_read(got, sizeof(got)), 20);
	assert_memory_equal(got, "abcdefghijklmnopqrst", 20);
}

static void fill(char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 7 + i / 251);
}

static void a_long_flush_is_as_few_records_as_can_be(void **state)
{
	static char data[40000], got[sizeof(data)];
	size_t sent = 0, read = 0;
	unsigned records = 0;

	fill(data, sizeof(data));
	handshake();
	forget_wire();
	while (sent < sizeof(data)) {
		struct iovec iov[2] = {{data + sent, 1}, {data + sent + 1, sizeof(data) - sent - 1}};
		ssize_t n = stream_writev(&t.stream, iov, 2);

		assert_true(n > 0);
		sent += (size_t)n;
		records += data_records();
		read += client_read(got + read, sizeof(got) - read);
	}
	assert_int_equal(records, 3);
	assert_int_equal(read, sizeof(data));
	assert_memory_equal(got, data, sizeof(data));
}

static void shrink_socket(void)
{
	int size = 1;

	assert_int_equal(setsockopt(stream_fd(&t.stream), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

/* Offers all of it until the socket is full; returns what was taken. */
static size_t write_until_full(char *data, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		size_t half = (len - sent) / 2;
		struct iovec iov[2] = {{data + sent, half}, {data + sent + half, len - sent - half}};
		ssize_t n = stream_writev(&t.stream, iov, 2);

		if (n == STREAM_AGAIN)
			break;
		assert_true(n > 0);
		sent += (size_t)n;
	}
	return sent;
}

static void send_all_to_a_small_socket(void)
{
	static char data[300000], got[sizeof(data)];
	size_t sent = 0, read = 0;
	unsigned stops = 0;

	fill(data, sizeof(data));
	handshake();
	shrink_socket();
	while (sent < sizeof(data)) {
		size_t n = write_until_full(data + sent, sizeof(data) - sent);

		sent += n;
		if (sent == sizeof(data))
			break;
		stops++;
		t.writable = 0;
		stream_want_write(&t.stream, true);
		settle();
		assert_int_equal(t.writable, 0);
		t.wire_len = 0;
		read += client_read(got + read, sizeof(got) - read);
		settle();
		assert_int_equal(t.writable, 1);
		assert_false(stream_wants_write(&t.stream));
	}
	t.wire_len = 0;
	read += client_read(got + read, sizeof(got) - read);
	assert_true(stops > 5);
	assert_int_equal(read, sizeof(data));
	assert_memory_equal(got, data, sizeof(data));
}

static void a_socket_that_takes_little_at_a_time_gets_everything_once(void **state)
{
	send_all_to_a_small_socket();
}

/* What one call is given then makes several records, of which the first may be all that was made. */
static void so_does_a_client_that_asked_for_short_records(void **state)
{
	int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		SSL_CTX_set_max_proto_version(t.client_context, versions[i]);
		SSL_CTX_set_tlsext_max_fragment_length(t.client_context, TLSEXT_max_fragment_length_512);
		reopen();
		send_all_to_a_small_socket();
	}
}

/* So it is when a slow client is disconnected: of all that waits, only the frame that was begun is kept. */
static void what_is_dropped_behind_a_record_that_was_begun_leaves_the_stream_whole(void **state)
{
	static char data[300000], got[sizeof(data)];
	size_t sent, read = 0;

	fill(data, sizeof(data));
	handshake();
	shrink_socket();
	sent = write_until_full(data, sizeof(data));
	assert_true(sent < sizeof(data));
	read = client_read(got, sizeof(got));
	settle();
	/* Of what was offered, one byte more goes, and then something new. */
	while (true) {
		struct iovec iov[2] = {{data + sent, 1}, {(char *)"bye", 3}};
		ssize_t n = stream_writev(&t.stream, iov, 2);

		if (n == 1)
			break;
		assert_int_equal(n, STREAM_AGAIN);
		read += client_read(got + read, sizeof(got) - read);
	}
	read += client_read(got + read, sizeof(got) - read);
	assert_int_equal(read, sent + 1);
	assert_memory_equal(got, data, read);
	assert_int_equal(stream_writev(&t.stream, &(struct iovec){(char *)"bye", 3}, 1), 3);
	assert_int_equal(client_read(got, sizeof(got)), 3);
	assert_memory_equal(got, "bye", 3);
}

static void writing_to_a_peer_that_is_gone_is_an_error_and_no_signal(void **state)
{
	handshake();
	close(t.peer);
	assert_int_equal(stream_writev(&t.stream, &(struct iovec){(char *)"x", 1}, 1), STREAM_ERROR);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(stream_writev(&t.stream, &(struct iovec){(char *)"x", 1}, 1), STREAM_ERROR);
	t.peer = dup(STDERR_FILENO);
}

/* --- reading --- */

static void records_may_come_in_any_pieces(void **state)
{
	static char data[20000], flight[40000];
	size_t len;

	fill(data, sizeof(data));
	handshake();
	assert_int_equal(SSL_write(t.client, data, sizeof(data)), sizeof(data));
	len = take_flight(flight, sizeof(flight));
	for (size_t at = 0; at < len; at++)
		send_bytes(flight + at, 1);
	assert_int_equal(t.heard_len, sizeof(data));
	assert_memory_equal(t.heard, data, sizeof(data));
}

/* OpenSSL has all of it, the socket nothing any more: nobody would tell. */
static void an_owner_who_reads_little_at_a_time_hears_everything(void **state)
{
	handshake();
	t.room = 3;
	assert_int_equal(SSL_write(t.client, "hello, wor", 10), 10);
	assert_int_equal(SSL_write(t.client, "ld", 2), 2);
	send_flight();
	for (int i = 0; i < 10; i++)
		pass_time(2 * TIMER_TICK_MS);
	assert_int_equal(t.heard_len, 12);
	assert_memory_equal(t.heard, "hello, world", 12);
	assert_int_equal(t.readable, 4);
}

static void an_owner_who_stops_reading_hears_the_rest_when_he_goes_on(void **state)
{
	handshake();
	t.room = 3;
	assert_int_equal(SSL_write(t.client, "hello", 5), 5);
	send_flight();
	stream_want_read(&t.stream, false);
	for (int i = 0; i < 10; i++)
		pass_time(2 * TIMER_TICK_MS);
	assert_int_equal(t.heard_len, 3);
	assert_false(stream_wants_read(&t.stream));
	stream_want_read(&t.stream, true);
	pass_time(2 * TIMER_TICK_MS);
	assert_int_equal(t.heard_len, 5);
	assert_memory_equal(t.heard, "hello", 5);
}

static void a_record_that_was_tampered_with_is_an_error(void **state)
{
	char flight[100];
	size_t len;

	handshake();
	assert_int_equal(SSL_write(t.client, "hello", 5), 5);
	len = take_flight(flight, sizeof(flight));
	flight[len - 1] ^= 1;
	send_bytes(flight, len);
	expect_error(EPROTO);
	assert_int_equal(t.heard_len, 0);
}

static void key_updates_are_answered(void **state)
{
	char got[10];

	handshake();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(SSL_key_update(t.client, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(t.client), 1);
		send_flight();
		t.heard_len = 0;
		greet();
		assert_int_equal(stream_writev(&t.stream, &(struct iovec){(char *)"answer", 6}, 1), 6);
		assert_int_equal(client_read(got, sizeof(got)), 6);
	}
}

static int unread(void)
{
	int len;

	assert_int_equal(ioctl(stream_fd(&t.stream), FIONREAD, &len), 0);
	return len;
}

/* Nobody else would get a turn before it is over. */
static void who_sends_nothing_but_key_updates_gets_no_more_of_a_turn_than_others(void **state)
{
	static char flood[200000];
	size_t len;
	int left;

	handshake();
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(SSL_key_update(t.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(t.client), 1);
	}
	len = take_flight(flood, sizeof(flood));
	assert_true(len > 4 * 16384);
	assert_int_equal(send(t.peer, flood, len, MSG_NOSIGNAL), len);
	for (left = (int)len; left > 0; left = unread()) {
		int before = unread();

		ev_run(loop_ev(t.loop), EVRUN_NOWAIT);
		assert_in_range(before - unread(), 1, 20000);
	}
	greet();
}

/* --- the end --- */

static void the_end_of_the_client_is_the_end_of_the_stream_with_or_without_a_word(void **state)
{
	for (int word = 0; word < 2; word++) {
		if (word > 0)
			reopen();
		handshake();
		greet();
		if (word > 0)
			SSL_shutdown(t.client);
		send_flight();
		if (word == 0)
			assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
		settle();
		assert_int_equal(t.end, 0);
		/* The other way is still open. */
		assert_int_equal(stream_writev(&t.stream, &(struct iovec){(char *)"x", 1}, 1), 1);
	}
}

/* They may come in one piece. */
static void data_before_the_end_is_heard_and_then_the_end(void **state)
{
	handshake();
	assert_int_equal(SSL_write(t.client, "hello", 5), 5);
	SSL_shutdown(t.client);
	send_flight();
	pass_time(2 * TIMER_TICK_MS);
	assert_int_equal(t.heard_len, 5);
	assert_int_equal(t.end, 0);
}

/* The end that was found behind data is not told while nobody reads, and the socket does not tell it again.
 */
static void an_owner_who_stops_reading_before_the_end_hears_it_when_he_goes_on(void **state)
{
	for (int broken = 0; broken < 2; broken++) {
		if (broken)
			reopen();
		handshake();
		assert_int_equal(SSL_write(t.client, "hello", 5), 5);
		if (!broken)
			SSL_shutdown(t.client);
		else
			BIO_write(SSL_get_wbio(t.client), "\x17\x03\x03\0\1x", 6);
		send_flight();
		assert_int_equal(t.heard_len, 5);
		stream_want_read(&t.stream, false);
		pass_time(2 * TIMER_TICK_MS);
		assert_int_equal(t.end, 1);
		stream_want_read(&t.stream, true);
		pass_time(2 * TIMER_TICK_MS);
		assert_int_equal(t.end, broken ? STREAM_ERROR : 0);
	}
}

static bool client_sees_the_end(void)
{
	char none[10];

	hear();
	return SSL_read(t.client, none, sizeof(none)) <= 0 &&
	       (SSL_get_shutdown(t.client) & SSL_RECEIVED_SHUTDOWN) &&
	       recv(t.peer, none, 1, MSG_DONTWAIT) == 0;
}

static void after_a_shutdown_the_peer_reads_the_end_and_can_still_send(void **state)
{
	handshake();
	stream_shutdown(&t.stream);
	assert_true(client_sees_the_end());
	greet();
}

static void a_close_says_goodbye(void **state)
{
	handshake();
	stream_close(&t.stream, false);
	assert_true(client_sees_the_end());
}

static void a_goodbye_waits_for_a_full_socket(void **state)
{
	static char data[300000], got[sizeof(data)];
	size_t sent, read;

	handshake();
	shrink_socket();
	sent = write_until_full(data, sizeof(data));
	assert_true(sent < sizeof(data));
	stream_shutdown(&t.stream);
	read = client_read(got, sizeof(got));
	for (int i = 0; i < 1000 && !client_sees_the_end(); i++) {
		settle();
		read += client_read(got + read, sizeof(got) - read);
	}
	assert_true(client_sees_the_end());
	assert_int_equal(read, sent + 1);
}

/* --- what is spoken --- */

static bool is_agreed(const char *groups, const char *suites)
{
	bool done = false;

	assert_int_equal(SSL_CTX_set1_groups_list(t.client_context, groups), 1);
	assert_int_equal(SSL_CTX_set_ciphersuites(t.client_context, suites), 1);
	reopen();
	for (int i = 0; i < 10 && t.end == 1 && !done; i++) {
		done = client_step();
		send_flight();
	}
	if (done)
		greet();
	else
		expect_error(EPROTO);
	return done;
}

static void groups_and_suites_are_the_good_and_quick_ones(void **state)
{
	static const char usual[] = "TLS_AES_128_GCM_SHA256";
	static const char *const groups[] = {"X25519", "P-256", "P-384"}, *const others[] = {"P-521", "X448"};
	static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
	                                     "TLS_CHACHA20_POLY1305_SHA256"};

	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		assert_true(is_agreed(groups[i], usual));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(is_agreed(others[i], usual));
	for (size_t i = 0; i < ARRAY_LEN(suites); i++)
		assert_true(is_agreed("X25519", suites[i]));
	assert_false(is_agreed("X25519", "TLS_AES_128_CCM_SHA256"));
}

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
	assert_int_equal(SSL_set_session(t.client, ticket), 1);
	handshake();
	client_read(none, sizeof(none));
	return SSL_session_reused(t.client);
}

static void tickets_are_taken_for_one_more_period_than_their_own(void **state)
{
	char none[10];

	SSL_CTX_set_session_cache_mode(t.client_context, SSL_SESS_CACHE_CLIENT);
	for (uint64_t periods = 0; periods < 4; periods++) {
		SSL_CTX_sess_set_new_cb(t.client_context, on_ticket);
		reopen();
		handshake();
		client_read(none, sizeof(none));
		SSL_CTX_sess_set_new_cb(t.client_context, NULL);
		assert_int_equal(is_resumed_after(periods * TLS_TICKET_PERIOD_S), periods < 2);
	}
	SSL_SESSION_free(ticket);
}

static void a_ticket_of_another_server_is_not_taken_but_a_handshake_is_made(void **state)
{
	char none[10];

	SSL_CTX_set_session_cache_mode(t.client_context, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(t.client_context, on_ticket);
	ticket = NULL;
	handshake();
	client_read(none, sizeof(none));
	SSL_CTX_sess_set_new_cb(t.client_context, NULL);
	close_connection();
	tls_server_free(&t.server);
	t.server = new_server();
	open_connection();
	assert_false(is_resumed_after(0));
	greet();
	SSL_SESSION_free(ticket);
}

/* --- new files --- */

static bool load(struct buf *errors)
{
	struct tls_bundle *bundle = tls_bundle_read(&t.config, errors);
	bool ok = bundle != NULL && tls_server_load(t.server, bundle, errors);

	tls_bundle_free(&bundle);
	return ok;
}

static void load_well(char *cert)
{
	struct buf errors = {.max = 1000};

	t.config.tls.cert_pem_file = cert;
	assert_true(load(&errors));
	assert_int_equal(errors.len, 0);
}

static void expect_shown(const char *name)
{
	char shown[64];

	X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(t.client)), NID_commonName,
	                          shown, sizeof(shown));
	assert_string_equal(shown, name);
}

/* The first flight of the client comes before or after. */
static void load_within_a_handshake(bool has_begun)
{
	if (has_begun) {
		client_step();
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

		t.config.tls.cert_pem_file = cases[i][0];
		t.config.tls.key_pem_file = cases[i][1];
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

	SSL_CTX_set_session_cache_mode(t.client_context, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(t.client_context, on_ticket);
	ticket = NULL;
	reopen();
	handshake();
	client_read(none, sizeof(none));
	greet();
	SSL_CTX_sess_set_new_cb(t.client_context, NULL);
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
	assert_int_equal(SSL_CTX_use_certificate_chain_file(t.client_context, cert_file), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(t.client_context, cert_file, SSL_FILETYPE_PEM), 1);
}

/* Who could resume would not be asked for his certificate, or for one of the new authorities. */
static void a_session_does_not_get_around_other_authorities_of_clients(void **state)
{
	show_client_certificate();
	take_ticket();
	assert_true(is_resumed());
	t.config.tls.client_ca_pem_file = cert_file;
	load_well(cert_file);
	assert_false(is_resumed());
	SSL_SESSION_free(ticket);

	take_ticket();
	assert_true(is_resumed());
	load_well(other_cert_file);
	assert_true(is_resumed());
	t.config.tls.client_ca_pem_file = both_cas_file;
	load_well(cert_file);
	assert_false(is_resumed());
	t.config.tls.client_ca_pem_file = NULL;
	load_well(cert_file);
	assert_false(is_resumed());
	SSL_SESSION_free(ticket);
}

static void nor_in_tls_1_2(void **state)
{
	SSL_CTX_set_max_proto_version(t.client_context, TLS1_2_VERSION);
	a_session_does_not_get_around_other_authorities_of_clients(state);
}

static void ask_for(const char *name)
{
	reopen();
	if (name != NULL)
		SSL_set_tlsext_host_name(t.client, name);
}

/* A client that is not one of theirs gets as far as nowhere, whatever name it asks for. */
static void every_name_wants_the_certificate_of_the_client(void **state)
{
	char *more[] = {other_cert_file};

	t.config.tls.client_ca_pem_file = cert_file;
	t.config.tls.sni_pem_files = (struct strings){more, 1};
	load_well(cert_file);
	for (int i = 0; i < 2; i++) {
		ask_for(i > 0 ? "other" : NULL);
		for (int step = 0; step < 10 && t.end == 1; step++) {
			client_step();
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
	t.config.tls.client_ca_pem_file = cert_file;
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

	t.config.tls.client_ca_pem_file = crl_file;
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
	tls_server_describe(t.server, tell);
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

/* --- certificates --- */

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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_handshake_may_come_in_any_pieces_and_data_right_behind_it_is_not_lost),
		TEST(so_may_one_of_tls_1_2),
		TEST(the_owner_who_reads_or_writes_before_the_handshake_is_told_to_wait),
		TEST(what_is_no_handshake_is_an_error),
		TEST(a_peer_that_leaves_within_the_handshake_is_an_error),
		TEST(a_handshake_has_its_time_and_no_more),
		TEST(a_connection_that_is_established_has_no_deadline),
		TEST(at_the_limit_the_oldest_handshake_gives_way),
		TEST(those_that_are_done_do_not_count_for_the_limit),
		TEST(the_pieces_of_one_flush_are_one_record),
		TEST(a_long_flush_is_as_few_records_as_can_be),
		TEST(a_socket_that_takes_little_at_a_time_gets_everything_once),
		TEST(so_does_a_client_that_asked_for_short_records),
		TEST(what_is_dropped_behind_a_record_that_was_begun_leaves_the_stream_whole),
		TEST(writing_to_a_peer_that_is_gone_is_an_error_and_no_signal),
		TEST(records_may_come_in_any_pieces),
		TEST(an_owner_who_reads_little_at_a_time_hears_everything),
		TEST(an_owner_who_stops_reading_hears_the_rest_when_he_goes_on),
		TEST(a_record_that_was_tampered_with_is_an_error),
		TEST(key_updates_are_answered),
		TEST(who_sends_nothing_but_key_updates_gets_no_more_of_a_turn_than_others),
		TEST(the_end_of_the_client_is_the_end_of_the_stream_with_or_without_a_word),
		TEST(data_before_the_end_is_heard_and_then_the_end),
		TEST(an_owner_who_stops_reading_before_the_end_hears_it_when_he_goes_on),
		TEST(after_a_shutdown_the_peer_reads_the_end_and_can_still_send),
		TEST(a_close_says_goodbye),
		TEST(a_goodbye_waits_for_a_full_socket),
		TEST(groups_and_suites_are_the_good_and_quick_ones),
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
