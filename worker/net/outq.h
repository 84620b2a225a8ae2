/* Queue of outgoing frames of one connection. Holds references, never copies payload, holds no memory while
 * empty. Knows no sockets: outq_gather() lends iovecs, outq_consume() takes back what was sent. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "compiler.h"
#include "frame.h"

enum { OUTQ_MAX_IOV = 64 };

/* What a frame takes beside its bytes counts, too: a peer that sends pings and never reads would else make a
 * queue of two bytes a frame that takes twenty times the memory of its limit. */
enum { OUTQ_FRAME_COST = 32 };

struct outq_ring;

struct outq {
	union {
		struct frame *single;   /* one is the common case, and needs no more */
		struct outq_ring *ring; /* of two and more */
	};
	uint32_t count;
	uint32_t sent;       /* bytes of the first frame that are gone already */
	size_t bytes;        /* still to be sent */
	uint32_t spared;     /* bytes of frames that do not count */
	uint32_t spared_end; /* bytes up to the end of the last of them */
};

/* Takes its own reference. False when the queue would hold more than limit bytes, OUTQ_FRAME_COST for each
 * frame among them; then nothing is taken: the caller closes the connection. The first frame of an empty
 * queue is always taken. */
bool outq_push(struct outq *q, struct frame *f, size_t limit) MUST_CHECK;
/* The same without a limit; as long as it is there, it does not count for those that are pushed behind it.
 * False when there is no memory. */
bool outq_push_spared(struct outq *q, struct frame *f) MUST_CHECK;
/* How much of that waits. */
size_t outq_spared(const struct outq *q);
/* Lends up to max iovecs; returns how many. */
int outq_gather(const struct outq *q, struct iovec *iov, int max);
/* That many bytes of what was lent were sent. */
void outq_consume(struct outq *q, size_t bytes);
/* Drops all frames but one of which a part is gone already: the peer must find the end of that one. */
void outq_drop_unsent(struct outq *q);
/* Drops all. */
void outq_clear(struct outq *q);
bool outq_empty(const struct outq *q);
