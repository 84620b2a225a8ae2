/* What is read of a stream from Redis, and what becomes of it: the position, what is missing after it, and
 * what those who come back missed before it. What is filled in is handed on as far as the turn goes, and the
 * rest is read again; what they missed is read piece by piece, from the newest back. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

struct history;
struct history_reply;

enum { HISTORY_READ_MAX = 300 };
struct history_read {
	bool newest;     /* the last `limit`; else those after `since` */
	uint64_t before; /* of use if newest: the last before this offset; 0: of all, as no position is known
	                  */
	uint64_t since;  /* of use if not, and limit is not 0 */
	uint32_t limit;  /* 0: the position alone */
	bool parted;     /* the epoch is to end, if it is still the one of the position */
};
bool history_wants_read(const struct history *h) MUST_CHECK;
/* The read is sent. */
void history_begin_read(struct history *h, struct history_read *read);
/* Its answer. May end with wanting another read. */
void history_take(struct history *h, const struct history_reply *reply);
/* There was none. */
void history_no_reply(struct history *h);
