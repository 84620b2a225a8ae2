/* The stream of a channel with history as this worker knows it: where it stands, its newest publications, and
 * who waits for a position in it.
 *
 * Whatever comes is handed on in the order of the offsets, each once. A gap, a lost link or a Redis that fell
 * back behind what it had sent stops the stream until the missing part was read, and what comes meanwhile
 * waits in the backlog; subscribers notice nothing but the delay. What cannot be had any more is told to
 * those who watch their position (hub_events.lost). A stream is proved by content, too: where Redis holds
 * another publication under the offset that was seen last, the two have parted.
 *
 * Who waits for a position is history_waiters.h's, what is read and what becomes of it history_fill.h's, and
 * when it is read history_reads.h's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"
#include "list.h"
#include "recent.h"
#include "replay.h"

struct channel;
struct channel_options;
struct history_reads;
struct publication;
struct redis_call;

/* Of the epochs that the function library makes, and some. */
enum { EPOCH_MAX = 32 };

struct position {
	uint64_t offset;
	uint8_t epoch_len; /* 0: not known yet */
	char epoch[EPOCH_MAX];
};

struct history {
	struct channel *channel;
	const struct channel_options *options;
	struct history_reads *reads;
	struct list node;     /* in a list of reads */
	struct list verified; /* in reads' list of positions that were true then */
	uint64_t verified_ms;
	uint64_t newest_ms;      /* when the newest publication came, or was read */
	struct redis_call *call; /* the read on its way; of reads */
	struct list waiters;
	struct position position;
	uint64_t newest_hash; /* of the payload at the position; 0: not known */
	struct recent recent;
	struct replay replay;
	uint64_t asked_from; /* of the read on its way: the last offset that was known when it was sent */
	struct waiting *asked_after; /* which is of this one that waits; NULL: of the position */
	uint64_t asked_hash;         /* its payload's */
	uint64_t lacked;             /* the offset that Redis had not when a check found it further on */
	uint64_t lacked_ms;          /* since when */
	uint32_t asked;              /* the number of the read on its way */
	uint32_t trusted;            /* what waits and came before that is of the stream (history_ahead.h) */
	uint32_t sent;               /* reads, and confirmations between them */
	uint32_t answered;           /* the number of the last read that found nothing beyond the position */
	uint32_t remembered; /* of the last that has brought all there is of the newest publications */
	bool behind;         /* something is missing: what comes waits, until a read has filled it in */
	bool doubted;        /* another read must begin after this moment before the stream is trusted */
	bool parted;         /* Redis went on from another one under our epoch: it is to begin a new one */
	bool removed;        /* while a read was on its way, which brings back what is gone */
	bool reading;
	bool reading_newest;
	bool reading_on; /* who comes back lacks what is before that which a read of the newest has brought */
	uint64_t reading_before; /* with reading_newest: of those before this offset; 0: of all */
};

struct history *history_new(struct channel *ch, const struct channel_options *options,
                            struct history_reads *reads, struct recent_pool *pool);
/* Without waiters. Accepts NULL. */
void history_free(struct history **h);

/* Redis confirmed the channel, for the first time or again: until now, messages may have been missed, and
 * what comes now may come from another server. */
void history_confirmed(struct history *h);
/* Its position has not been seen to be true for long: once nothing of it waits, it is read again, while
 * everything goes on. */
void history_doubt(struct history *h);
/* Its publications are removed; the position goes on. */
void history_removed(struct history *h);
/* What is kept is of no use: the next one who needs it has it read again. */
void history_forget(struct history *h);
/* To be asked when a message comes: what was asked of Redis before. */
uint32_t history_stamp(const struct history *h);
/* Takes a message, which came at that stamp. The publication was decoded from the payload; one without data
 * keeps its place, and is not delivered. False: something is missing before it; it has to wait, with all that
 * comes after it, until backlog_resume(). */
bool history_message(struct history *h, const struct publication *p, struct bytes payload,
                     uint32_t stamp) MUST_CHECK;
