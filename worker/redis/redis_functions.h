/* The function library in Redis, and calls of its functions. Sees to it that the library is there: it is
 * asked for on each new command link and every now and then after that, and loaded when it is missing or is
 * older than ours. Where functions are not allowed, or not known (before Redis 7), the same text runs as a
 * script.
 *
 * Several brokers do so at once, of different versions and with different configurations. All follow one rule
 * (library_compare()), so they agree in the end. Between a look and the loading that follows it somebody else
 * may have loaded a newer one, which is then replaced; its broker puts it back at its next look. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "loop.h"
#include "redis_calls.h"
#include "redis_library.h"

/* How often the library is looked at, and tried again when it could not be loaded. Backends that call it get
 * errors from when Redis has lost it until the next look, which costs Redis some microseconds. */
enum { FUNCTIONS_LOOK_MS = 2000, FUNCTIONS_RETRY_MS = 1000 };

struct redis_functions {
	struct loop *loop;
	struct redis_calls *calls;
	struct library library;
	uint64_t timeout_ms;
	enum {
		FUNCTIONS_AWAY,    /* the link is down */
		FUNCTIONS_LOADING, /* calls are held until it is known */
		FUNCTIONS_READY,
		FUNCTIONS_FAILED, /* calls are refused */
	} phase;
	bool needed;             /* a namespace has history, or presence */
	bool was_ready;          /* on this link */
	bool as_script;          /* EVALSHA in place of FCALL */
	bool look_again;         /* a function was missing since the step under way was sent */
	char sha[41];            /* of the script; empty: not loaded */
	int64_t newer;           /* version of the library found there that was told last */
	struct redis_call *step; /* the look or the loading under way */
	struct list held;        /* in the order of their making */
	struct list sent;
	struct list refused; /* to be answered by NULL at the end of this turn */
	size_t count;        /* in all three lists */
	size_t bytes;
	uint64_t made; /* calls ever */
	struct task answer_refused;
	struct timer deadline; /* of the first that is held */
	struct timer look;
	char why[REDIS_ERROR_MAX]; /* it failed, or is a script */
	/* The trouble may have changed. */
	void (*on_change)(void *ctx);
	void *ctx;
};

void redis_functions_init(struct redis_functions *f, struct loop *loop, struct redis_calls *calls,
                          const struct config *config, void (*on_change)(void *ctx), void *ctx);
void redis_functions_free(struct redis_functions *f);
/* To be called when the command link came up or went down. */
void redis_functions_link_changed(struct redis_functions *f);
/* REDIS_FINE also while nobody needs the functions. Otherwise *text says what is wrong. */
enum redis_trouble redis_functions_trouble(const struct redis_functions *f, const char **text);

/* As redis_fcall(). */
struct redis_call *redis_functions_call(struct redis_functions *f, const char *function,
                                        const struct bytes *argv, size_t argc,
                                        void (*done)(void *arg, const struct redis_reply *reply), void *arg);
