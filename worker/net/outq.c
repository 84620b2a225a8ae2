#include "outq.h"

#include <assert.h>

#include "mem.h"

enum { OUTQ_FIRST = 8 };

size_t outq_spared(const struct outq *q)
{
	return q->spared < q->spared_end ? q->spared : q->spared_end;
}

/* What waits, as the limit counts it. */
static size_t outq_cost(const struct outq *q)
{
	return q->bytes + (size_t)q->count * OUTQ_FRAME_COST - outq_spared(q);
}

/* A queue of one frame, the common case, lives in the struct; the ring comes with the second. */
static struct frame **slot(const struct outq *q, uint32_t i)
{
	if (q->cap == 0)
		return (struct frame **)&q->single;
	return &q->ring[(q->head + i) & (q->cap - 1)];
}

static bool outq_grow(struct outq *q)
{
	uint32_t cap = q->cap != 0 ? q->cap * 2 : OUTQ_FIRST;
	struct frame **ring = mem_try_alloc(cap * sizeof(*ring));

	if (ring == NULL)
		return false;
	for (uint32_t i = 0; i < q->count; i++)
		ring[i] = *slot(q, i);
	if (q->cap != 0)
		mem_free(q->ring);
	q->ring = ring;
	q->cap = cap;
	q->head = 0;
	return true;
}

bool outq_push(struct outq *q, struct frame *f, size_t limit)
{
	size_t waiting = outq_cost(q);

	if (q->count > 0 && (waiting > limit || (size_t)f->len + OUTQ_FRAME_COST > limit - waiting))
		return false;
	if (q->count == (q->cap != 0 ? q->cap : 1) && !outq_grow(q))
		return false;
	*slot(q, q->count) = frame_ref(f);
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
		struct frame *f = *slot(q, i);
		size_t sent = i == 0 ? q->sent : 0;

		iov[n] = (struct iovec){f->data + sent, f->len - sent};
	}
	return n;
}

/* Removes the first frame. */
static void outq_pop(struct outq *q)
{
	frame_unref(slot(q, 0));
	q->count--;
	q->sent = 0;
	if (q->cap == 0)
		return;
	q->head = (q->head + 1) & (q->cap - 1);
	if (q->count == 0) {
		mem_free(q->ring);
		q->ring = NULL;
		q->cap = q->head = 0;
	}
}

void outq_consume(struct outq *q, size_t bytes)
{
	assert(bytes <= q->bytes);
	q->bytes -= bytes;
	q->spared_end = bytes < q->spared_end ? q->spared_end - (uint32_t)bytes : 0;
	while (q->count > 0) {
		size_t left = (*slot(q, 0))->len - q->sent;

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
	first = frame_ref(*slot(q, 0));
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
