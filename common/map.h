/* Hash table from bytes to a pointer. Keyed with a secret of this process (SipHash-1-3), so that a peer who
 * chooses the keys cannot make them collide. Does not copy keys: a key must live, unchanged, as long as its
 * entry, which is easy when it stands inside the value. */
#pragma once

#include <stdint.h>

#include "bytes.h"

struct map_slot {
	uint64_t hash;
	struct bytes key;
	void *value;
};

/* A table that grows is moved into the next one some slots a change, so that a million entries stop nobody
 * for the tenth of a second that it takes to move them all. */
struct map {
	struct map_slot *slots;
	size_t cap;
	size_t count;         /* in both tables */
	struct map_slot *old; /* what is not moved yet; NULL: nothing */
	size_t old_cap;
	size_t moved; /* slots of the old table */
};

void map_init(struct map *m);
/* Frees the table; values are the caller's. */
void map_free(struct map *m);

/* NULL when there is none. */
void *map_get(const struct map *m, struct bytes key);
/* The key must not be there yet; value must not be NULL. */
void map_add(struct map *m, struct bytes key, void *value);
/* Removes and returns the value, NULL when there is none. */
void *map_remove(struct map *m, struct bytes key);
/* Walks all values: start with *cursor 0; NULL at the end. The map must not change on the way. */
void *map_next(const struct map *m, size_t *cursor);

/* The keyed hash itself (SipHash-1-3 by Aumasson and Bernstein), for other tables. */
uint64_t map_hash(struct bytes key);
