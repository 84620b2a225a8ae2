/* TLS as a stream once the handshake is done: writing, reading, the end. */
#include <sys/ioctl.h>

#include "tls_world.h"

enum { RECORD_DATA = 23 };

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

	far_read(none, sizeof(none));
	t.wire_len = 0;
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
	assert_int_equal(far_read(got, sizeof(got)), 20);
	assert_memory_equal(got, "abcdefghijklmnopqrst", 20);
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
		read += far_read(got + read, sizeof(got) - read);
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
		w.writable = 0;
		stream_want_write(&t.stream, true);
		settle();
		assert_int_equal(w.writable, 0);
		t.wire_len = 0;
		read += far_read(got + read, sizeof(got) - read);
		settle();
		assert_int_equal(w.writable, 1);
		assert_false(stream_wants_write(&t.stream));
	}
	t.wire_len = 0;
	read += far_read(got + read, sizeof(got) - read);
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
		SSL_CTX_set_max_proto_version(w.client_context, versions[i]);
		SSL_CTX_set_tlsext_max_fragment_length(w.client_context, TLSEXT_max_fragment_length_512);
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
	read = far_read(got, sizeof(got));
	settle();
	/* Of what was offered, one byte more goes, and then something new. */
	while (true) {
		struct iovec iov[2] = {{data + sent, 1}, {(char *)"bye", 3}};
		ssize_t n = stream_writev(&t.stream, iov, 2);

		if (n == 1)
			break;
		assert_int_equal(n, STREAM_AGAIN);
		read += far_read(got + read, sizeof(got) - read);
	}
	read += far_read(got + read, sizeof(got) - read);
	assert_int_equal(read, sent + 1);
	assert_memory_equal(got, data, read);
	assert_int_equal(stream_writev(&t.stream, &(struct iovec){(char *)"bye", 3}, 1), 3);
	assert_int_equal(far_read(got, sizeof(got)), 3);
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
	assert_int_equal(SSL_write(t.far, data, sizeof(data)), sizeof(data));
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
	assert_int_equal(SSL_write(t.far, "hello, wor", 10), 10);
	assert_int_equal(SSL_write(t.far, "ld", 2), 2);
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
	assert_int_equal(SSL_write(t.far, "hello", 5), 5);
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
	assert_int_equal(SSL_write(t.far, "hello", 5), 5);
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
		assert_int_equal(SSL_key_update(t.far, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(t.far), 1);
		send_flight();
		t.heard_len = 0;
		greet();
		assert_int_equal(stream_writev(&t.stream, &(struct iovec){(char *)"answer", 6}, 1), 6);
		assert_int_equal(far_read(got, sizeof(got)), 6);
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
		assert_int_equal(SSL_key_update(t.far, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(t.far), 1);
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
			SSL_shutdown(t.far);
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
	assert_int_equal(SSL_write(t.far, "hello", 5), 5);
	SSL_shutdown(t.far);
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
		assert_int_equal(SSL_write(t.far, "hello", 5), 5);
		if (!broken)
			SSL_shutdown(t.far);
		else
			BIO_write(SSL_get_wbio(t.far), "\x17\x03\x03\0\1x", 6);
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
	return SSL_read(t.far, none, sizeof(none)) <= 0 &&
	       (SSL_get_shutdown(t.far) & SSL_RECEIVED_SHUTDOWN) && recv(t.peer, none, 1, MSG_DONTWAIT) == 0;
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
	read = far_read(got, sizeof(got));
	for (int i = 0; i < 1000 && !client_sees_the_end(); i++) {
		settle();
		read += far_read(got + read, sizeof(got) - read);
	}
	assert_true(client_sees_the_end());
	assert_int_equal(read, sent + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
