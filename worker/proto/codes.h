/* The codes of the client protocol and their texts: error replies, disconnects (WebSocket close codes),
 * unsubscribe pushes. A disconnect reason is never empty, never valid JSON, and under 124 bytes: SDKs depend
 * on it. */
#pragma once

#include <stdbool.h>

#define ERROR_CODES(X)                                          \
	X(INTERNAL, 100, "internal server error", true)         \
	X(UNAUTHORIZED, 101, "unauthorized", false)             \
	X(UNKNOWN_CHANNEL, 102, "unknown channel", false)       \
	X(PERMISSION_DENIED, 103, "permission denied", false)   \
	X(METHOD_NOT_FOUND, 104, "method not found", false)     \
	X(ALREADY_SUBSCRIBED, 105, "already subscribed", false) \
	X(LIMIT_EXCEEDED, 106, "limit exceeded", false)         \
	X(BAD_REQUEST, 107, "bad request", false)               \
	X(NOT_AVAILABLE, 108, "not available", false)           \
	X(TOKEN_EXPIRED, 109, "token expired", false)           \
	X(EXPIRED, 110, "expired", false)                       \
	X(TOO_MANY_REQUESTS, 111, "too many requests", true)    \
	X(UNRECOVERABLE_POSITION, 112, "unrecoverable position", false)

#define DISCONNECT_CODES(X)                                       \
	X(CONNECTION_CLOSED, 3000, "connection closed")           \
	X(SHUTDOWN, 3001, "shutdown")                             \
	X(INTERNAL_ERROR, 3004, "internal server error")          \
	X(EXPIRED, 3005, "connection expired")                    \
	X(SUBSCRIPTION_EXPIRED, 3006, "subscription expired")     \
	X(SLOW, 3008, "slow")                                     \
	X(WRITE_ERROR, 3009, "write error")                       \
	X(INSUFFICIENT_STATE, 3010, "insufficient state")         \
	X(FORCE_RECONNECT, 3011, "force reconnect")               \
	X(NO_PONG, 3012, "no pong")                               \
	X(TOO_MANY_REQUESTS, 3013, "too many requests")           \
	X(INVALID_TOKEN, 3500, "invalid token")                   \
	X(BAD_REQUEST, 3501, "bad request")                       \
	X(STALE, 3502, "stale")                                   \
	X(FORCE_DISCONNECT, 3503, "force disconnect")             \
	X(CONNECTION_LIMIT, 3504, "connection limit")             \
	X(CHANNEL_LIMIT, 3505, "channel limit")                   \
	X(INAPPROPRIATE_PROTOCOL, 3506, "inappropriate protocol") \
	X(PERMISSION_DENIED, 3507, "permission denied")           \
	X(NOT_AVAILABLE, 3508, "not available")

#define UNSUBSCRIBE_CODES(X)                              \
	X(SERVER, 2000, "server unsubscribe")             \
	X(INSUFFICIENT_STATE, 2500, "insufficient state") \
	X(EXPIRED, 2501, "subscription expired")

enum error_code {
	ERROR_NONE = 0,
#define ERROR_ENUM(name, code, message, temporary) ERROR_##name = code,
	ERROR_CODES(ERROR_ENUM)
#undef ERROR_ENUM
};

enum disconnect_code {
	DISCONNECT_NONE = 0,
#define DISCONNECT_ENUM(name, code, reason) DISCONNECT_##name = code,
	DISCONNECT_CODES(DISCONNECT_ENUM)
#undef DISCONNECT_ENUM
};

enum unsubscribe_code {
#define UNSUBSCRIBE_ENUM(name, code, reason) UNSUBSCRIBE_##name = code,
	UNSUBSCRIBE_CODES(UNSUBSCRIBE_ENUM)
#undef UNSUBSCRIBE_ENUM
};

/* For a code that is none of these, some text that serves. */
const char *error_message(enum error_code code);
bool error_temporary(enum error_code code);
const char *disconnect_reason(enum disconnect_code code);
const char *unsubscribe_reason(enum unsubscribe_code code);
