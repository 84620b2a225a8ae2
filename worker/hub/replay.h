/* What those get who come back to a channel: its newest publications as the answers to them hold it. When
 * thousands come back at once they all get the same text, or the end of it, so it is made once. Made of
 * `recent`, which says what there is; has nothing to do with live publications. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "compiler.h"
#include "list.h"

struct codec;
struct recent;

/* Bytes that are made at once, and a publication more. */
enum { REPLAY_PIECE = 1 << 20 };

/* All of a worker: those that were used last, up to a limit; the very last one, and one that is being made,
 * in any case. */
struct replays {
	struct list used;      /* the longest ago first */
	struct replay *making; /* in pieces; NULL: none */
	size_t bytes;
};

/* Takes no memory until it is needed. */
struct replay {
	struct replays *all;
	struct list node;
	uint64_t used_ms;
	uint64_t first;  /* offset of the first that is in it */
	struct buf text; /* of all, one behind the other */
	struct buf ends; /* of each in the text, as uint64_t */
	size_t bytes;    /* as counted in all */
};

void replays_init(struct replays *all);
/* To be called now and then: forgets what nobody needed for some seconds. */
void replays_tick(struct replays *all);

void replay_init(struct replay *r, struct replays *all);
/* What it holds is not what the channel has any more. */
void replay_forget(struct replay *r);
/* Makes a piece of what replay_put() will be asked for. False: that was not all of it, and it is to be called
 * again, with what is there then. So a large one is made in several turns of the loop. */
bool replay_prepare(struct replay *r, const struct codec *codec, const struct recent *recent, uint64_t first,
                    uint64_t last) MUST_CHECK;
/* Appends the publications from one offset to another, which are all in `recent`, in the form of
 * subscribe_result.publications. What is no publication is left out. */
void replay_put(struct replay *r, const struct codec *codec, const struct recent *recent, uint64_t first,
                uint64_t last, struct buf *out);
