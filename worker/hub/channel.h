/* One channel of a hub: its name, its subscription in Redis, and its subscribers in this worker. Knows how to
 * add and remove subscribers, also while somebody walks over them, and nothing of what is sent to them. */
#pragma once

#include <stdint.h>

#include "backlog.h"
#include "bytes.h"
#include "hub.h"
#include "list.h"
#include "log.h"

struct history;
struct presence;
struct redis_sub;

struct channel {
	struct hub *hub;
	struct redis_sub *sub;
	struct history *history;   /* NULL: the channel has none */
	struct presence *presence; /* likewise */
	uint64_t id;
	/* Dense but for the time of a walk: then those who leave are replaced by NULL, and the gaps are
	 * closed when the walk is over. */
	struct subscription **subscribers;
	uint32_t count; /* of slots in use, gaps included */
	uint32_t cap;
	uint32_t gaps;
	uint32_t waiting; /* subscribers that wait for the confirmation */
	uint32_t walks;   /* in progress */
	struct backlog_share share;
	struct list unsure; /* in the hub's list of channels with waiting subscribers */
	uint32_t prefix_len;
	uint32_t redis_len;
	char redis_name[]; /* prefix and name */
};

struct channel *channel_new(struct hub *hub, struct bytes prefix, struct bytes name);
/* Without subscribers. Its subscription in Redis is the hub's. */
void channel_free(struct channel **ch);
struct bytes channel_name(const struct channel *ch);
struct bytes channel_redis_name(const struct channel *ch);

void channel_add(struct channel *ch, struct subscription *s);
void channel_remove(struct channel *ch, struct subscription *s);

/* A walk is a loop from 0 to channel->count over subscribers[] that skips NULL, between these two.
 * Subscribers may leave meanwhile, but nobody may come. */
void channel_walk_begin(struct channel *ch);
void channel_walk_end(struct channel *ch);

/* The subscription, which waits, can go live: tells its owner. */
void channel_settled(struct channel *ch, struct subscription *s);

/* "channel news", for logs; lives until the next call. */
const char *channel_log_name(const struct channel *ch);
#define log_chan(level, ch, ...) \
	(log_level() <= (level) ? log_line((level), channel_log_name(ch), __VA_ARGS__) : (void)0)
