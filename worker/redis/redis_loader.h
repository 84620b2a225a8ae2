/* Sees to it that the function library is in one Redis: it is asked for on each new command link and every
 * now and then after that, and loaded when it is missing or is older than ours. Where functions are not
 * allowed, or not known (before Redis 7), the same text is loaded as scripts.
 *
 * Several brokers do so at once, of different versions and with different configurations. All follow one rule
 * (library_judge()), so they agree in the end. Between a look and the loading that follows it somebody else
 * may have loaded a newer one, which is then replaced; its broker puts it back at its next look. Whose policy
 * is in force is logged once where it is not ours. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "redis_calls.h"
#include "redis_library.h"

/* How often the library is looked at, and tried again when it could not be loaded. Backends that call it get
 * errors from when Redis has lost it until the next look, which costs Redis some microseconds. */
enum { LOADER_LOOK_MS = 2000, LOADER_RETRY_MS = 1000 };

/* Called by a look, never from within the functions below. */
struct redis_loader_events {
	void (*loaded)(void *ctx); /* again after each look */
	void (*lost)(void *ctx);   /* there are no functions: they are being loaded */
	void (*failed)(void *ctx, struct bytes why);
	void *ctx;
};

struct redis_loader {
	struct loop *loop;
	struct redis_calls *calls;
	struct redis_loader_events events;
	struct library library;
	uint64_t retry_ms;
	bool as_script;           /* EVALSHA in place of FCALL */
	bool look_again;          /* a function was missing since the step under way was sent */
	char sha[2][41];          /* of the scripts, without and with runs_when_full; empty: not loaded */
	int64_t now_ms;           /* of that Redis, at the last look */
	struct redis_call *clock; /* a look asks for the time, and for what is there */
	struct redis_call *step;
	struct timer look;
	struct library_stamp told; /* what was there that is not ours, as the log has it */
};

/* needed: somebody waits for it. */
void redis_loader_init(struct redis_loader *l, struct loop *loop, struct redis_calls *calls,
                       const struct config *config, bool needed, const struct redis_loader_events *events);
void redis_loader_free(struct redis_loader *l);
/* The command link came up, or went down. */
void redis_loader_up(struct redis_loader *l);
void redis_loader_down(struct redis_loader *l);
/* A function, or the script, was missing. */
void redis_loader_missing(struct redis_loader *l);
/* The sha of the script by which that function runs; NULL: functions are called. */
const char *redis_loader_script(const struct redis_loader *l, const char *function);
