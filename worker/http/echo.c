#include "echo.h"

static void on_open(struct conn *c)
{
}

static void on_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	struct frame *f = ws_frame_new(opcode, message);

	if (f == NULL) {
		conn_close(c, WS_CLOSE_INTERNAL_ERROR, "out of memory", "no memory for an echo");
		return;
	}
	conn_send(c, f);
	frame_unref(&f);
}

static void on_close(struct conn *c)
{
}

const struct ws_app echo_app = {
	.name = "echo",
	.on_open = on_open,
	.on_message = on_message,
	.on_close = on_close,
};
