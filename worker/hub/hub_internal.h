/* The inside of a hub, for the files of this folder that make it up. */
#pragma once

#include "backlog.h"
#include "fanout.h"
#include "history_query.h"
#include "history_reads.h"
#include "hub.h"
#include "list.h"
#include "map.h"
#include "presence.h"
#include "recent.h"
#include "redis.h"
#include "replay.h"
#include "workers.h"

struct hub {
	struct hub_events events;
	const struct config *config;
	struct redis *redis;
	struct bytes prefix; /* the config's */
	struct map channels; /* by name without prefix */
	struct list unsure;  /* channels with waiting subscribers */
	uint64_t away_ms;    /* when Redis went away the last time */
	uint64_t channels_opened;
	struct fanout fanout;
	struct backlog backlog;
	struct recent_pool recent;
	struct replays replays;
	struct history_reads reads;
	struct workers workers;
	struct presences presences;
	struct history_queries queries;
};

/* How the channel is called in Redis, appended; the buffer needs room for the prefix and the name. */
void hub_put_redis_name(const struct hub *h, struct buf *out, struct bytes channel);
/* Ends a channel_walk_begin(), and drops the channel if nobody is left. */
void hub_let_go(struct channel *ch);
