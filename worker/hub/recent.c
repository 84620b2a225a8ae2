/* A ring of pointers for each channel, and one list of all channels that keep something. Who needs memory
 * takes it from itself as long as it has more than its part, the limit divided by the number of channels;
 * after that from the next in the list that has. So a busy channel cannot push out the quiet ones, and
 * looking for memory costs no more than a few steps. */
#include "recent.h"

#include <assert.h>
#include <string.h>

#include "compiler.h"
#include "mem.h"

struct recent_entry {
	uint32_t len;
	char payload[];
};

enum {
	FIRST_CAP = 2,
	STEPS = 16, /* channels that are asked for memory, before one has to give some in any case */
};

void recent_pool_init(struct recent_pool *pool, size_t limit_bytes)
{
	*pool = (struct recent_pool){.limit = limit_bytes};
	list_init(&pool->runs);
}

void recent_init(struct recent *r, struct recent_pool *pool, uint32_t most)
{
	*r = (struct recent){.pool = pool, .most = most};
	list_init(&r->node);
}

static size_t part(const struct recent_pool *pool)
{
	return pool->limit / (pool->run_count > 0 ? pool->run_count : 1);
}

/* A pin keeps what is there, but not without an end: a stream of clients that come would hold it for ever.
 * Those who wait for much take nothing from those who wait for little. */
static bool is_pinned(const struct recent *r)
{
	return r->pins > 0 && r->count < 2 * (size_t)r->most &&
	       (r->pool->bytes < 2 * r->pool->limit || r->bytes <= part(r->pool));
}

static size_t cost(size_t len)
{
	return mem_cost(sizeof(struct recent_entry) + len);
}

static size_t ring_cost(uint32_t cap)
{
	return cap > 0 ? mem_cost(cap * sizeof(struct recent_entry *)) : 0;
}

static void count(struct recent *r, size_t more, size_t less)
{
	r->bytes += more - less;
	r->pool->bytes += more - less;
}

static struct recent_entry **slot(const struct recent *r, uint32_t index)
{
	return &r->ring[(r->head + index) & (r->cap - 1)];
}

uint64_t recent_first(const struct recent *r)
{
	return r->count > 0 ? r->last - r->count + 1 : 0;
}

/* A run that keeps nothing has no ring, and is not in the list. */
static void empty(struct recent *r)
{
	if (list_linked(&r->node)) {
		list_remove(&r->node);
		r->pool->run_count--;
	}
	mem_free(r->ring);
	count(r, 0, ring_cost(r->cap));
	r->ring = NULL;
	r->cap = r->head = r->count = 0;
}

static void drop_oldest(struct recent *r)
{
	struct recent_entry *oldest = *slot(r, 0);

	count(r, 0, cost(oldest->len));
	mem_free(oldest);
	r->head++;
	if (--r->count == 0)
		empty(r);
}

void recent_clear(struct recent *r)
{
	while (r->count > 0)
		drop_oldest(r);
}

/* --- memory --- */

static bool is_over(const struct recent_pool *pool, size_t more)
{
	return pool->bytes + more > pool->limit;
}

/* The next in turn that has more than its part, or, after some steps, anything; NULL: all are pinned. */
static struct recent *donor(struct recent_pool *pool, const struct recent *except)
{
	struct recent *any = NULL;

	for (size_t i = 0; i < STEPS && !list_empty(&pool->runs); i++) {
		struct recent *r = container_of(list_pop(&pool->runs), struct recent, node);

		list_append(&pool->runs, &r->node);
		if (is_pinned(r) || r == except)
			continue;
		any = r;
		if (r->bytes > part(pool))
			break;
	}
	return any;
}

/* Pinned, it takes what it needs. */
static bool make_room(struct recent *r, size_t size)
{
	struct recent_pool *pool = r->pool;

	while (is_over(pool, size) && !is_pinned(r) && r->count > 0 && r->bytes + size > part(pool))
		drop_oldest(r);
	while (is_over(pool, size) && r->bytes + size <= part(pool)) {
		struct recent *other = donor(pool, r);

		if (other == NULL)
			break;
		drop_oldest(other);
	}
	return !is_over(pool, size) || is_pinned(r);
}

/* --- adding --- */

static uint32_t next_cap(const struct recent *r)
{
	return r->cap > 0 ? 2 * r->cap : FIRST_CAP;
}

static void grow(struct recent *r)
{
	uint32_t cap = next_cap(r);
	struct recent_entry **ring = mem_alloc(cap * sizeof(struct recent_entry *));

	for (uint32_t i = 0; i < r->count; i++)
		ring[i] = *slot(r, i);
	mem_free(r->ring);
	count(r, ring_cost(cap), ring_cost(r->cap));
	r->ring = ring;
	r->cap = cap;
	r->head = 0;
}

/* With the slot for it, which the ring may have to grow for. */
static size_t needed(const struct recent *r, size_t len)
{
	return cost(len) + (r->count == r->cap ? ring_cost(next_cap(r)) - ring_cost(r->cap) : 0);
}

/* NULL when there is no room. */
static struct recent_entry *entry_new(struct recent *r, struct bytes payload)
{
	struct recent_entry *e;

	if (payload.len > UINT32_MAX || !make_room(r, needed(r, payload.len)))
		return NULL;
	e = mem_try_alloc(sizeof(*e) + payload.len);
	if (e == NULL)
		return NULL;
	e->len = (uint32_t)payload.len;
	memcpy(e->payload, payload.ptr, payload.len);
	return e;
}

static void count_in(struct recent *r, const struct recent_entry *e)
{
	r->count++;
	count(r, cost(e->len), 0);
	if (list_linked(&r->node))
		return;
	list_append(&r->pool->runs, &r->node);
	r->pool->run_count++;
}

void recent_append(struct recent *r, uint64_t offset, struct bytes payload)
{
	struct recent_entry *e;

	if (r->count > 0 && offset != r->last + 1)
		recent_clear(r);
	while (!is_pinned(r) && r->count >= r->most && r->count > 0)
		drop_oldest(r);
	e = entry_new(r, payload);
	if (e == NULL) {
		recent_clear(r);
		return;
	}
	if (r->count == r->cap)
		grow(r);
	*slot(r, r->count) = e;
	r->last = offset;
	count_in(r, e);
}

void recent_prepend(struct recent *r, uint64_t offset, struct bytes payload)
{
	struct recent_entry *e;
	uint64_t before;

	if (r->count == 0 || offset + 1 != recent_first(r) || (!is_pinned(r) && r->count >= r->most))
		return;
	before = r->last;
	e = entry_new(r, payload);
	if (e == NULL)
		return;
	/* Making room may have taken the oldest of this very run: then the new one does not fit any more. */
	if (r->count == 0 || r->last != before || offset + 1 != recent_first(r)) {
		mem_free(e);
		return;
	}
	if (r->count == r->cap)
		grow(r);
	r->head--;
	*slot(r, 0) = e;
	count_in(r, e);
}

/* --- questions --- */

bool recent_reaches(const struct recent *r, uint64_t since)
{
	return r->count > 0 && since <= r->last && recent_first(r) <= since + 1;
}

struct bytes recent_get(const struct recent *r, uint64_t offset)
{
	const struct recent_entry *e;

	assert(r->count > 0 && offset >= recent_first(r) && offset <= r->last);
	e = *slot(r, (uint32_t)(offset - recent_first(r)));
	return (struct bytes){e->payload, e->len};
}

void recent_pin(struct recent *r)
{
	r->pins++;
}

void recent_unpin(struct recent *r)
{
	assert(r->pins > 0);
	r->pins--;
}
