/* What clients ask of histories, on its way to Redis: few at a time, since an answer may be large and Redis
 * keeps it until we have read it. The others wait for their turn, no longer than for an answer. The verbs are
 * hub.h's. */
#pragma once

#include <stddef.h>

#include "list.h"

struct hub;

struct history_queries {
	struct list waiting; /* in their order */
	size_t in_flight;
};

void history_queries_init(struct history_queries *q);
/* Sends what waits, and answers what has waited for too long. */
void history_queries_tick(struct hub *h);
