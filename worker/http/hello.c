#include "hello.h"

#include "buf.h"

static const struct bytes greeting = {"Hi there, I am a server", 23};
static const struct bytes answer = {"Hello, you sent -> ", 19};

static void on_open(struct conn *c)
{
	conn_send_message(c, WS_TEXT, greeting);
}

static void on_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct buf text;

	if (opcode != WS_TEXT)
		return;
	buf_init(&text, answer.len + HELLO_MAX_MESSAGE);
	buf_put_bytes(&text, answer);
	buf_put_bytes(&text, message);
	if (buf_ok(&text))
		conn_send_message(c, WS_TEXT, buf_bytes(&text));
	else
		conn_close(c, WS_CLOSE_INTERNAL_ERROR, "out of memory", "no memory for an answer");
	buf_free(&text);
}

static void on_close(struct conn *c)
{
}

const struct ws_app hello_app = {
	.name = "hello",
	.on_open = on_open,
	.on_message = on_message,
	.on_close = on_close,
};
