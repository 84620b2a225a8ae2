#include "redis_slots.h"

#include <stdio.h>
#include <string.h>

#include "ascii.h"
#include "map.h"
#include "mem.h"
#include "redis_resp.h"

/* --- slots --- */

/* CRC-16/XMODEM: polynomial 0x1021, begins with 0, nothing reflected. */
static uint16_t crc16_step(uint16_t crc, unsigned char byte)
{
	crc = (uint16_t)(crc ^ (byte << 8));
	for (int i = 0; i < 8; i++)
		crc = (uint16_t)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
	return crc;
}

static uint16_t crc16(struct bytes text)
{
	static uint16_t table[256];
	uint16_t crc = 0;

	if (table[1] == 0) {
		for (int i = 0; i < 256; i++)
			table[i] = crc16_step(0, (unsigned char)i);
	}
	for (size_t i = 0; i < text.len; i++)
		crc = (uint16_t)((crc << 8) ^ table[((crc >> 8) ^ (unsigned char)text.ptr[i]) & 0xff]);
	return crc;
}

/* Between the first { and the first } after it, unless that is nothing. */
static struct bytes hash_tag(struct bytes key)
{
	const char *open = memchr(key.ptr, '{', key.len);
	struct bytes rest;
	const char *close;

	if (open == NULL)
		return key;
	rest = bytes_skip(key, (size_t)(open - key.ptr) + 1);
	close = rest.len > 0 ? memchr(rest.ptr, '}', rest.len) : NULL;
	if (close == NULL || close == rest.ptr)
		return key;
	return bytes_first(rest, (size_t)(close - rest.ptr));
}

unsigned redis_slot_of(struct bytes key)
{
	return key.len > 0 ? crc16(hash_tag(key)) % REDIS_SLOTS : 0;
}

/* --- places --- */

/* Nothing, or what stands for a host that is not known. */
static bool is_no_host(struct bytes host)
{
	return host.len == 0 || bytes_eq(host, BYTES("?"));
}

/* "ip" or "hostname": what else the node knows of its place. */
static struct bytes find_metadata(const struct redis_reply *node, struct bytes name)
{
	const struct redis_reply *list = node->count > 3 ? node->elements[3] : NULL;

	if (list == NULL || list->type != REDIS_ARRAY)
		return BYTES_NONE;
	for (size_t i = 0; i + 1 < list->count; i += 2) {
		const struct redis_reply *key = list->elements[i], *value = list->elements[i + 1];

		if (key->type == REDIS_STRING && value->type == REDIS_STRING && bytes_eq(key->text, name))
			return value->text;
	}
	return BYTES_NONE;
}

/* NULL is "where you are"; "?" is a name that is wanted and not set. */
static struct bytes host_of(const struct redis_reply *node, const struct redis_place *asked)
{
	const struct redis_reply *host = node->elements[0];
	struct bytes ip;

	if (host->type == REDIS_STRING && !is_no_host(host->text))
		return host->text;
	if (host->type == REDIS_NIL || host->text.len == 0)
		return BYTES_OF_STR(asked->host);
	ip = find_metadata(node, BYTES("ip"));
	return is_no_host(ip) ? BYTES_NONE : ip;
}

static bool is_node(const struct redis_reply *node)
{
	return node->type == REDIS_ARRAY && node->count >= 2 &&
	       (node->elements[0]->type == REDIS_STRING || node->elements[0]->type == REDIS_NIL) &&
	       node->elements[1]->type == REDIS_INTEGER;
}

/* False: its place is not known. */
static bool read_place(struct redis_place *place, const struct redis_reply *node,
                       const struct redis_place *asked)
{
	char port[24];
	int len = snprintf(port, sizeof(port), "%lld", (long long)node->elements[1]->integer);

	return redis_place_set(place, host_of(node, asked), (struct bytes){port, (size_t)len});
}

/* --- the map --- */

/* Places that were met already, each once. */
struct place_list {
	struct redis_place *places;
	size_t count;
	size_t max;
	struct map by_place; /* to the place itself */
};

static void list_begin(struct place_list *l, size_t max)
{
	*l = (struct place_list){.places = mem_alloc((max > 0 ? max : 1) * sizeof(*l->places)), .max = max};
	map_init(&l->by_place);
}

/* NULL when there is no room for one more. */
static const struct redis_place *list_add(struct place_list *l, const struct redis_place *place)
{
	struct bytes key = {(const char *)place, sizeof(*place)};
	struct redis_place *known = map_get(&l->by_place, key);

	if (known != NULL || l->count == l->max)
		return known;
	known = &l->places[l->count++];
	*known = *place;
	map_add(&l->by_place, (struct bytes){(const char *)known, sizeof(*known)}, known);
	return known;
}

struct reading {
	struct slot_map *m;
	const struct redis_place *asked;
	struct place_list masters;
	struct place_list replicas;
	const char *reason;
};

static bool refuse(struct reading *r, const char *reason)
{
	r->reason = reason;
	return false;
}

static bool read_replicas(struct reading *r, const struct redis_reply *range)
{
	for (size_t i = 3; i < range->count; i++) {
		struct redis_place place = {0};

		if (!is_node(range->elements[i]))
			return refuse(r, "a replica that is none");
		if (read_place(&place, range->elements[i], r->asked))
			(void)list_add(&r->replicas, &place);
	}
	return true;
}

static bool read_range(struct reading *r, const struct redis_reply *range)
{
	struct redis_place place = {0};
	const struct redis_place *master = NULL;
	int64_t first, last;

	if (range->type != REDIS_ARRAY || range->count < 3 || range->elements[0]->type != REDIS_INTEGER ||
	    range->elements[1]->type != REDIS_INTEGER || !is_node(range->elements[2]))
		return refuse(r, "a range that is none");
	first = range->elements[0]->integer;
	last = range->elements[1]->integer;
	if (first < 0 || first > last || last >= REDIS_SLOTS)
		return refuse(r, "slots that do not exist");
	if (read_place(&place, range->elements[2], r->asked)) {
		master = list_add(&r->masters, &place);
		if (master == NULL)
			return refuse(r, "more than 1000 masters");
	}
	for (int64_t slot = first; slot <= last; slot++) {
		if (r->m->owner[slot] != SLOT_NOBODY)
			return refuse(r, "a slot in two places");
		if (master != NULL)
			r->m->owner[slot] = (uint16_t)(master - r->masters.places);
	}
	return read_replicas(r, range);
}

static bool read_ranges(struct reading *r, const struct redis_reply *reply)
{
	for (size_t i = 0; i < reply->count; i++) {
		if (!read_range(r, reply->elements[i]))
			return false;
	}
	return r->masters.count > 0 || refuse(r, "no slots");
}

static size_t at_most(size_t count, size_t max)
{
	return count < max ? count : max;
}

bool slot_map_read(struct slot_map *m, const struct redis_reply *reply, const struct redis_place *asked,
                   const char **reason)
{
	struct reading r = {.m = m, .asked = asked};
	bool ok;

	*reason = "no list of slots";
	if (reply->type != REDIS_ARRAY)
		return false;
	*m = (struct slot_map){.masters = NULL};
	for (size_t i = 0; i < REDIS_SLOTS; i++)
		m->owner[i] = SLOT_NOBODY;
	list_begin(&r.masters, at_most(reply->count, SLOT_MASTERS_MAX));
	list_begin(&r.replicas, SLOT_REPLICAS_MAX);
	ok = read_ranges(&r, reply);
	map_free(&r.masters.by_place);
	map_free(&r.replicas.by_place);
	m->masters = r.masters.places;
	m->master_count = r.masters.count;
	m->replicas = r.replicas.places;
	m->replica_count = r.replicas.count;
	*reason = r.reason;
	if (!ok)
		slot_map_free(m);
	return ok;
}

void slot_map_free(struct slot_map *m)
{
	mem_free(m->masters);
	mem_free(m->replicas);
	*m = (struct slot_map){.masters = NULL};
}

/* --- redirections --- */

/* What stands before the next space; the rest goes on behind it. */
static struct bytes next_word(struct bytes *text)
{
	const char *space = text->len > 0 ? memchr(text->ptr, ' ', text->len) : NULL;
	struct bytes word = space != NULL ? bytes_first(*text, (size_t)(space - text->ptr)) : *text;

	*text = bytes_skip(*text, space != NULL ? word.len + 1 : word.len);
	return word;
}

static bool read_slot(struct bytes text, unsigned *slot)
{
	*slot = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (!ascii_is_digit(text.ptr[i]) || text.len > 5)
			return false;
		*slot = *slot * 10 + (unsigned)(text.ptr[i] - '0');
	}
	return text.len > 0 && *slot < REDIS_SLOTS;
}

/* "HOST:PORT", where HOST may have colons itself and stands without brackets. */
static bool read_target(struct bytes text, const struct redis_place *asked, struct redis_place *out)
{
	const char *colon = text.len > 0 ? memrchr(text.ptr, ':', text.len) : NULL;
	struct bytes host;

	if (colon == NULL)
		return false;
	host = bytes_first(text, (size_t)(colon - text.ptr));
	*out = (struct redis_place){.host = ""};
	return redis_place_set(out, host.len > 0 ? host : BYTES_OF_STR(asked->host),
	                       bytes_skip(text, host.len + 1));
}

bool redis_redirect_read(const struct redis_reply *reply, const struct redis_place *asked,
                         struct redis_redirect *out)
{
	struct bytes text = reply->text;
	struct bytes word;

	if (reply->type != REDIS_ERROR)
		return false;
	word = next_word(&text);
	out->ask = bytes_eq(word, BYTES("ASK"));
	if (!out->ask && !bytes_eq(word, BYTES("MOVED")))
		return false;
	return read_slot(next_word(&text), &out->slot) && read_target(next_word(&text), asked, &out->place);
}

bool redis_means_again(const struct redis_reply *reply)
{
	static const char *const words[] = {"MOVED",       "ASK",     "TRYAGAIN",
	                                    "CLUSTERDOWN", "LOADING", "MASTERDOWN"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (resp_is_error(reply, words[i]))
			return true;
	}
	return false;
}
