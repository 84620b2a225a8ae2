/* Open addressing with linear probing, as map.c; but keys and values are small enough to stand in the table.
 */
#include "census.h"

#include <assert.h>
#include <string.h>

#include "map.h"
#include "mem.h"

enum { CENSUS_FIRST = 16 };

/* IPv4 gets the place of 0:ffff::/32, which nobody has. */
uint64_t census_key(const struct ip *ip)
{
	uint64_t key = 0;
	size_t from = ip_is_4(ip) ? IP_LEN / 2 : 0;

	for (size_t i = 0; i < sizeof(key); i++)
		key = key << 8 | ip->bytes[from + i];
	return key;
}

static size_t home(const struct census *c, uint64_t key)
{
	char bytes[sizeof(key)];

	memcpy(bytes, &key, sizeof(key));
	return (size_t)map_hash((struct bytes){bytes, sizeof(bytes)}) & (c->cap - 1);
}

/* The entry of the key, or the empty one where it would go. The table is never full. */
static struct census_entry *find(const struct census *c, uint64_t key)
{
	size_t mask = c->cap - 1;

	for (size_t i = home(c, key);; i = (i + 1) & mask) {
		struct census_entry *e = &c->entries[i];

		if (e->count == 0 || e->key == key)
			return e;
	}
}

static void resize(struct census *c, size_t cap)
{
	struct census old = *c;

	c->entries = mem_alloc(cap * sizeof(*c->entries));
	c->cap = cap;
	for (size_t i = 0; i < old.cap; i++) {
		if (old.entries[i].count > 0)
			*find(c, old.entries[i].key) = old.entries[i];
	}
	mem_free(old.entries);
}

void census_free(struct census *c)
{
	mem_free(c->entries);
	*c = (struct census){0};
}

uint32_t census_count(const struct census *c, uint64_t key)
{
	return c->used == 0 ? 0 : find(c, key)->count;
}

void census_add(struct census *c, uint64_t key)
{
	struct census_entry *e;

	if (c->cap == 0 || (c->used + 1) * 4 > c->cap * 3)
		resize(c, c->cap ? c->cap * 2 : CENSUS_FIRST);
	e = find(c, key);
	c->used += e->count == 0;
	e->key = key;
	e->count++;
}

/* Closes the hole: entries that were pushed past it move back. */
static void close_gap(struct census *c, size_t i)
{
	size_t mask = c->cap - 1;

	for (size_t j = (i + 1) & mask; c->entries[j].count > 0; j = (j + 1) & mask) {
		if (((j - home(c, c->entries[j].key)) & mask) >= ((j - i) & mask)) {
			c->entries[i] = c->entries[j];
			i = j;
		}
	}
	c->entries[i] = (struct census_entry){0};
}

void census_remove(struct census *c, uint64_t key)
{
	struct census_entry *e;

	assert(c->used > 0);
	e = find(c, key);
	assert(e->count > 0);
	if (--e->count > 0)
		return;
	close_gap(c, (size_t)(e - c->entries));
	c->used--;
	if (c->used == 0)
		census_free(c);
	else if (c->cap > CENSUS_FIRST && c->used * 8 < c->cap)
		resize(c, c->cap / 2);
}
