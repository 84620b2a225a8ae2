/* The reads of histories from Redis: a few at a time, the others wait for their turn, and what failed is
 * tried again. So a worker that comes back with a hundred thousand channels does not bury Redis, nor itself.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "list.h"

struct backlog;
struct history;
struct redis;

struct history_reads {
	struct redis *redis;
	const struct backlog *backlog; /* of the turns that the reads are a part of */
	struct list queue;    /* histories that want a read; none is looked at when the turn is spent */
	struct list later;    /* those whose channel had its share, and that wait for the next turn */
	struct list failed;   /* those that wait for the next tick */
	struct list verified; /* all whose position was true once, the longest ago first */
	uint64_t check_delay_ms;
	size_t in_flight;
	size_t large;     /* what an answer has, if it is one of the larger ones */
	size_t laborious; /* the work of delivering what it has, likewise */
};

/* Positions are checked when they have not been seen to be true for check_delay_ms; 0: never. */
void history_reads_init(struct history_reads *r, struct redis *redis, const struct backlog *backlog,
                        uint64_t check_delay_ms);
/* Puts the history into the queue, if it wants a read and is not there. Its replies come from the loop, with
 * the channel held: history_take(), history_no_reply(). */
void history_reads_want(struct history *h);
/* The same, also if it was to wait until later. */
void history_reads_want_now(struct history *h);
/* It is read with the next tick, if it still wants it. */
void history_reads_want_later(struct history *h);
/* It wants none any more; one on its way is cancelled. */
void history_reads_forget(struct history *h);
/* Its position was true just now. */
void history_reads_verified(struct history *h);
/* A turn has begun: reads what had to wait, because the channel or the turn had their share. */
void history_reads_next_turn(struct history_reads *r);
/* Tries again what failed, and has old positions checked. */
void history_reads_tick(struct history_reads *r);
