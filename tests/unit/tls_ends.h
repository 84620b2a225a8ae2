/* The two ends of a TLS connection, over a socket and a loop turned by hand: ours is a stream, whose owner
 * notes what it hears; the far one is OpenSSL, with what it sends and gets in the hands of the test. Which of
 * them is the server, and how they come together, is up to the program that includes this. */
#pragma once

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
#include <sys/socket.h>

#include "clock.h"
#include "loop.h"
#include "stream.h"
#include "unused_ok.h"

enum { START_MS = 1000000, ROOM = 1 << 20, FLIGHT_MAX = 8192 };

static struct {
	struct loop *loop;
	/* of one connection */
	struct stream stream; /* our end */
	size_t room;          /* how much its owner reads at a time */
	unsigned readable;
	ssize_t end; /* what the last read said that brought nothing: 0 or STREAM_ERROR */
	int error;   /* errno with STREAM_ERROR */
	char reason[256];
	char heard[ROOM];
	size_t heard_len;
	SSL *far;        /* the other end */
	int peer;        /* its socket */
	char wire[ROOM]; /* what came to it, encrypted */
	size_t wire_len;
} t;

/* --- our end --- */

static void note_error(struct stream *s, int error)
{
	t.error = error;
	snprintf(t.reason, sizeof(t.reason), "%s", stream_reason(s));
	stream_close(s, false);
}

static void on_readable(struct stream *s)
{
	ssize_t n = stream_read(s, t.heard + t.heard_len, t.room);

	t.readable++;
	if (n > 0)
		t.heard_len += (size_t)n;
	else if (n != STREAM_AGAIN)
		t.end = n;
	if (n == STREAM_ERROR)
		note_error(s, errno);
	else if (n == 0)
		stream_want_read(s, false);
}

static void settle(void)
{
	for (int i = 0; i < 10; i++)
		ev_run(loop_ev(t.loop), EVRUN_NOWAIT);
}

static UNUSED_OK void pass_time(uint64_t ms)
{
	clock_freeze(clock_ms() + ms, clock_unix_ms() + ms);
	settle();
}

/* --- the far end --- */

/* What it has to send. */
static size_t take_flight(char *out, size_t max)
{
	int n = BIO_read(SSL_get_wbio(t.far), out, (int)max);

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
		assert_int_equal(BIO_write(SSL_get_rbio(t.far), t.wire + t.wire_len, (int)n), n);
		t.wire_len += (size_t)n;
	}
}

static bool far_step(void)
{
	hear();
	return SSL_do_handshake(t.far) == 1;
}

static void handshake(void)
{
	for (int i = 0; i < 10 && !far_step(); i++)
		send_flight();
	send_flight();
	assert_true(SSL_is_init_finished(t.far));
}

static UNUSED_OK size_t far_read(char *out, size_t max)
{
	size_t total = 0;
	int n;

	hear();
	while (total < max && (n = SSL_read(t.far, out + total, (int)(max - total))) > 0)
		total += (size_t)n;
	return total;
}

/* Nothing is heard of either yet. */
static void forget_ends(void)
{
	t.heard_len = t.wire_len = 0;
	t.readable = 0;
	t.error = 0;
	t.reason[0] = '\0';
	t.end = 1;
	t.room = 65536;
}

/* --- what both directions try --- */

/* Every flight of the far end is cut at the place, if it is that long; data comes with the last. */
static size_t handshake_cut_at(size_t cut, size_t step)
{
	char flight[FLIGHT_MAX];
	size_t longest = 0;

	for (int i = 0; i < 10; i++) {
		bool done = far_step();
		size_t len, first;

		if (done)
			assert_int_equal(SSL_write(t.far, "hello", 5), 5);
		len = take_flight(flight, sizeof(flight));
		first = cut < len ? cut : len;
		send_bytes(flight, first);
		for (size_t at = first; at < len; at += step)
			send_bytes(flight + at, at + step < len ? step : len - at);
		longest = len > longest ? len : longest;
		if (done)
			break;
	}
	return longest;
}

/* At each place, on a connection of its own; and byte by byte. */
static UNUSED_OK void cut_everywhere(void (*reopen_ends)(void), void (*expect_greeting)(void))
{
	size_t longest = handshake_cut_at(0, 1);

	expect_greeting();
	assert_true(longest > 100);
	for (size_t cut = 0; cut <= longest; cut++) {
		reopen_ends();
		handshake_cut_at(cut, FLIGHT_MAX);
		expect_greeting();
	}
}

static UNUSED_OK void fill(char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 7 + i / 251);
}
