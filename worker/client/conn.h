/* One accepted socket, from the first byte of HTTP to the close of the WebSocket: reads and decodes, queues
 * and flushes, and is the only place where a connection ends. Knows HTTP requests and WebSocket messages, not
 * what they mean: requests go to the callback of the set (conns.h), messages to the connection's ws_app.
 *
 * Nothing here frees a connection within the running turn, so a conn pointer stays valid until the caller
 * returns to the loop; but after conn_close() only questions may be asked: conn_state(), conn_name(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"
#include "frame.h"
#include "http1.h"
#include "log.h"
#include "loop.h"
#include "ws_frame.h"

struct conn;

/* What a WebSocket connection is for: the client protocol, echo, hello. */
struct ws_app {
	const char *name;
	/* The 101 response is queued; frames may be sent. */
	void (*on_open)(struct conn *c);
	/* A whole message. It lives until the callback returns. */
	void (*on_message)(struct conn *c, enum ws_opcode opcode, struct bytes message);
	/* May be NULL. We are about to close with this code: a last frame may be sent, in front of the close
	 * frame. Called at most once, and not when the socket is just dropped. */
	void (*on_closing)(struct conn *c, uint16_t code);
	/* May be NULL. conn_want_room() was called, and now there is some. From the loop. */
	void (*on_room)(struct conn *c);
	/* The last call, exactly once, whoever closed and for whatever reason; conn_state() is still there.
	 * No frame can be sent any more. The app drops what it keeps for the connection. */
	void (*on_close)(struct conn *c);
};

/* HTTP. The response is queued; the connection stays open for the next request if the request allows it and
 * has no body. extra as in http1_response(). */
void conn_respond(struct conn *c, const struct http1_request *req, int status, const char *content_type,
                  const char *extra, struct bytes body);
/* Before an upgrade: counts the connection for the address of its client, where that is known from the
 * request only. False: that address has too many, and the request was answered. */
bool conn_admit(struct conn *c, const struct http1_request *req) MUST_CHECK;
/* What a WebSocket is to be. */
struct conn_websocket {
	const struct ws_app *app;
	void *state;                                   /* the app's, for conn_state() */
	const char *subprotocol;                       /* NULL: none */
	uint32_t max_message;                          /* bytes, restored if it came compressed */
	const struct compression_options *compression; /* copied; NULL: none, wherever it came in */
	bool limited;                                  /* limits.commands_per_second and so on hold */
};
/* Accepts the WebSocket handshake, which ws_handshake_check() found good. After on_open has run, frames that
 * came with the request are decoded. The opcode of messages is not restricted. */
void conn_upgrade(struct conn *c, const struct http1_request *req, const struct conn_websocket *ws);

/* WebSocket. Takes its own reference to the frame; sent at the end of this turn. Closes with 3008 when more
 * than client.queue_max_size bytes wait (echo and others alike). On a closing connection it does nothing. */
void conn_send(struct conn *c, struct frame *f);
/* A message in a frame of its own, compressed if that was agreed on, it is not shorter than the least size,
 * and gets smaller by it. Without memory for it the connection is closed. */
void conn_send_message(struct conn *c, enum ws_opcode opcode, struct bytes message);
/* The same for what the client has asked for and may be large: however much waits it is queued, and as long
 * as it waits it does not count towards client.queue_max_size. So that no more than one such message gathers,
 * ask first. */
void conn_send_answer(struct conn *c, enum ws_opcode opcode, struct bytes message);
/* Whether an answer of about so many bytes may be made now, without all that wait to be taken by the clients
 * of this worker being more than is good for its memory. Small ones have room that large ones have not. */
bool conn_answer_fits(const struct conn *c, size_t bytes) MUST_CHECK;
bool conn_answer_is_small(size_t bytes) MUST_CHECK;
/* To be called now and then while it does not fit: other clients that have not read of their answers for some
 * seconds are disconnected as slow (3008), until it does. */
void conn_hurry_others(const struct conn *c, size_t bytes);
/* Whether less than a quarter of client.queue_max_size waits to be sent. */
bool conn_has_room(const struct conn *c);
/* ws_app.on_room follows, when that has become so. */
void conn_want_room(struct conn *c);
/* Whether some of an answer waits to be sent, or room is wanted. */
bool conn_is_answering(const struct conn *c);
/* The bytes that the socket has taken since this was called last. */
uint32_t conn_taken(struct conn *c);
/* The window that frames of compressed messages may use; 0: no compression was agreed on. */
int conn_deflate_bits(const struct conn *c);
/* For an app that only answers: while more than so many bytes wait to be sent nothing more is read, and in
 * return client.queue_max_size does not hold. One message more than that may wait. */
void conn_read_behind(struct conn *c, uint32_t bytes);
/* A message was more than one command. With the frames that come, they are what limits.commands_per_second is
 * about: at more, nothing is delivered until the client has waited; who would wait too long is disconnected
 * (3013). */
void conn_count_command(struct conn *c);
/* Whether it has had its share of this turn of the loop, in commands and frames. Then nothing more is
 * delivered until the next; who works off what had been delivered is to go on in the next turn, too. */
bool conn_is_tired(const struct conn *c);
/* Whether it waits at such a limit: what it sent may be there, unread. */
bool conn_held_back(const struct conn *c);
/* Stops delivering messages, and reading, until turned on again; messages then come from the loop, not from
 * within this call. This is how a session whose commands wait for Redis holds its client back. */
void conn_pause(struct conn *c, bool pause);

/* The only way a connection ends on our side. Queues the close frame behind what is queued (3008: instead of
 * what is queued), tells the app (on_close, before this returns), gives the peer 5 s to answer, then drops
 * the socket. Code 3000: no close frame. Code 0: an HTTP connection, or one whose socket is dead. The
 * formatted text goes to the log; the reason on the wire is `reason`. Closing twice does nothing. */
void conn_close(struct conn *c, uint16_t code, const char *reason, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Nothing more is read or answered; the peer has up to 5 s to hang up, then the socket is dropped without a
 * close frame (after an error reply to connect). on_close is called when that happens, and conn_close() may
 * come before. */
void conn_stop_reading(struct conn *c);

void *conn_state(const struct conn *c);
/* "conn 17 127.0.0.1:4711", for logs; lives until the next call. */
const char *conn_name(const struct conn *c);

#define log_conn(level, c, ...) \
	(log_level() <= (level) ? log_line((level), conn_name(c), __VA_ARGS__) : (void)0)
