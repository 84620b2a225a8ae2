/* The connection over a real socket pair and a loop turned by hand: how it reads, pauses, sends and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <ev.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "conn.h"
#include "conns.h"
#include "deflate.h"
#include "loop.h"
#include "mem.h"
#include "ws_frame.h"

static const char upgrade[] =
	"GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

enum { MAX_MESSAGE = 1000, QUEUE_MAX = 20000, HEAD_TIMEOUT_MS = 10000, KEEP_ALIVE_MS = 60000 };

static struct {
	struct loop *loop;
	struct conns *conns;
	struct conn *conn;
	struct config config;
	struct inflater *inflater;
	struct deflater *deflater;
	int peer; /* the client's end */
	unsigned opened, closing, closed, drained, requests, rooms;
	bool goodbye;         /* the app sends a last frame */
	bool echo;            /* the app answers each message with itself */
	unsigned pause_after; /* messages; 0: never */
	unsigned messages;
	struct buf heard; /* all messages, separated by '|' */
	char answer[65536];
	size_t answer_len;
} t;

static void app_open(struct conn *c)
{
	t.opened++;
}

static void app_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	buf_put_bytes(&t.heard, message);
	buf_putc(&t.heard, '|');
	if (t.echo)
		conn_send_message(c, opcode, message);
	if (++t.messages == t.pause_after)
		conn_pause(c, true);
}

static void app_close(struct conn *c)
{
	t.closed++;
}

static void app_room(struct conn *c)
{
	assert_true(conn_has_room(c));
	t.rooms++;
}

static void app_closing(struct conn *c, uint16_t code)
{
	struct frame *f = ws_frame_new(WS_TEXT, BYTES("bye"));

	t.closing++;
	if (t.goodbye)
		conn_send(c, f);
	frame_unref(&f);
}

static const struct ws_app app = {.name = "test",
                                  .on_open = app_open,
                                  .on_message = app_message,
                                  .on_closing = app_closing,
                                  .on_room = app_room,
                                  .on_close = app_close};

static void on_request(void *ctx, struct conn *c, const struct http1_request *req)
{
	t.requests++;
	t.conn = c;
	if (bytes_eq(req->path, BYTES("/x")))
		conn_upgrade(c, req,
		             &(struct conn_websocket){
				     .app = &app,
				     .max_message = MAX_MESSAGE,
				     .compression = &t.config.websocket.compression,
			     });
	else
		conn_respond(c, req, 404, "text/plain", NULL, BYTES("none"));
}

static void on_drained(void *ctx)
{
	t.drained++;
}

static void turn(void)
{
	ev_run(loop_ev(t.loop), EVRUN_NOWAIT);
}

/* As many turns as it takes until nothing moves any more. */
static void settle(void)
{
	for (int i = 0; i < 20; i++)
		turn();
}

static void write_all(const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(t.peer, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else {
			assert_int_equal(errno, EAGAIN);
		}
		turn();
	}
}

/* Everything that the broker has written so far; true when the stream has ended behind it. */
static bool read_all(void)
{
	t.answer_len = 0;
	for (;;) {
		ssize_t n = recv(t.peer, t.answer + t.answer_len, sizeof(t.answer) - 1 - t.answer_len,
		                 MSG_DONTWAIT);

		if (n <= 0) {
			t.answer[t.answer_len] = '\0';
			return n == 0 || errno != EAGAIN;
		}
		t.answer_len += (size_t)n;
		settle();
	}
}

static size_t masked_frame(char *out, enum ws_opcode opcode, bool fin, const char *payload, size_t len)
{
	static const uint8_t mask[4] = {1, 2, 3, 4};
	size_t head = ws_encode_header(out, opcode, len);

	if (!fin)
		out[0] = (char)(out[0] & 0x7f);
	out[1] = (char)((unsigned char)out[1] | 0x80);
	memcpy(out + head, mask, 4);
	memcpy(out + head + 4, payload, len);
	ws_mask(out + head + 4, len, mask, 0);
	return head + 4 + len;
}

static void say(enum ws_opcode opcode, const char *payload)
{
	char frame[2048];

	write_all(frame, masked_frame(frame, opcode, true, payload, strlen(payload)));
}

static const char *heard(void)
{
	buf_putc(&t.heard, '\0');
	t.heard.len--;
	return t.heard.data;
}

static int set_up(void **state)
{
	int fds[2];

	memset(&t, 0, sizeof(t));
	clock_freeze(1000000, 1000000);
	t.config.client.queue_max_size = QUEUE_MAX;
	t.config.limits.head_timeout_ms = HEAD_TIMEOUT_MS;
	t.config.limits.keep_alive_timeout_ms = KEEP_ALIVE_MS;
	buf_init(&t.heard, 1 << 20);
	t.loop = loop_new();
	t.inflater = inflater_new();
	t.deflater = deflater_new();
	t.conns = conns_new(&(struct conns_params){
		.loop = t.loop,
		.config = &t.config,
		.inflater = t.inflater,
		.deflater = t.deflater,
		.on_request = on_request,
		.on_drained = on_drained,
	});
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	t.peer = fds[1];
	conns_accept(t.conns, fds[0], &(struct address){.sa.any.sa_family = AF_UNIX}, NULL);
	return 0;
}

static int tear_down(void **state)
{
	close(t.peer);
	conns_free(&t.conns);
	loop_free(&t.loop);
	inflater_free(&t.inflater);
	deflater_free(&t.deflater);
	buf_free(&t.heard);
	return 0;
}

static void handshake(void)
{
	write_all(upgrade, strlen(upgrade));
	settle();
	assert_false(read_all());
	assert_non_null(strstr(t.answer, "101 Switching Protocols"));
	assert_int_equal(t.opened, 1);
}

static uint16_t close_code(const char *frame)
{
	assert_int_equal((unsigned char)frame[0], 0x80 | WS_CLOSE);
	return (uint16_t)((unsigned char)frame[2] << 8 | (unsigned char)frame[3]);
}

static void frames_behind_the_request_are_not_lost_however_the_bytes_are_cut(void **state)
{
	char input[1024];
	size_t len = strlen(upgrade);

	memcpy(input, upgrade, len);
	len += masked_frame(input + len, WS_TEXT, true, "one", 3);
	len += masked_frame(input + len, WS_TEXT, false, "tw", 2);
	len += masked_frame(input + len, WS_PING, true, "p", 1);
	len += masked_frame(input + len, WS_CONTINUATION, true, "o", 1);
	for (size_t cut = 0; cut <= len; cut++) {
		if (cut > 0) {
			tear_down(state);
			set_up(state);
		}
		write_all(input, cut);
		settle();
		write_all(input + cut, len - cut);
		settle();
		assert_string_equal(heard(), "one|two|");
		assert_false(read_all());
		assert_memory_equal(t.answer + t.answer_len - 3, "\x8a\x01p", 3);
	}
}

static void a_byte_at_a_time_is_the_same_as_all_at_once(void **state)
{
	char input[512];
	size_t len = masked_frame(input, WS_TEXT, true, "hello", 5);

	for (size_t i = 0; i < strlen(upgrade); i++)
		write_all(upgrade + i, 1);
	for (size_t i = 0; i < len; i++)
		write_all(input + i, 1);
	settle();
	assert_string_equal(heard(), "hello|");
}

static void what_was_read_before_a_pause_is_delivered_after_it_and_nothing_meanwhile(void **state)
{
	char input[512];
	size_t len;

	handshake();
	t.pause_after = 1;
	len = masked_frame(input, WS_TEXT, true, "a", 1);
	len += masked_frame(input + len, WS_TEXT, true, "b", 1);
	len += masked_frame(input + len, WS_TEXT, false, "c", 1);
	write_all(input, len);
	settle();
	assert_string_equal(heard(), "a|");
	len = masked_frame(input, WS_CONTINUATION, true, "d", 1);
	assert_int_equal(send(t.peer, input, len, 0), len);
	settle();
	assert_string_equal(heard(), "a|");
	conn_pause(t.conn, false);
	assert_string_equal(heard(), "a|");
	settle();
	assert_string_equal(heard(), "a|b|cd|");
}

/* All of it is there at once, and would be worked off in one turn; pings need not even be told to anybody. */
static void who_sends_much_at_once_has_his_share_of_each_turn(void **state)
{
	enum { FRAMES = 3000, SHARE = 256 };
	char input[FRAMES * 8];
	size_t len = 0;
	unsigned before = 0, turns = 0;

	handshake();
	for (int i = 0; i < FRAMES; i++)
		len += masked_frame(input + len, i % 2 ? WS_PING : WS_TEXT, true, "x", 1);
	assert_int_equal(send(t.peer, input, len, 0), len);
	for (; t.messages < FRAMES / 2; turns++) {
		turn();
		assert_in_range(t.messages - before, 0, SHARE);
		before = t.messages;
	}
	assert_true(turns <= FRAMES / SHARE + 2);
	say(WS_TEXT, "y");
	settle();
	assert_int_equal(t.messages, FRAMES / 2 + 1);
}

static void the_peer_that_closes_is_answered_with_its_code_and_then_the_socket_ends(void **state)
{
	handshake();
	say(WS_CLOSE, "\x03\xe8");
	settle();
	assert_true(read_all());
	assert_int_equal(close_code(t.answer), 1000);
	assert_int_equal(t.closed, 1);
	assert_int_equal(conns_count(t.conns), 0);
}

static void our_close_waits_for_the_answer_and_delivers_nothing_more(void **state)
{
	handshake();
	conn_close(t.conn, 3501, "bad request", "test");
	assert_int_equal(t.closed, 1);
	settle();
	assert_false(read_all());
	assert_int_equal(close_code(t.answer), 3501);
	assert_memory_equal(t.answer + 4, "bad request", 11);
	say(WS_TEXT, "late");
	assert_int_equal(conns_count(t.conns), 1);
	say(WS_CLOSE, "\x0d\xad");
	settle();
	assert_true(read_all());
	assert_string_equal(heard(), "");
	assert_int_equal(t.closed, 1);
}

static void the_last_word_of_the_app_stands_before_the_close_frame(void **state)
{
	t.goodbye = true;
	handshake();
	conn_close(t.conn, 3001, "shutdown", "test");
	settle();
	assert_false(read_all());
	assert_memory_equal(t.answer,
	                    "\x81\x03"
	                    "bye",
	                    5);
	assert_int_equal(close_code(t.answer + 5), 3001);
	assert_int_equal(t.closing, 1);
	assert_int_equal(t.closed, 1);
}

static void a_last_word_that_does_not_fit_any_more_ends_nothing_twice(void **state)
{
	struct frame *f = ws_frame_new(WS_TEXT, (struct bytes){t.answer, 1000});

	t.goodbye = true;
	handshake();
	t.config.client.queue_max_size = 1004;
	while (t.closed == 0) {
		conn_send(t.conn, f);
		turn();
	}
	assert_int_equal(t.closing, 1);
	assert_int_equal(t.closed, 1);
	frame_unref(&f);
}

static void a_peer_that_never_answers_a_close_is_dropped_after_five_seconds(void **state)
{
	handshake();
	conn_close(t.conn, 3501, "bad request", "test");
	settle();
	clock_freeze(1000000 + 4900, 1000000);
	settle();
	assert_int_equal(conns_count(t.conns), 1);
	clock_freeze(1000000 + 5100, 1000000);
	settle();
	assert_int_equal(conns_count(t.conns), 0);
}

static void a_message_over_the_limit_gets_1009_though_the_rest_of_it_is_still_coming(void **state)
{
	char head[WS_HEADER_MAX + 4] = {0};
	char noise[4096] = {0};
	size_t len = ws_encode_header(head, WS_TEXT, 100000);

	handshake();
	head[1] = (char)((unsigned char)head[1] | 0x80);
	write_all(head, len + 4);
	for (int i = 0; i < 24; i++)
		write_all(noise, sizeof(noise));
	settle();
	assert_true(read_all());
	assert_int_equal(close_code(t.answer), WS_CLOSE_TOO_BIG);
	assert_string_equal(heard(), "");
	assert_int_equal(t.closed, 1);
	close(t.peer);
	settle();
	assert_int_equal(conns_count(t.conns), 0);
	t.peer = -1;
}

#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00" /* RFC 7692, 7.2.3.1 */

static void handshake_compressed(void)
{
	static const char offer[] = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

	t.config.websocket.compression = (struct compression_options){true, 1, 20};
	write_all(upgrade, strlen(upgrade) - 2);
	write_all(offer, sizeof(offer) - 1);
	settle();
	assert_false(read_all());
	assert_non_null(strstr(t.answer, "Sec-WebSocket-Extensions: permessage-deflate; "));
}

static void say_frame(uint8_t byte0, struct bytes payload)
{
	char frame[2048];
	size_t len = masked_frame(frame, WS_TEXT, true, payload.ptr, payload.len);

	frame[0] = (char)byte0;
	write_all(frame, len);
}

static void compressed_messages_are_restored_whole_or_in_fragments(void **state)
{
	handshake_compressed();
	say_frame(0xc1, BYTES(HELLO));
	say_frame(0x42, (struct bytes){HELLO, 3});
	say_frame(0x89, BYTES("p"));
	say_frame(0x80, (struct bytes){&HELLO[3], 4});
	say_frame(0x81, BYTES("plain"));
	settle();
	assert_string_equal(heard(), "Hello|Hello|plain|");
	assert_false(read_all());
	assert_memory_equal(t.answer, "\x8a\x01p", 3);
}

static void long_messages_are_sent_compressed_and_short_ones_are_not(void **state)
{
	static const char text[] = "abcabcabcabcabcabcabcabcabcabcabcabc";
	struct bytes message;

	t.echo = true;
	handshake_compressed();
	say_frame(0x81, BYTES("abcabcabcabcabcabca"));
	settle();
	assert_false(read_all());
	assert_int_equal(t.answer_len, 2 + 19);
	assert_memory_equal(t.answer, "\x81\x13", 2);
	say_frame(0x82, BYTES(text));
	settle();
	assert_false(read_all());
	assert_int_equal((unsigned char)t.answer[0], 0xc2);
	assert_int_equal(
		inflater_message(t.inflater, (struct bytes){t.answer + 2, t.answer_len - 2}, 1000, &message),
		INFLATE_OK);
	assert_int_equal(message.len, sizeof(text) - 1);
	assert_memory_equal(message.ptr, text, message.len);
}

static void check_compressed_is_refused(struct bytes payload, uint16_t code)
{
	handshake_compressed();
	say_frame(0xc1, payload);
	settle();
	read_all();
	assert_int_equal(close_code(t.answer), code);
	assert_string_equal(heard(), "");
	assert_int_equal(t.closed, 1);
}

static void a_message_that_cannot_be_decompressed_gets_1007(void **state)
{
	check_compressed_is_refused(BYTES("Hello"), WS_CLOSE_INVALID_DATA);
}

static void compressed_text_that_is_not_utf8_gets_1007(void **state)
{
	check_compressed_is_refused(BYTES("\x00\x02\x00\xfd\xff\xff\xfe\x00"), WS_CLOSE_INVALID_DATA);
}

static void a_bomb_gets_1009(void **state)
{
	char *zeros = mem_alloc(MAX_MESSAGE * 100);
	struct bytes bomb;
	char copy[MAX_MESSAGE];

	assert_true(deflater_message(t.deflater, 15, 9, (struct bytes){zeros, MAX_MESSAGE * 100}, &bomb));
	memcpy(copy, bomb.ptr, bomb.len);
	check_compressed_is_refused((struct bytes){copy, bomb.len}, WS_CLOSE_TOO_BIG);
	mem_free(zeros);
}

static void compression_that_was_not_agreed_on_gets_1002(void **state)
{
	handshake();
	say_frame(0xc1, BYTES(HELLO));
	settle();
	read_all();
	assert_int_equal(close_code(t.answer), WS_CLOSE_PROTOCOL_ERROR);
}

/* The messages stay in the sockets, and none is lost. */
static void who_is_read_behind_is_not_closed_for_sending_without_reading(void **state)
{
	char frame[1024];
	size_t len = masked_frame(frame, WS_BINARY, true, t.answer, 1000);
	size_t sent = 0, received = 0;
	ssize_t n;

	t.echo = true;
	t.config.client.queue_max_size = 1000;
	handshake();
	conn_read_behind(t.conn, 5000);
	while ((n = send(t.peer, frame, len, MSG_DONTWAIT)) == (ssize_t)len) {
		sent++;
		settle();
	}
	assert_int_equal(n, -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(sent > t.messages);
	while (received < sent * 1004) {
		n = recv(t.peer, t.answer, sizeof(t.answer), MSG_DONTWAIT);
		assert_int_not_equal(n, 0);
		received += n > 0 ? (size_t)n : 0;
		settle();
	}
	assert_int_equal(t.messages, sent);
	assert_int_equal(t.closed, 0);
}

static void a_peer_that_does_not_read_is_closed_with_3008_and_finds_whole_frames(void **state)
{
	struct frame *f = ws_frame_new(WS_TEXT, (struct bytes){t.answer, 1000});
	size_t pos = 0;
	int sent = 0;

	handshake();
	while (t.closed == 0 && sent++ < 100000) {
		conn_send(t.conn, f);
		turn();
	}
	assert_int_equal(t.closed, 1);
	frame_unref(&f);
	t.answer_len = 0;
	/* Frames of 1004 bytes, whole to the last, then the close frame. */
	for (;;) {
		char frame[1004];
		ssize_t n = recv(t.peer, frame, pos == 0 ? 2 : 1002, MSG_DONTWAIT);

		if (n < 0) {
			settle();
			continue;
		}
		if (pos == 0 && (unsigned char)frame[0] == (0x80 | WS_CLOSE)) {
			assert_int_equal(recv(t.peer, frame + 2, 2, MSG_DONTWAIT), 2);
			assert_int_equal(close_code(frame), 3008);
			return;
		}
		pos += (size_t)n;
		while (pos > 2 && pos < 1004) {
			n = recv(t.peer, frame, 1004 - pos, MSG_DONTWAIT);
			if (n > 0)
				pos += (size_t)n;
			settle();
		}
		if (pos == 1004)
			pos = 0;
	}
}

/* Answers as large as they may be fill the socket; what is pushed behind them has the whole queue. */
static void answers_do_not_count_and_room_is_told(void **state)
{
	static char large[1 << 20];
	struct frame *push = ws_frame_new(WS_TEXT, (struct bytes){t.answer, 1000});
	size_t sent = 0, received = 0;
	uint32_t taken;
	ssize_t n;

	handshake();
	conn_taken(t.conn);
	while (conn_has_room(t.conn)) {
		conn_send_answer(t.conn, WS_TEXT, (struct bytes){large, sizeof(large)});
		sent += sizeof(large) + 10;
		settle();
	}
	assert_true(conn_is_answering(t.conn));
	taken = conn_taken(t.conn);
	assert_true(taken > 0 && taken < sent);
	conn_want_room(t.conn);
	for (size_t i = 0; i < QUEUE_MAX / (1004 + 32) - 1; i++, sent += 1004)
		conn_send(t.conn, push);
	settle();
	assert_int_equal(t.rooms, 0);
	assert_int_equal(t.closed, 0);
	while (received < sent) {
		n = recv(t.peer, t.answer, sizeof(t.answer), MSG_DONTWAIT);
		assert_int_not_equal(n, 0);
		received += n > 0 ? (size_t)n : 0;
		settle();
	}
	assert_int_equal(received, sent);
	assert_int_equal(t.rooms, 1);
	assert_false(conn_is_answering(t.conn));
	assert_int_equal(t.closed, 0);
	/* And no more than that. */
	while (conn_has_room(t.conn)) {
		conn_send_answer(t.conn, WS_TEXT, (struct bytes){large, sizeof(large)});
		settle();
	}
	for (size_t i = 0; i < QUEUE_MAX / 1004 + 1; i++)
		conn_send(t.conn, push);
	assert_int_equal(t.closed, 1);
	frame_unref(&push);
}

static void after_an_error_to_connect_nothing_more_is_read(void **state)
{
	handshake();
	conn_stop_reading(t.conn);
	assert_int_equal(send(t.peer, "garbage", 7, 0), 7);
	settle();
	assert_int_equal(conns_count(t.conns), 1);
	assert_int_equal(t.closed, 0);
	conn_close(t.conn, 3502, "stale", "test");
	settle();
	assert_true(read_all());
	assert_int_equal(close_code(t.answer), 3502);
	assert_int_equal(conns_count(t.conns), 1);
}

static void a_close_behind_what_a_pause_held_back_is_found_when_we_close(void **state)
{
	char input[512];
	size_t len;

	handshake();
	t.pause_after = 1;
	len = masked_frame(input, WS_TEXT, true, "a", 1);
	len += masked_frame(input + len, WS_TEXT, true, "b", 1);
	len += masked_frame(input + len, WS_CLOSE, true, "\x03\xe8", 2);
	write_all(input, len);
	settle();
	conn_close(t.conn, 3001, "shutdown", "test");
	settle();
	assert_true(read_all());
	assert_int_equal(close_code(t.answer), 3001);
	assert_string_equal(heard(), "a|");
	assert_int_equal(t.closed, 1);
	assert_int_equal(conns_count(t.conns), 0);
}

static void requests_may_be_pipelined_and_the_last_one_ends_the_connection(void **state)
{
	static const char two[] =
		"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

	write_all(two, strlen(two));
	settle();
	assert_true(read_all());
	assert_int_equal(t.requests, 2);
	assert_non_null(strstr(strstr(t.answer, "404") + 3, "404"));
	close(t.peer);
	settle();
	assert_int_equal(conns_count(t.conns), 0);
	t.peer = -1;
}

/* Requests until the broker takes no more; how many. */
static size_t pipeline(const char *request, size_t max)
{
	size_t len = strlen(request);
	size_t sent = 0;
	int refused = 0;

	while (refused < 100 && sent < max * len) {
		size_t at = sent % len;
		ssize_t n = send(t.peer, request + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		refused = n > 0 ? 0 : refused + 1;
		sent += n > 0 ? (size_t)n : 0;
		turn();
	}
	return sent / len;
}

static size_t count_responses(void)
{
	size_t count = 0;

	for (const char *p = t.answer; (p = strstr(p, "HTTP/1.1 404 ")) != NULL; p++)
		count++;
	return count;
}

static void requests_are_not_looked_at_while_their_responses_wait(void **state)
{
	static const char request[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
	enum { TOO_MANY = 50000 };
	size_t answered = 0;
	size_t sent = pipeline(request, TOO_MANY);
	int quiet = 0;

	assert_true(sent > t.requests && sent < TOO_MANY);
	while (quiet++ < 100) {
		ssize_t n = recv(t.peer, t.answer, sizeof(t.answer) - 1, MSG_DONTWAIT | MSG_PEEK);
		char *last;

		settle();
		if (n <= 0)
			continue;
		t.answer[n] = '\0';
		last = strstr(t.answer, "none");
		while (last != NULL && strstr(last + 4, "none") != NULL)
			last = strstr(last + 4, "none");
		if (last == NULL)
			continue;
		last[4] = '\0';
		answered += count_responses();
		assert_int_equal(recv(t.peer, t.answer, (size_t)(last + 4 - t.answer), 0),
		                 last + 4 - t.answer);
		quiet = 0;
	}
	assert_int_equal(answered, sent);
	assert_int_equal(t.requests, sent);
	assert_int_equal(conns_count(t.conns), 1);
}

static void nonsense_is_answered_with_400_and_the_connection_ends(void **state)
{
	write_all("BLAH\r\n\r\n", 8);
	settle();
	assert_true(read_all());
	assert_memory_equal(t.answer, "HTTP/1.1 400 ", 13);
	assert_int_equal(t.requests, 0);
}

static void a_drain_closes_with_3001_and_then_says_so(void **state)
{
	handshake();
	conns_drain(t.conns, 0);
	assert_int_equal(t.drained, 0);
	clock_freeze(1000000 + 20, 1000000);
	settle();
	assert_int_equal(t.closed, 1);
	assert_false(read_all());
	assert_int_equal(close_code(t.answer), 3001);
	say(WS_CLOSE, "\x0b\xb9");
	settle();
	assert_int_equal(t.drained, 1);
}

/* The far end of a new connection. */
static int another_client(void)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	conns_accept(t.conns, fds[0], &(struct address){.sa.any.sa_family = AF_UNIX}, NULL);
	return fds[1];
}

/* One of those that were there leaves on his own, so that the drain is behind its plan. */
static void who_comes_during_a_drain_is_upgraded_and_told(void **state)
{
	int other = another_client();
	int late;

	handshake();
	conns_drain(t.conns, 1000);
	close(other);
	clock_freeze(1000000 + 20, 1000000);
	settle();
	assert_int_equal(t.closed, 1);
	late = another_client();
	clock_freeze(1000000 + 900, 1000000);
	settle();
	close(t.peer);
	t.peer = late;
	t.opened = 0;
	handshake();
	assert_int_equal(t.closed, 2);
}

static void some_descriptors_are_left_for_others(void **state)
{
	struct rlimit before, few;
	size_t most = 0;

	conns_free(&t.conns);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 100;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	t.conns = conns_new(&(struct conns_params){
		.loop = t.loop,
		.config = &t.config,
		.inflater = t.inflater,
		.deflater = t.deflater,
		.on_request = on_request,
		.on_drained = on_drained,
	});
	while (most++ < 90)
		close(another_client());
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(conns_count(t.conns), 50);
}

static void above_the_limit_a_connection_is_refused_with_503(void **state)
{
	char answer[256] = {0};
	int fds[2];

	t.config.client.connection_limit = 1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	conns_accept(t.conns, fds[0], &(struct address){.sa.any.sa_family = AF_UNIX}, NULL);
	assert_true(recv(fds[1], answer, sizeof(answer) - 1, 0) > 0);
	assert_memory_equal(answer, "HTTP/1.1 503 ", 13);
	assert_int_equal(recv(fds[1], answer, sizeof(answer), 0), 0);
	assert_int_equal(conns_count(t.conns), 1);
	close(fds[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(frames_behind_the_request_are_not_lost_however_the_bytes_are_cut),
		TEST(a_byte_at_a_time_is_the_same_as_all_at_once),
		TEST(what_was_read_before_a_pause_is_delivered_after_it_and_nothing_meanwhile),
		TEST(who_sends_much_at_once_has_his_share_of_each_turn),
		TEST(the_peer_that_closes_is_answered_with_its_code_and_then_the_socket_ends),
		TEST(our_close_waits_for_the_answer_and_delivers_nothing_more),
		TEST(the_last_word_of_the_app_stands_before_the_close_frame),
		TEST(a_last_word_that_does_not_fit_any_more_ends_nothing_twice),
		TEST(a_peer_that_never_answers_a_close_is_dropped_after_five_seconds),
		TEST(a_message_over_the_limit_gets_1009_though_the_rest_of_it_is_still_coming),
		TEST(compressed_messages_are_restored_whole_or_in_fragments),
		TEST(long_messages_are_sent_compressed_and_short_ones_are_not),
		TEST(a_message_that_cannot_be_decompressed_gets_1007),
		TEST(compressed_text_that_is_not_utf8_gets_1007),
		TEST(a_bomb_gets_1009),
		TEST(compression_that_was_not_agreed_on_gets_1002),
		TEST(who_is_read_behind_is_not_closed_for_sending_without_reading),
		TEST(a_peer_that_does_not_read_is_closed_with_3008_and_finds_whole_frames),
		TEST(answers_do_not_count_and_room_is_told),
		TEST(after_an_error_to_connect_nothing_more_is_read),
		TEST(a_close_behind_what_a_pause_held_back_is_found_when_we_close),
		TEST(requests_are_not_looked_at_while_their_responses_wait),
		TEST(requests_may_be_pipelined_and_the_last_one_ends_the_connection),
		TEST(nonsense_is_answered_with_400_and_the_connection_ends),
		TEST(a_drain_closes_with_3001_and_then_says_so),
		TEST(who_comes_during_a_drain_is_upgraded_and_told),
		TEST(some_descriptors_are_left_for_others),
		TEST(above_the_limit_a_connection_is_refused_with_503),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
