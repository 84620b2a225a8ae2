/* One connection to Redis: connecting, logging in, bytes out once per loop turn, replies in. Knows no
 * commands; what is sent and what a reply belongs to is the owner's. Embedded in its
 * owner. Does not reconnect: redis_link_open() may be called again after it went down. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "compiler.h"
#include "loop.h"
#include "redis.h"
#include "redis_endpoint.h"
#include "redis_login.h"
#include "redis_race.h"
#include "redis_resolver.h"
#include "redis_resp.h"
#include "redis_trouble.h"
#include "stream.h"

struct redis_link;

enum { REDIS_PROOF_WORDS = 3 };

struct redis_link_events {
	/* Logged in: commands can be sent. */
	void (*on_up)(struct redis_link *l);
	/* The reply lives until this returns. May close the link. */
	void (*on_reply)(struct redis_link *l, const struct redis_reply *reply);
	/* It went down, or did not come up: `trouble` and `error` tell why. Not after redis_link_close(), and
	 * never from within redis_link_open(). It may not be opened again from within. */
	void (*on_down)(struct redis_link *l, bool was_up);
};

/* What a link is for. */
struct redis_link_use {
	const char *name;   /* "command": for humans, where it matters which one it is */
	const char *limits; /* the class of clients by which Redis limits what waits to be sent to it */
	/* Redis has something to send to it. */
	bool (*owed)(const struct redis_link *l);
	/* In a doubt (redis_link_doubt()): the command that Redis must have answered on another connection
	 * before the silence of this one counts as its own. NULL: logging in is enough. */
	void (*proof)(struct redis_link *l, struct bytes argv[REDIS_PROOF_WORDS]);
};

enum {
	REDIS_LINK_READ = 16 << 10, /* bytes a read */
	REDIS_LINK_READS = 4, /* reads a turn: the rest waits for the next one, others have their turn */
};

struct redis_link {
	struct stream stream;
	struct redis_resolver resolver;
	const struct redis_endpoint *endpoint;
	const struct redis_link_events *events;
	const char *name; /* by which Redis lists the connection */
	uint64_t connect_timeout_ms;
	const struct redis_link_use *use; /* NULL, unless its owner sets it after redis_link_init() */

	enum { LINK_DOWN, LINK_RESOLVING, LINK_CONNECTING, LINK_LOGIN, LINK_UP } phase;
	struct resp *resp;
	char *in;
	unsigned reads; /* at most, in a turn; the owner may change it */
	struct buf out;
	size_t out_sent; /* bytes of out that are written */
	struct task flush;
	struct timer deadline; /* for being up */
	const char *unopened;  /* why connecting could not even begin, to be told in the next turn */
	uint64_t heard_ms;     /* when the last whole reply came: half of one, and then nothing, is silence */
	uint64_t moved_ms;     /* when bytes last came */
	struct redis_login login;
	bool reading;
	struct redis_race race;

	enum redis_trouble trouble;
	char error[REDIS_ERROR_MAX];
};

/* endpoint, events, name and everything else that is passed must outlive it. out_max: ceiling of the bytes
 * that wait to be sent. */
void redis_link_init(struct redis_link *l, struct loop *loop, const struct redis_endpoint *endpoint,
                     const struct redis_link_events *events, const char *name, uint64_t connect_timeout_ms,
                     size_t out_max);
/* Starts to connect. The link must be down, and not in one of its own callbacks. */
void redis_link_open(struct redis_link *l);
/* Closes it without a callback; nothing more comes from it. */
void redis_link_close(struct redis_link *l);
/* Closes it as broken; on_down is called from within. The text is for humans, and goes on where "Redis at
 * 127.0.0.1:6379 " ends: "does not answer". */
void redis_link_fail(struct redis_link *l, enum redis_trouble trouble, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
/* The same for a reply that was not to come. */
void redis_link_fail_unasked(struct redis_link *l, const struct redis_reply *reply);
bool redis_link_up(const struct redis_link *l);
/* For redis_race: the host is there, and TLS is being agreed upon. */
bool redis_link_shakes_hands(const struct redis_link *l);
/* For redis_race: takes the connection of another link that is up, instead of the one that is being made;
 * on_up is called from within. */
void redis_link_replace(struct redis_link *l, struct redis_link *by);
/* It is up, and owes something that does not come: finds out whether it is dead (REDIS_SILENT). */
void redis_link_doubt(struct redis_link *l);
/* Bytes that can be put before the ceiling. */
size_t redis_link_room(const struct redis_link *l);
/* For appending commands (resp_put_…) within the room there is; they are written at the end of this turn. The
 * link must be up. */
struct buf *redis_link_out(struct redis_link *l);
