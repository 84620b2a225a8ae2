/* TLS on connections that we make: the handshake, whom there is none with, and data. */
#include "tls_client_world.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_handshake_may_come_in_any_pieces_and_data_right_behind_it_is_not_lost),
		TEST(so_may_one_of_tls_1_2),
		TEST(tls_1_1_is_not_spoken),
		TEST(until_the_handshake_is_done_nothing_is_read_written_or_told),
		TEST(it_may_be_closed_at_any_time),
		TEST(what_does_not_speak_tls_is_told),
		TEST(a_server_that_leaves_within_the_handshake_is_told),
		TEST(nobody_there_is_told),
		TEST(a_socket_that_takes_little_at_a_time_gets_everything_once),
		TEST(a_long_answer_is_heard_whole_by_who_reads_little_at_a_time),
		TEST(key_updates_are_answered),
		TEST(the_end_is_the_end_with_or_without_a_word),
		TEST(writing_to_a_server_that_is_gone_is_an_error_and_no_signal),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
