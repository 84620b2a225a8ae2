/* Where a server is, as another one names it: a name or an address, and a port, such as can stand in an
 * address of Redis. */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "bytes.h"
#include "compiler.h"

enum { REDIS_HOST_MAX = 254, REDIS_PORT_MAX = 6 };

/* Zeroed behind the texts, so that equal places are equal bytes. */
struct redis_place {
	char host[REDIS_HOST_MAX];
	char port[REDIS_PORT_MAX];
};

static inline bool redis_place_eq(const struct redis_place *a, const struct redis_place *b)
{
	return strcmp(a->host, b->host) == 0 && strcmp(a->port, b->port) == 0;
}

/* From "HOST" or "HOST:PORT", where HOST may be [IPv6]. False when it is none. */
bool redis_place_parse(struct redis_place *place, const char *text, const char *default_port) MUST_CHECK;
/* Checks what a server says of a place. False when it is none. */
bool redis_place_set(struct redis_place *place, struct bytes host, struct bytes port) MUST_CHECK;
