/* How a turn of the worker is shared among the channels. A publication is delivered as it comes, as long as
 * its channel, and the turn as a whole, have not had their share; what comes beyond waits here, channel by
 * channel, and is delivered in the next turns, each channel of them in rotation. So a channel that sends more
 * than can be delivered has its own publications wait, not those of others, and not the commands of clients
 * either. What comes while a channel is not ready for it, because something is missing before it, waits here
 * as well.
 *
 * Work is counted, not timed, in units of one delivery. A turn that is full takes some 30 ms: 13 ms for the
 * deliveries and the rest for a send to each of some thousand sockets. Smaller shares would make it shorter,
 * but fewer publications would go together in one send, which is what a burst lives on: 50 messages to 1,000
 * subscribers still fit into one turn.
 *
 * What waits has a ceiling, as Redis has one for a subscriber that does not read (32 MB for one channel here
 * as there), and less for one that is not ready, which may not be for long. What is beyond is dropped,
 * counted and logged: where there is history, it is a gap, which is filled or told as any other. Knows
 * nothing of what a publication is. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"
#include "list.h"

struct channel;

enum {
	/* The work of decoding and encoding, and of a send that is for this message alone, in deliveries. */
	BACKLOG_MESSAGE = 24,
	BACKLOG_TURN = 128 << 10,
	BACKLOG_CHANNEL = 64 << 10,       /* of a turn */
	BACKLOG_VISIT = 8 << 10,          /* of a channel, when it is its turn among those that wait */
	BACKLOG_LEAST = BACKLOG_TURN / 4, /* for what waits, even if what came in this turn took it all */
	BACKLOG_BYTES = 64 << 20,         /* in all; of one channel no more than is left for all others */
	/* Of a channel that is not ready. It is for as long as a read takes; should that fail again and
	 * again, more would be of no use, as the read that brings what is missing can bring what comes after
	 * it as well. */
	BACKLOG_HELD = 8 << 20,
};

struct backlog;

struct backlog_events {
	/* Delivers what had to wait; `stamp` as it was put. False: the channel is not ready for it, and it
	 * waits on, with all behind it, until backlog_resume(). The channel is held by a walk. */
	bool (*take)(struct channel *ch, struct bytes payload, uint32_t stamp);
	/* All that waited when backlog_mark() was called is delivered. */
	void (*marked)(struct channel *ch);
	/* All that waited is delivered, but for what was dropped in between, if anything was. */
	void (*delivered)(struct channel *ch, bool dropped);
	/* backlog_end_turn() is due at the end of this turn. */
	void (*turn_began)(struct backlog *b);
};

/* Of all channels. */
struct backlog {
	const struct backlog_events *events;
	struct list
		channels; /* struct backlog_queue of those that are ready, the next one to be visited first */
	size_t bytes;
	uint32_t turn;  /* its number; never 0 */
	uint32_t spent; /* in this turn */
	bool begun;     /* the turn */
};

/* Of one channel, while something waits. */
struct backlog_queue;
struct waiting;

/* The share of a channel. Zeroed at birth. */
struct backlog_share {
	struct backlog_queue *queue; /* NULL: nothing waits */
	uint32_t turn;               /* in which it last had something delivered */
	uint32_t spent;              /* in that turn */
};

void backlog_init(struct backlog *b, const struct backlog_events *events);
/* Counts work for the channel, in deliveries. */
void backlog_spend(struct backlog *b, struct channel *ch, uint32_t work);
/* What the channel has had of this turn. */
uint32_t backlog_spent(const struct backlog *b, const struct channel *ch) MUST_CHECK;
/* Whether the turn as a whole has not had its share. */
bool backlog_turn_has_room(const struct backlog *b) MUST_CHECK;
/* Whether neither the channel nor the turn have had their share. */
bool backlog_has_room(const struct backlog *b, const struct channel *ch) MUST_CHECK;
/* Whether a publication may be delivered now; counts what it takes but for its deliveries if so. */
bool backlog_admit(struct backlog *b, struct channel *ch) MUST_CHECK;
/* It was not admitted, or the channel is not ready for it: a copy waits, if there is room. */
void backlog_put(struct backlog *b, struct channel *ch, struct bytes payload, uint32_t stamp);
/* Whether anything does. */
bool backlog_waits(const struct channel *ch) MUST_CHECK;
/* Shows what waits, in the order in which it came, until `see` says no; returns the last of those before
 * that, NULL if there is none. It stays there as long as the channel is not ready for it. */
struct waiting *backlog_look(const struct channel *ch,
                             bool (*see)(void *arg, struct bytes payload, uint32_t stamp), void *arg);
/* Puts another one behind one that waits, and moves *after on to it; what was marked there is now marked
 * behind both. */
void backlog_put_after(struct backlog *b, struct channel *ch, struct waiting **after, struct bytes payload,
                       uint32_t stamp);
/* Tells when all that waits for the channel now is delivered: events.marked, if anything waits. */
void backlog_mark(struct channel *ch);
/* The channel will not be ready for it soon: of what waits, the newest is dropped as far as it is more than
 * BACKLOG_HELD. */
void backlog_trim(struct backlog *b, struct channel *ch);
/* The channel is ready for what waits. */
void backlog_resume(struct backlog *b, struct channel *ch);
/* The end of a turn: delivers what waits, as far as this turn goes. True: something still waits that could be
 * delivered. */
bool backlog_end_turn(struct backlog *b) MUST_CHECK;
/* Drops what waits for the channel. */
void backlog_forget(struct backlog *b, struct channel *ch);
