/* How many connections each address has. IPv6 is counted by /64, which is what one customer has (RFC 6177),
 * and an attacker, too. A table with 16 bytes for each address, hashed with the secret of map.h, so that
 * nobody can choose addresses that collide. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ip.h"

struct census_entry {
	uint64_t key;
	uint32_t count; /* 0: empty */
};

struct census {
	struct census_entry *entries;
	size_t cap;
	size_t used;
};

/* The bits of an address that count. */
uint64_t census_key(const struct ip *ip);

void census_free(struct census *c);
uint32_t census_count(const struct census *c, uint64_t key);
void census_add(struct census *c, uint64_t key);
/* One that was added. */
void census_remove(struct census *c, uint64_t key);
