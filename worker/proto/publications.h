/* Publications decoded from what travels through Redis and kept together, until a message is made of all of
 * them. Owns what decoding made; the payloads are lent and must stay. */
#pragma once

#include <stddef.h>

#include "bytes.h"
#include "command.h"
#include "compiler.h"

struct publications_memory;

struct publications {
	struct publication *items;
	struct publications_memory *memory; /* what each item points to, beside its payload */
	size_t count;
	size_t cap;
};

void publications_init(struct publications *p);
void publications_free(struct publications *p);
/* Appends the publication in a payload (envelope.h), with the offset that its place in the stream gives it.
 * False with a constant reason, and nothing appended, when there is none in it. */
bool publications_add(struct publications *p, uint64_t offset, struct bytes payload,
                      const char **reason) MUST_CHECK;
