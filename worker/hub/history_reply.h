/* What the function fanfare_history answers: where a stream stands, and some of its publications. Redis is
 * not trusted: anything else than that is no answer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"

struct redis_reply;

/* What is asked of Redis in one piece: large enough that a read takes few of them, and small enough that
 * neither Redis nor a worker stands still for one. */
enum { HISTORY_PIECE = 1 << 20 };

/* No offset is larger: the library counts in numbers that are exact up to here. */
#define OFFSET_MAX ((UINT64_C(1) << 53) - 1)

struct history_entry {
	uint64_t offset;
	struct bytes payload;
};

struct history_reply {
	struct bytes epoch; /* of 1 to EPOCH_MAX bytes */
	uint64_t top;       /* the offset of the newest publication there ever was */
	bool more;          /* some that were asked for are left out, as they did not fit into the piece */
	struct history_entry *entries;
	size_t count;
};

/* Reads the reply, which is lent and has to stay; free with history_reply_free(). Entries ascend, or descend
 * if `reverse`; what others have put into the stream, so that nobody was told of it, is left out. NULL (no
 * answer came) and everything that is not of that form: false, and then, if Redis said something, a text for
 * people in *reason, else an empty one. */
bool history_reply_read(const struct redis_reply *reply, bool reverse, struct history_reply *out,
                        struct bytes *reason) MUST_CHECK;
void history_reply_free(struct history_reply *r);
