/* Calls of the functions of the library: they wait while it is loaded (redis_loader), and are sent again, in
 * their order, when it was lost. Where functions are not allowed they run as scripts. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "list.h"
#include "loop.h"
#include "redis_calls.h"
#include "redis_loader.h"

struct redis_functions {
	struct loop *loop;
	struct redis_calls *calls;
	struct redis_loader loader;
	uint64_t timeout_ms;
	enum {
		FUNCTIONS_AWAY,    /* the link is down */
		FUNCTIONS_LOADING, /* calls are held until it is known */
		FUNCTIONS_READY,
		FUNCTIONS_FAILED, /* calls are refused */
	} phase;
	bool needed;      /* a namespace has history, or presence */
	bool was_ready;   /* on this link */
	struct list held; /* in the order of their making */
	struct list sent;
	struct list refused; /* to be answered by NULL at the end of this turn */
	size_t count;        /* in all three lists */
	size_t bytes;
	uint64_t made; /* calls ever */
	struct task answer_refused;
	struct timer deadline;     /* of the first that is held */
	char why[REDIS_ERROR_MAX]; /* it failed */
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
