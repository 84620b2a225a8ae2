/* Open addressing with linear probing; removal shifts back, so there are no tombstones. */
#include "map.h"

#include <assert.h>
#include <string.h>

#include "mem.h"
#include "random.h"

enum { MAP_FIRST = 16 };

static uint64_t secret[2];

/* Before main(), so that no table can have been filled under another secret. */
__attribute__((constructor)) static void map_draw_secret(void)
{
	random_bytes(secret, sizeof(secret));
}

static inline uint64_t rotl(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t map_hash(struct bytes key)
{
	uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575ULL, secret[1] ^ 0x646f72616e646f6dULL,
	                 secret[0] ^ 0x6c7967656e657261ULL, secret[1] ^ 0x7465646279746573ULL};
	uint64_t last = (uint64_t)key.len << 56;
	size_t whole = key.len & ~(size_t)7;

	for (size_t i = 0; i < whole; i += 8) {
		uint64_t word;

		memcpy(&word, key.ptr + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = whole; i < key.len; i++)
		last |= (uint64_t)(unsigned char)key.ptr[i] << 8 * (i - whole);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m)
{
	*m = (struct map){0};
}

void map_free(struct map *m)
{
	mem_free(m->slots);
	map_init(m);
}

/* The slot that holds the key, or the empty one where it would go. The table is never full. */
static struct map_slot *map_find(const struct map *m, uint64_t hash, struct bytes key)
{
	size_t mask = m->cap - 1;

	for (size_t i = hash & mask;; i = (i + 1) & mask) {
		struct map_slot *slot = &m->slots[i];

		if (slot->value == NULL || (slot->hash == hash && bytes_eq(slot->key, key)))
			return slot;
	}
}

static void map_resize(struct map *m, size_t cap)
{
	struct map old = *m;

	m->slots = mem_alloc(cap * sizeof(*m->slots));
	m->cap = cap;
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i].value != NULL)
			*map_find(m, old.slots[i].hash, old.slots[i].key) = old.slots[i];
	}
	mem_free(old.slots);
}

void *map_get(const struct map *m, struct bytes key)
{
	if (m->count == 0)
		return NULL;
	return map_find(m, map_hash(key), key)->value;
}

void map_add(struct map *m, struct bytes key, void *value)
{
	uint64_t hash = map_hash(key);
	struct map_slot *slot;

	assert(value != NULL);
	if (m->cap == 0 || (m->count + 1) * 4 > m->cap * 3)
		map_resize(m, m->cap ? m->cap * 2 : MAP_FIRST);
	slot = map_find(m, hash, key);
	assert(slot->value == NULL);
	*slot = (struct map_slot){hash, key, value};
	m->count++;
}

/* Closes the hole at i: entries that were pushed past it move back. */
static void map_close_gap(struct map *m, size_t i)
{
	size_t mask = m->cap - 1;

	for (size_t j = (i + 1) & mask; m->slots[j].value != NULL; j = (j + 1) & mask) {
		size_t home = m->slots[j].hash & mask;

		if (((j - home) & mask) >= ((j - i) & mask)) {
			m->slots[i] = m->slots[j];
			i = j;
		}
	}
	m->slots[i] = (struct map_slot){0};
}

void *map_remove(struct map *m, struct bytes key)
{
	struct map_slot *slot;
	void *value;

	if (m->count == 0)
		return NULL;
	slot = map_find(m, map_hash(key), key);
	value = slot->value;
	if (value == NULL)
		return NULL;
	map_close_gap(m, (size_t)(slot - m->slots));
	m->count--;
	if (m->count == 0)
		map_free(m);
	else if (m->cap > MAP_FIRST && m->count * 8 < m->cap)
		map_resize(m, m->cap / 2);
	return value;
}

void *map_next(const struct map *m, size_t *cursor)
{
	while (*cursor < m->cap) {
		void *value = m->slots[(*cursor)++].value;
		if (value != NULL)
			return value;
	}
	return NULL;
}
