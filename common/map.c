/* Open addressing with linear probing; removal shifts back, so there are no tombstones. */
#include "map.h"

#include <assert.h>
#include <string.h>

#include "mem.h"
#include "random.h"

enum {
	MAP_FIRST = 16,
	/* Old slots a change: a table that halves has a sixteenth of its slots in changes until it halves
	   again. */
	MAP_MOVES = 32,
};

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
	mem_free(m->old);
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

/* The value of what was moved, or removed, in the old table: others were pushed past it. */
static char gone;

/* Its key may be freed, and is not compared any more. */
static void leave_gone(struct map_slot *slot)
{
	*slot = (struct map_slot){.key.len = SIZE_MAX, .value = &gone};
}

static bool is_there(const struct map_slot *slot)
{
	return slot->value != NULL && slot->value != &gone;
}

/* NULL when it is in neither table. */
static struct map_slot *map_find_either(const struct map *m, uint64_t hash, struct bytes key)
{
	const struct map old = {.slots = m->old, .cap = m->old_cap};
	struct map_slot *slot;

	if (m->count == 0)
		return NULL;
	slot = map_find(m, hash, key);
	if (slot->value == NULL && m->old != NULL)
		slot = map_find(&old, hash, key);
	return is_there(slot) ? slot : NULL;
}

static void map_move(struct map *m, size_t slots)
{
	for (; m->old != NULL && slots > 0; slots--) {
		struct map_slot *slot = &m->old[m->moved++];

		if (is_there(slot)) {
			*map_find(m, slot->hash, slot->key) = *slot;
			leave_gone(slot);
		}
		if (m->moved == m->old_cap) {
			mem_free(m->old);
			m->old = NULL;
			m->old_cap = 0;
		}
	}
}

static void map_resize(struct map *m, size_t cap)
{
	map_move(m, SIZE_MAX);
	if (m->cap > 0) {
		m->old = m->slots;
		m->old_cap = m->cap;
		m->moved = 0;
	}
	m->slots = mem_alloc(cap * sizeof(*m->slots));
	m->cap = cap;
}

void *map_get(const struct map *m, struct bytes key)
{
	const struct map_slot *slot = map_find_either(m, map_hash(key), key);

	return slot != NULL ? slot->value : NULL;
}

void map_add(struct map *m, struct bytes key, void *value)
{
	uint64_t hash = map_hash(key);

	assert(value != NULL && map_find_either(m, hash, key) == NULL);
	map_move(m, MAP_MOVES);
	if (m->cap == 0 || (m->count + 1) * 4 > m->cap * 3)
		map_resize(m, m->cap ? m->cap * 2 : MAP_FIRST);
	*map_find(m, hash, key) = (struct map_slot){hash, key, value};
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
	struct map_slot *slot = map_find_either(m, map_hash(key), key);
	void *value;

	if (slot == NULL)
		return NULL;
	value = slot->value;
	if (slot >= m->slots && slot < m->slots + m->cap)
		map_close_gap(m, (size_t)(slot - m->slots));
	else
		leave_gone(slot);
	m->count--;
	map_move(m, MAP_MOVES);
	if (m->count == 0)
		map_free(m);
	else if (m->cap > MAP_FIRST && m->count * 8 < m->cap)
		map_resize(m, m->cap / 2);
	return value;
}

void *map_next(const struct map *m, size_t *cursor)
{
	while (*cursor < m->cap + m->old_cap) {
		size_t at = (*cursor)++;
		const struct map_slot *slot = at < m->cap ? &m->slots[at] : &m->old[at - m->cap];

		if (is_there(slot))
			return slot->value;
	}
	return NULL;
}
