/* Large answers take turns: what somebody recovers, histories, presences. One is begun when its client has
 * read most of what it was sent before, so that who reads slowly gets them one after another and nothing
 * waits in memory but the command; when what all clients have not read yet leaves room for it; and in one
 * turn of the worker there are no more of them, of all clients, than others can wait for. Knows when, not
 * what. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "list.h"
#include "loop.h"

struct clients;
struct pending;
struct session;

/* Of all sessions of a worker. */
struct turns {
	struct list small; /* those who wait: struct pending, each the first of its session */
	struct list large; /* the same, whose answers are larger, so that they find room later */
	struct timer timer;
	uint64_t now_ms; /* the turn that `written` is about */
	size_t written;  /* bytes */
	bool large_first;
	bool full;    /* those who wait, wait for room */
	bool serving; /* those who wait: who comes meanwhile is behind them */
};

void turns_init(struct turns *t);
/* Nobody may wait. */
void turns_stop(struct turns *t);
/* Whether a command may begin that will have a large answer. If not, pending_go_on() follows. */
bool turns_may_begin(struct session *s) MUST_CHECK;
/* Whether a large answer, the first of its session, may be written. If not, pending_go_on() follows. */
bool turns_may_write(struct session *s, struct pending *first) MUST_CHECK;
/* It may, but its share of this turn was not enough to make it. pending_go_on() follows in the next. */
void turns_go_on(struct session *s, struct pending *first);
/* A large answer was written. */
void turns_written(struct session *s, size_t bytes);
