/* What the tests of connections stand on: one over a real socket pair, and a loop turned by hand. Included by
 * one test program each. */
#pragma once

#include "mem.h"
#include "net_world.h"
#include "ws_frame.h"

static const char upgrade[] = UPGRADE("");

enum { MAX_MESSAGE = 1000, QUEUE_MAX = 20000 };

static struct {
	struct conn *conn;
	int peer; /* the client's end */
	unsigned opened, closing, closed, requests, rooms;
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
				     .compression = &net.config.websocket.compression,
			     });
	else
		conn_respond(c, req, 404, "text/plain", NULL, BYTES("none"));
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

static UNUSED_OK void say(enum ws_opcode opcode, const char *payload)
{
	char frame[2048];

	write_all(frame, masked_frame(frame, opcode, true, payload, strlen(payload)));
}

static UNUSED_OK const char *heard(void)
{
	buf_putc(&t.heard, '\0');
	t.heard.len--;
	return t.heard.data;
}

static int another_client(void)
{
	return net_connect(&(struct address){.sa.any.sa_family = AF_UNIX}, NULL);
}

static int set_up(void **state)
{
	memset(&t, 0, sizeof(t));
	net_set_up(QUEUE_MAX);
	buf_init(&t.heard, 1 << 20);
	net_open(on_request);
	t.peer = another_client();
	return 0;
}

static int tear_down(void **state)
{
	close(t.peer);
	net_tear_down();
	buf_free(&t.heard);
	return 0;
}

static UNUSED_OK void handshake(void)
{
	write_all(upgrade, strlen(upgrade));
	settle();
	assert_false(read_all());
	assert_non_null(strstr(t.answer, "101 Switching Protocols"));
	assert_int_equal(t.opened, 1);
}

static UNUSED_OK uint16_t close_code(const char *frame)
{
	assert_int_equal((unsigned char)frame[0], 0x80 | WS_CLOSE);
	return (uint16_t)((unsigned char)frame[2] << 8 | (unsigned char)frame[3]);
}
