/* Which workers are alive, everywhere: each renews its lease in Redis every few seconds, and learns from the
 * answer who else does (functions.lua, fanfare_workers). Whose lease ends, or who is called dead by its
 * successor or its neighbours, is dead: what it said is not true any more. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "bytes.h"
#include "compiler.h"
#include "list.h"

struct config;
struct redis;
struct redis_call;

enum {
	WORKERS_MAX = 16384,   /* of all hosts */
	WORKERS_ID_MAX = 64,   /* bytes of the name of one */
	WORKERS_DEAD_MAX = 16, /* of whom others are told at a time; the oldest are forgotten */
	WORKERS_LISTED_MAX = 16,
};

/* Those for whom a call is to be made. What is beyond the ceiling is found out by the next comparison, or
 * ends with the lease. */
struct workers_list {
	char names[WORKERS_LISTED_MAX][WORKERS_ID_MAX + 1];
	size_t count;
	size_t called; /* so many of them, the first ones, are in the call under way, or the last that failed
	                */
};

struct workers {
	struct redis *redis;
	const char *id;
	char *key;
	uint64_t lease_ms;
	uint64_t due_ms; /* when the lease is to be renewed */
	struct redis_call *call;
	bool needed;                    /* some channel has presence */
	bool registered;                /* others can know of us */
	void (*on_resigned)(void *ctx); /* NULL: we go on */
	void *resigned_ctx;
	struct buf alive;    /* text of the names */
	struct bytes *names; /* sorted */
	size_t count;
	char digest[WORKERS_ID_MAX]; /* of the names, as Redis has it */
	size_t digest_len;
	char dead[WORKERS_DEAD_MAX][WORKERS_ID_MAX + 1];
	uint64_t dead_ms[WORKERS_DEAD_MAX]; /* when that was learnt, by the clock of Redis */
	size_t dead_count;                  /* ever */
	struct workers_list suspects;       /* who may not be alive: the answer tells */
	struct workers_list doomed;         /* to be called dead, until Redis knows */
	struct list waiting;                /* struct workers_wait */
	/* Somebody died, or we had lost our lease: members may be wrong anywhere. */
	void (*on_change)(void *ctx);
	void *ctx;
};

/* Embedded in who waits for an answer that is younger than his question. */
struct workers_wait {
	struct list node;
	bool asked; /* the call under way was made behind it */
	void (*done)(struct workers_wait *wait);
};

/* id and config are lent; dead_id: NULL, or the name of a worker that is no more. */
void workers_init(struct workers *w, struct redis *redis, const struct config *config, const char *id,
                  const char *dead_id, void (*on_change)(void *ctx), void *ctx);
void workers_free(struct workers *w);
/* Several times a second. */
void workers_tick(struct workers *w);
/* Gives the lease back, as this worker ends: what it has not told Redis any more, others find out. done is
 * called once, not from within, when Redis has answered, or does not; then nothing is renewed any more. False
 * when there is no lease, and none is being asked for: done is not called. */
bool workers_resign(struct workers *w, void (*done)(void *ctx), void *ctx) MUST_CHECK;
/* As was true a lease ago at most. */
bool workers_are_alive(const struct workers *w, struct bytes id) MUST_CHECK;
/* Asks Redis now; done is called once, not from within, also when it did not answer; not after
 * workers_forget(). */
void workers_ask(struct workers *w, struct workers_wait *wait);
/* Accepts one that does not wait. */
void workers_forget(struct workers_wait *wait);
/* That worker is not among those who were alive when Redis was asked last: it is new, or dead, and then
 * on_change follows. */
void workers_suspect(struct workers *w, struct bytes id);
/* That worker of this host is known to be no more: its lease is taken away at once, or as soon as Redis is
 * there. */
void workers_call_dead(struct workers *w, struct bytes id);
/* Appends those who died last, NAME@MS, with a space between two. */
void workers_put_dead(const struct workers *w, struct buf *out);
