/* The newest publications of a channel, kept so that clients who come back all at once cost Redis nothing. A
 * run without gaps that ends at the newest; payloads are kept as they came. All channels of a worker share
 * the memory of one pool: when that is full, the channels that take more than their part give up their oldest
 * first. Pure: knows neither Redis nor subscribers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "list.h"

struct recent_entry;

struct recent_pool {
	size_t bytes; /* all that is kept, with what keeping it takes */
	size_t limit;
	struct list runs; /* those that keep something; rotated when memory is looked for */
	size_t run_count;
};

struct recent {
	struct recent_pool *pool;
	struct list node;           /* in pool->runs */
	struct recent_entry **ring; /* cap slots, a power of two */
	uint32_t cap;
	uint32_t head;
	uint32_t count;
	uint32_t most;
	uint32_t pins;
	uint64_t last; /* the offset of the newest; of use while count is not 0 */
	size_t bytes;
};

void recent_pool_init(struct recent_pool *pool, size_t limit_bytes);

/* Keeps nothing, and takes no memory, until something is added; then at most so many publications. */
void recent_init(struct recent *r, struct recent_pool *pool, uint32_t most);
void recent_clear(struct recent *r);

/* Adds the newest. If its offset does not follow the last one, everything before it is forgotten. What is too
 * large for the pool is forgotten with everything before it. */
void recent_append(struct recent *r, uint64_t offset, struct bytes payload);
/* Adds one that stands before all others, if its offset does, and there is room for it; else nothing. */
void recent_prepend(struct recent *r, uint64_t offset, struct bytes payload);

/* Whether all publications after `since`, up to the newest, are there; none is needed for the newest itself.
 */
bool recent_reaches(const struct recent *r, uint64_t since);
/* The offset of the oldest; 0 when there is none. */
uint64_t recent_first(const struct recent *r);
/* The payload of an offset that is there; lives until the run is changed. */
struct bytes recent_get(const struct recent *r, uint64_t offset);

/* While it is pinned, nothing is given up, so that an answer finds what it was promised; up to twice of what
 * the run and the pool may keep else. Beyond that a pinned run still has its part of the pool. */
void recent_pin(struct recent *r);
void recent_unpin(struct recent *r);
