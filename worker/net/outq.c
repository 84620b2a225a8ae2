#include "outq.h"

#include <assert.h>

#include "mem.h"

enum { OUTQ_FIRST = 8 };

struct outq_ring {
	uint32_t cap; /* slots, a power of two */
	uint32_t head;
	struct frame *slots[];
};

size_t outq_spared(const struct outq *q)
{
	return q->spared < q->spared_end ? q->spared : q->spared_end;
}

/* What waits, as the limit counts it. */
static size_t outq_cost(const struct outq *q)
{
	return q->bytes + (size_t)q->count * OUTQ_FRAME_COST - outq_spared(q);
}

static struct frame **slot(struct outq_ring *r, uint32_t i)
{
	return &r->slots[(r->head + i) & (r->cap - 1)];
}

static struct frame *frame_at(const struct outq *q, uint32_t i)
{
	return q->count > 1 ? *slot(q->ring, i) : q->single;
}

static struct outq_ring *ring_new(uint32_t cap)
{
	struct outq_ring *r = mem_try_alloc(sizeof(*r) + cap * sizeof(r->slots[0]));

	if (r != NULL)
		*r = (struct outq_ring){.cap = cap};
	return r;
}

/* Makes room in the ring for one frame more; without one, begins it with the frame that is there. */
static bool make_room(struct outq *q)
{
	struct outq_ring *r;

	if (q->count > 1 && q->count < q->ring->cap)
		return true;
	r = ring_new(q->count > 1 ? q->ring->cap * 2 : OUTQ_FIRST);
	if (r == NULL)
		return false;
	for (uint32_t i = 0; i < q->count; i++)
		r->slots[i] = frame_at(q, i);
	if (q->count > 1)
		mem_free(q->ring);
	q->ring = r;
	return true;
}

bool outq_push(struct outq *q, struct frame *f, size_t limit)
{
	size_t waiting = outq_cost(q);

	if (q->count > 0 && (waiting > limit || (size_t)f->len + OUTQ_FRAME_COST > limit - waiting))
		return false;
	if (q->count > 0 && !make_room(q))
		return false;
	if (q->count > 0)
		*slot(q->ring, q->count) = frame_ref(f);
	else
		q->single = frame_ref(f);
	q->count++;
	q->bytes += f->len;
	return true;
}

bool outq_push_spared(struct outq *q, struct frame *f)
{
	size_t spared = outq_spared(q) + f->len;

	if (!outq_push(q, f, SIZE_MAX))
		return false;
	q->spared = spared < UINT32_MAX ? (uint32_t)spared : UINT32_MAX;
	q->spared_end = q->bytes < UINT32_MAX ? (uint32_t)q->bytes : UINT32_MAX;
	return true;
}

int outq_gather(const struct outq *q, struct iovec *iov, int max)
{
	int n = 0;

	for (uint32_t i = 0; i < q->count && n < max; i++, n++) {
		struct frame *f = frame_at(q, i);
		size_t sent = i == 0 ? q->sent : 0;

		iov[n] = (struct iovec){f->data + sent, f->len - sent};
	}
	return n;
}

/* Removes the first frame. The ring goes when one is left. */
static void outq_pop(struct outq *q)
{
	struct outq_ring *r = q->count > 1 ? q->ring : NULL;
	struct frame *first = frame_at(q, 0);

	frame_unref(&first);
	q->sent = 0;
	q->count--;
	if (q->count > 1) {
		r->head = (r->head + 1) & (r->cap - 1);
	} else {
		q->single = r != NULL ? *slot(r, 1) : NULL;
		mem_free(r);
	}
}

void outq_consume(struct outq *q, size_t bytes)
{
	assert(bytes <= q->bytes);
	q->bytes -= bytes;
	q->spared_end = bytes < q->spared_end ? q->spared_end - (uint32_t)bytes : 0;
	while (q->count > 0) {
		size_t left = frame_at(q, 0)->len - q->sent;

		if (bytes < left) {
			q->sent += (uint32_t)bytes;
			return;
		}
		bytes -= left;
		outq_pop(q);
	}
}

void outq_drop_unsent(struct outq *q)
{
	struct frame *first;
	uint32_t sent = q->sent;

	if (sent == 0) {
		outq_clear(q);
		return;
	}
	first = frame_ref(frame_at(q, 0));
	outq_clear(q);
	q->single = first;
	q->count = 1;
	q->sent = sent;
	q->bytes = first->len - sent;
}

void outq_clear(struct outq *q)
{
	while (q->count > 0)
		outq_pop(q);
	q->bytes = 0;
	q->spared = q->spared_end = 0;
}

bool outq_empty(const struct outq *q)
{
	return q->count == 0;
}
