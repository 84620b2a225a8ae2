/* The processes over which a load generator spreads its clients, because one may hold no more than 20,000
 * descriptors. They work in steps: each says how far it is, and goes on when it is told to. */
#pragma once

#include <stddef.h>

enum { CREW_PER_PROCESS = 5000, CREW_MAX = 64 };

struct crew {
	unsigned processes;
	int from[CREW_MAX];
	int to[CREW_MAX];
};

/* One of the processes, as it sees itself. */
struct crew_member {
	int from_parent;
	int to_parent;
};

/* Divides `clients` among new processes, which run `work` and end with it, or with this one. */
void crew_start(struct crew *c, unsigned clients, void (*work)(struct crew_member *self, unsigned clients));
/* Waits for the next report of each, of that size, and hands them to `add`. */
void crew_collect(struct crew *c, size_t size, void (*add)(void *sum, const void *report), void *sum);
/* All go on. */
void crew_go(struct crew *c);
/* Waits for their end. */
void crew_end(void);

void crew_report(struct crew_member *self, const void *report, size_t size);
void crew_wait(struct crew_member *self);
