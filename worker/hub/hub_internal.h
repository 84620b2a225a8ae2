/* The inside of a hub, for hub.c and publish.c only. */
#pragma once

#include "fanout.h"
#include "hub.h"
#include "list.h"
#include "map.h"
#include "redis.h"

struct hub {
	struct hub_events events;
	struct redis *redis;
	struct bytes prefix; /* the config's */
	struct map channels; /* by name without prefix */
	struct list unsure;  /* channels with waiting subscribers */
	struct fanout fanout;
};
