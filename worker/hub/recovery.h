/* Whether a client gets back to where it was, and what it gets on the way (client protocol 15). Pure: a
 * position, what is kept of the stream, and what the client says in, an answer out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "history.h"
#include "hub.h"
#include "recent.h"

/* What is to be read before the answer is known. */
enum recovery_lacks {
	RECOVERY_LACKS_NOTHING,
	RECOVERY_LACKS_TOP,    /* the client has seen more than we: it may be right */
	RECOVERY_LACKS_RECENT, /* the publications that it missed are not kept here */
};
enum recovery_lacks recovery_lacks(const struct want *want, enum recovery_mode mode,
                                   const struct position *position, const struct recent *recent);

struct recovery {
	bool recovered;
	uint64_t first; /* the publications to send: from this offset */
	uint64_t last;  /* to this; less than first: none */
};
struct recovery recovery_of(const struct want *want, enum recovery_mode mode, const struct position *position,
                            const struct recent *recent);

bool position_has_epoch(const struct position *p, struct bytes epoch);
