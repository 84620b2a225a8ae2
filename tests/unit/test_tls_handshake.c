/* The handshake of TLS as a server: in what pieces it may come, its end, its limits, and what is spoken. */
#include "tls_world.h"

static void a_handshake_may_come_in_any_pieces_and_data_right_behind_it_is_not_lost(void **state)
{
	cut_everywhere(reopen, expect_hello);
}

static void so_may_one_of_tls_1_2(void **state)
{
	SSL_CTX_set_max_proto_version(w.client_context, TLS1_2_VERSION);
	reopen();
	cut_everywhere(reopen, expect_hello);
}

static void the_owner_who_reads_or_writes_before_the_handshake_is_told_to_wait(void **state)
{
	struct iovec iov = {(char *)"x", 1};
	char none[10];

	assert_int_equal(stream_read(&t.stream, none, sizeof(none)), STREAM_AGAIN);
	assert_int_equal(stream_writev(&t.stream, &iov, 1), STREAM_AGAIN);
	stream_want_write(&t.stream, true);
	settle();
	assert_int_equal(w.writable, 0);
	handshake();
	assert_int_equal(w.writable, 1);
	assert_int_equal(t.readable, 0);
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
	far_step();
	send_flight();
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	settle();
	expect_error(ECONNRESET);
}

static void a_handshake_has_its_time_and_no_more(void **state)
{
	far_step();
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

/* --- what is spoken --- */

static bool is_agreed(const char *groups, const char *suites)
{
	bool done = false;

	assert_int_equal(SSL_CTX_set1_groups_list(w.client_context, groups), 1);
	assert_int_equal(SSL_CTX_set_ciphersuites(w.client_context, suites), 1);
	reopen();
	for (int i = 0; i < 10 && t.end == 1 && !done; i++) {
		done = far_step();
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

int main(void)
{
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
		TEST(groups_and_suites_are_the_good_and_quick_ones),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
