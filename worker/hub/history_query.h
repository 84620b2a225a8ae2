/* What clients ask of histories, on its way to Redis: few at a time, since Redis carries out in one go what
 * it finds on a link, and keeps the answers until we have read them. The others wait for their turn, no
 * longer than for an answer; who asks for the same as one that waits shares its read. The verbs are hub.h's.
 */
#pragma once

#include <stddef.h>

#include "list.h"
#include "map.h"

struct hub;

struct history_queries {
	struct list waiting; /* reads, in their order */
	struct map open;     /* those that others may share, by what they ask for */
	size_t in_flight;
};

void history_queries_init(struct history_queries *q);
/* None may wait, or be on its way. */
void history_queries_free(struct history_queries *q);
/* Sends what waits, and answers what has waited for too long. */
void history_queries_tick(struct hub *h);
