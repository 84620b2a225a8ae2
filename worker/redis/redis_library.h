/* The text of the function library as it is loaded into Redis: functions.lua, and before it the policy, which
 * is what the namespaces of the configuration say about history. Talks to nobody. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "compiler.h"
#include "redis.h"

struct config;

/* Made from functions.lua by the build. */
extern const unsigned char functions_lua[];
extern const size_t functions_lua_len;

/* A configuration has at most 1000 namespaces, with names of 64 bytes. */
enum { LIBRARY_MAX = 1 << 20, LIBRARY_HOST_MAX = 64 };

/* All stamps in a Redis are by its own clock, so that those of hosts need not be right. What is dated later
 * than now was dated by nobody who follows this; but two answers of a Redis may differ a little in how long
 * they took, and so may the clocks of a primary and the replica that takes over. */
enum { LIBRARY_SLACK_MS = 10000, LIBRARY_AHEAD_MS = 60000 };

/* Which of two is to be in force. */
struct library_stamp {
	int64_t version;                 /* of functions.lua */
	int64_t loaded_ms;               /* Unix time at which the policy's configuration was loaded */
	char digest[17];                 /* of the policy; decides when nothing else does */
	char host[LIBRARY_HOST_MAX + 1]; /* whose it is; empty: it does not say */
};

/* Reads the answer of fanfare_version. False when it is none. */
bool library_read_stamp(const struct redis_reply *reply, struct library_stamp *out) MUST_CHECK;

enum library_verdict {
	LIBRARY_OLDER, /* what is there is to be replaced by ours */
	LIBRARY_AHEAD, /* likewise, as its stamp lies in the future */
	LIBRARY_OURS,  /* it says what ours says */
	LIBRARY_NEWER, /* it is to stay */
};
/* now_ms: the time of that Redis. Whoever comes last, all brokers of all versions agree in the end: the
 * newest version wins, then the latest stamp. */
enum library_verdict library_judge(const struct library_stamp *there, const struct library_stamp *ours,
                                   int64_t now_ms);

struct library {
	struct buf policy;
	uint64_t loaded_ms; /* by clock_ms() */
	struct library_stamp stamp;
};

/* Not dated yet. */
void library_init(struct library *l, const struct config *config);
void library_free(struct library *l);
/* Makes the stamp one of that Redis, whose time it is now. One that is right up to the slack is left as it
 * is: of two brokers, each time the same is the newer one. */
void library_date(struct library *l, int64_t now_ms);
/* The text for FUNCTION LOAD, and for SCRIPT LOAD. The latter is the same for all who have the same policy;
 * runs_when_full: as a script that Redis runs when it is out of memory, too (Redis 7). The caller frees it.
 */
void library_functions(const struct library *l, struct buf *out);
void library_script(const struct library *l, bool runs_when_full, struct buf *out);
/* Whether that function writes, and is to be called, when Redis is out of memory: it is one of those with
 * allow-oom in functions.lua, but for those that only read, as these need no leave for that in a script. */
bool library_runs_when_full(const char *function) MUST_CHECK;
