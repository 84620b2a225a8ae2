/* A small WebSocket client (RFC 6455) for the command line: one connection, text messages, waiting with
 * deadlines. Not for the data path, and without TLS. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"

struct ws_client;

enum {
	WS_CLIENT_OPEN_LIMIT_MS = 10000, /* from connect to the answer of the handshake */
	WS_CLIENT_SEND_LIMIT_MS = 10000,
	WS_CLIENT_MESSAGE_MAX = 40 << 20, /* an answer brings at most 32 MiB of what was missed */
};

enum ws_client_error {
	WS_CLIENT_TRY_LATER,   /* nobody there, no answer, a server error */
	WS_CLIENT_WRONG,       /* the URL is wrong, or who is there does not want us: 4xx, no WebSocket */
	WS_CLIENT_INTERRUPTED, /* by a signal */
};

struct ws_client_failure {
	enum ws_client_error error;
	char text[256];
};

/* ws://HOST[:PORT][/PATH][?QUERY] */
bool ws_client_is_url(const char *text) MUST_CHECK;
/* Connects and shakes hands with ws://HOST[:PORT][/PATH][?QUERY]. `waiting` is the signal mask while it
 * waits, here and later, so that a signal that is blocked otherwise cannot slip in before a wait. NULL with
 * the reason. Asks the resolver. */
struct ws_client *ws_client_open(const char *url, const sigset_t *waiting,
                                 struct ws_client_failure *failure) MUST_CHECK;
/* Says goodbye if the connection still stands. Accepts NULL. */
void ws_client_close(struct ws_client **c);

/* False when the connection is lost. */
bool ws_client_send(struct ws_client *c, struct bytes text) MUST_CHECK;

enum ws_client_event {
	WS_CLIENT_MESSAGE,
	WS_CLIENT_SILENCE, /* nothing came in time */
	WS_CLIENT_SIGNAL,
	WS_CLIENT_CLOSED, /* see ws_client_close_code() */
};

/* Waits for the next message, at most silence_ms from the last byte that came. The message is whole, and good
 * until the next call. Answers pings. */
enum ws_client_event ws_client_receive(struct ws_client *c, uint64_t silence_ms,
                                       struct bytes *message) MUST_CHECK;
/* After WS_CLIENT_CLOSED: as the server said, or 1006 without a word from it. */
uint16_t ws_client_close_code(const struct ws_client *c);
/* What it said, or what went wrong. */
const char *ws_client_close_reason(const struct ws_client *c);
