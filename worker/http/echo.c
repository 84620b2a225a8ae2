#include "echo.h"

#include "config.h"

enum {
	MAX_MESSAGE = 32 * 1024 * 1024, /* conformance tests send 16 MiB */
	READ_BEHIND = 64 * 1024,
	COMPRESSION_LEVEL = 1,
};

/* Whoever sends without reading is not thrown out, but not listened to. */
static void on_open(struct conn *c)
{
	conn_read_behind(c, READ_BEHIND);
}

static void on_message(struct conn *c, enum ws_opcode opcode, struct bytes message)
{
	conn_send_message(c, opcode, message);
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

void echo_upgrade(struct conn *c, const struct http1_request *req, uint64_t min_size)
{
	const struct compression_options compression = {true, COMPRESSION_LEVEL, min_size};

	conn_upgrade(c, req,
	             &(struct conn_websocket){
			     .app = &echo_app,
			     .max_message = MAX_MESSAGE,
			     .compression = &compression,
		     });
}
