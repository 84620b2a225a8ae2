/* RESP2, the protocol of Redis (https://redis.io/docs/reference/protocol-spec/): commands into a buffer,
 * replies out of bytes as they arrive. Reading is hiredis' redisReader with object functions of our own,
 * which build a reply in memory that is used again for the next one, so that a message costs no allocation;
 * a message that is there as a whole is not even copied. Knows no sockets.
 *
 * Redis is not trusted: a reply is refused when it nests deeper than 7 arrays, an array has more than
 * RESP_ARRAY_MAX elements, or a reply as a whole needs more than RESP_REPLY_MAX bytes. Memory for strings is
 * taken as their bytes arrive, not when their length is announced. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "bytes.h"
#include "compiler.h"
#include "redis.h"

enum {
	RESP_ARRAY_MAX = 1 << 20,
	RESP_REPLY_MAX = 64 << 20,
	/* A line (an integer, a status, the length of something) that is longer is none. */
	RESP_LINE_MAX = 64 << 10,
	/* For best speed feed at most so much at once: the reader moves what is left after each kilobyte. */
	RESP_FEED = 4096,
};

/* Bytes that a command takes on the wire, at most. */
size_t resp_command_size(const struct bytes *argv, size_t argc);
/* A command by its argument vector. The caller has checked that there is room. */
void resp_put_command(struct buf *out, const struct bytes *argv, size_t argc);
/* The same in pieces: the number of arguments, then each of them. */
void resp_put_count(struct buf *out, size_t argc);
void resp_put_arg(struct buf *out, struct bytes arg);

struct resp;

struct resp *resp_new(void);
void resp_free(struct resp **r);

enum resp_result { RESP_PARTIAL, RESP_REPLY, RESP_BAD };

/* Bytes that arrived; any amount. False as RESP_BAD. */
bool resp_feed(struct resp *r, const char *data, size_t len) MUST_CHECK;
/* The next reply that is complete; it lives until the next call of any function here. After RESP_BAD the
 * reader is good for nothing but being freed. */
enum resp_result resp_next(struct resp *r, const struct redis_reply **reply) MUST_CHECK;
/* Bytes of a reply that has begun to come; 0: none has. */
size_t resp_begun(const struct resp *r);
/* Why it was RESP_BAD. */
const char *resp_error(const struct resp *r);

/* Whether a reply is an error that begins with this word: "NOAUTH", "LOADING". */
bool resp_is_error(const struct redis_reply *reply, const char *word);
