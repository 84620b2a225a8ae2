/* A second connection beside one that does not come up, or has fallen silent.
 *
 * Where packets are lost, the system sends those of a connection that is being made again after 1 s, 3 s, 7
 * s; and what was sent into a connection that the other side has forgotten is never answered. So when a link
 * is not up within a part of the time that it has, a rival is made beside it, again and again a new one, and
 * who logs in first is the link. The first one goes on being waited for meanwhile: it may be Redis that is
 * slow. So may be the way to it, or TLS: a rival that is getting on is not replaced, or it would never
 * arrive.
 *
 * A link that is up but silent may be half-open, or Redis may be busy. When a rival logs in and the link goes
 * on saying nothing, not a byte, the link is dead, and fails. Redis may also hold back a kind of commands
 * while it answers the others (writes, in CLIENT PAUSE and in a failover): so where the link names a command
 * as proof, the rival must have an answer to that one, too, any answer. Embedded in a link; knows nothing of
 * what it is for. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"

struct redis_link;
struct redis_rival;

enum {
	/* A rival is made, and made anew, after this part of the time in which a link must be up. */
	REDIS_RACE_PART = 4,
	/* After a rival is up, a doubted link has so long to say something: both are served in one turn of
	   Redis. */
	REDIS_RACE_PROOF_MS = 250,
};

struct redis_race {
	struct redis_link *link;
	struct redis_rival *rival; /* NULL: none */
	struct timer timer;
	struct task won;
	uint64_t doubted_ms; /* the link, which was up then */
	unsigned made;       /* rivals */
	uint64_t made_ms;    /* the last one */
	uint64_t proof_ms;   /* when one was last asked for its proof */
	bool off;            /* it is the link of a rival */
};

void redis_race_init(struct redis_race *r, struct redis_link *link);
/* The link begins to connect. */
void redis_race_start(struct redis_race *r);
/* The link is up, and what it owes does not come. While a race is on this does nothing. */
void redis_race_doubt(struct redis_race *r);
/* Not from within the callbacks of a rival. */
void redis_race_stop(struct redis_race *r);
