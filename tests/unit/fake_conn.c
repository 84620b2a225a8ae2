/* A connection without a socket. */
#include "fake_conn.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum { FAKE_CONN_MAX = 1 << 24, UUID_CHARS = 36 };

size_t fake_conn_answer_room = SIZE_MAX;
unsigned fake_conn_hurried;

void fake_conn_init(struct conn *c)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->out, FAKE_CONN_MAX);
	buf_init(&c->heard, FAKE_CONN_MAX);
	buf_init(&c->waiting, FAKE_CONN_MAX);
}

void fake_conn_free(struct conn *c)
{
	conn_close(c, 0, "", "the test is over");
	buf_free(&c->out);
	buf_free(&c->heard);
	buf_free(&c->waiting);
}

/* In memory of exactly its size, and gone afterwards. */
static void hand_over(struct conn *c, const char *message, size_t len)
{
	char *copy = mem_try_alloc(len + (len == 0));

	assert(copy != NULL);
	memcpy(copy, message, len);
	c->app->on_message(c, WS_TEXT, (struct bytes){copy, len});
	mem_free(copy);
}

void fake_conn_say(struct conn *c, const char *message)
{
	if (!c->open || c->deaf)
		return;
	buf_puts(&c->waiting, message);
	buf_putc(&c->waiting, '\1');
	fake_conn_go_on(c);
}

void fake_conn_go_on(struct conn *c)
{
	while (c->open && !c->paused && c->waiting.len > 0) {
		const char *end = memchr(c->waiting.data, '\1', c->waiting.len);
		size_t len = (size_t)(end - c->waiting.data);
		char *message = mem_strndup(c->waiting.data, len);

		buf_consume(&c->waiting, len + 1);
		hand_over(c, message, len);
		mem_free(message);
	}
}

static bool is_uuid(const char *text, size_t len)
{
	if (len < UUID_CHARS)
		return false;
	for (int i = 0; i < UUID_CHARS; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	}
	return true;
}

const char *fake_conn_heard(struct conn *c)
{
	buf_reset(&c->heard);
	for (size_t i = 0; i < c->out.len; i++) {
		if (is_uuid(c->out.data + i, c->out.len - i)) {
			buf_puts(&c->heard, "<uuid>");
			i += UUID_CHARS - 1;
		} else {
			buf_putc(&c->heard, c->out.data[i]);
		}
	}
	buf_putc(&c->heard, '\0');
	buf_reset(&c->out);
	return c->heard.data;
}

void conn_upgrade(struct conn *c, const struct http1_request *req, const struct conn_websocket *ws)
{
	c->app = ws->app;
	c->state = ws->state;
	c->open = true;
	c->app->on_open(c);
}

/* The frame is unmasked and in one piece: the payload is what follows its header. */
static struct bytes payload(const struct frame *f)
{
	size_t len = (unsigned char)f->data[1];
	size_t header = len < 126 ? 2 : len == 126 ? 4 : 10;

	return (struct bytes){f->data + header, f->len - header};
}

void conn_send(struct conn *c, struct frame *f)
{
	if (!c->open)
		return;
	if (c->room > 0 && --c->room == 0) {
		conn_close(c, DISCONNECT_SLOW, disconnect_reason(DISCONNECT_SLOW), "no room");
		return;
	}
	if ((f->data[0] & 0xf) == WS_PING) {
		c->pings++;
		return;
	}
	buf_put_bytes(&c->out, payload(f));
	buf_putc(&c->out, '\n');
}

void conn_send_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct frame *f = ws_frame_new(opcode, message);

	assert(f != NULL);
	conn_send(c, f);
	frame_unref(&f);
}

void conn_send_answer(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	conn_send_message(c, opcode, message);
}

bool conn_answer_fits(const struct conn *c, size_t bytes)
{
	return bytes <= fake_conn_answer_room;
}

bool conn_answer_is_small(size_t bytes)
{
	return bytes <= FAKE_CONN_SMALL;
}

void conn_hurry_others(const struct conn *c, size_t bytes)
{
	fake_conn_hurried++;
}

bool conn_has_room(const struct conn *c)
{
	return !c->full;
}

void conn_want_room(struct conn *c)
{
	c->wants_room = true;
}

bool conn_is_answering(const struct conn *c)
{
	return c->wants_room;
}

uint32_t conn_taken(struct conn *c)
{
	uint32_t taken = c->taken;

	c->taken = 0;
	return taken;
}

void fake_conn_make_room(struct conn *c)
{
	bool wanted = c->wants_room;

	c->full = c->wants_room = false;
	if (wanted && c->open)
		c->app->on_room(c);
}

int conn_deflate_bits(const struct conn *c)
{
	return 0;
}

void conn_pause(struct conn *c, bool pause)
{
	c->paused = pause;
}

void conn_count_command(struct conn *c)
{
	c->counted++;
}

bool conn_is_tired(const struct conn *c)
{
	return c->share > 0 && c->counted >= c->share;
}

bool conn_held_back(const struct conn *c)
{
	return c->held_back;
}

void conn_close(struct conn *c, uint16_t code, const char *reason, const char *fmt, ...)
{
	if (!c->open)
		return;
	if (c->app->on_closing != NULL && code >= DISCONNECT_CONNECTION_CLOSED)
		c->app->on_closing(c, code);
	c->open = false;
	c->code = code;
	c->reason = reason;
	c->app->on_close(c);
}

void conn_stop_reading(struct conn *c)
{
	c->deaf = true;
}

void *conn_state(const struct conn *c)
{
	return c->state;
}

const char *conn_name(const struct conn *c)
{
	return "fake conn";
}
