/* What waits in the backlog for a turn of the worker, seen as a part of the stream: as long as it goes on
 * from the position without a gap, nothing of it is missing, whatever Redis still has. It is trusted to be of
 * the stream if it came over one link with what was delivered. When the link was made anew, what came before
 * and after may come from two servers, one of which has lost writes, and offsets that fit together prove
 * nothing: until Redis was asked for the last that came before, what came after is not counted; and nothing
 * is, once it has been seen that the two have parted. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"

struct history;
struct waiting;

enum { TRUST_NONE = 0 };
#define TRUST_ALL UINT32_MAX

/* The last before a gap, or before what is not trusted. */
struct history_ahead {
	uint64_t offset;
	uint64_t hash; /* of its payload */
	/* It, or what waits behind it and has no offset; NULL: it is the position itself. */
	struct waiting *last;
};
void history_look_ahead(const struct history *h, struct history_ahead *out);
/* Whether all that waits is trusted, and the first of it goes on from the position. */
bool history_goes_on(const struct history *h) MUST_CHECK;
