/* Many clients on one epoll, who read what a plan publishes, and keep account of it: each message must come
 * once and in the order of its channel. What comes is not decoded but looked through for marks, whatever the
 * server wraps them in, so that the clients cost little. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "dialect.h"
#include "plan.h"
#include "wire.h"

enum { CROWD_REST = 64, CROWD_CALM_MS = 100 };

/* A subscription of a client. */
struct seat {
	unsigned channel;
	unsigned last; /* number that it has */
	uint8_t *seen; /* a bit for each number */
};

struct client {
	struct wire wire;
	struct seat *seats;
	unsigned welcomed; /* subscriptions that were confirmed */
	unsigned rest_len;
	char rest[CROWD_REST]; /* the end of what was read: a mark or a welcome may have begun there */
	bool upgraded;         /* the HTTP response is read; kept only where frames are compressed, */
	char *packed;          /* as is this: frames that are not yet there as a whole */
	size_t packed_len;
};

struct account {
	uint64_t received; /* deliveries, without those doubled */
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t bytes;
	uint64_t reads;   /* that got something */
	uint64_t last_ns; /* when the last one was */
};

struct crowd {
	const struct dialect *dialect;
	struct plan *plan;
	struct client *clients;
	unsigned count;
	unsigned seats; /* of each */
	unsigned ready; /* clients whose subscriptions are all confirmed */
	int epoll;
	bool deflate;     /* is offered */
	bool fleeting;    /* a client leaves when it is subscribed */
	unsigned at_once; /* that are being made; 0: some */
	struct account account;
};

/* Opens all and waits until they are subscribed. The plan begins before, and ends behind it. */
void crowd_open(struct crowd *c, unsigned count, unsigned seats);
/* The plan has ended: numbers can be kept account of. */
void crowd_expect(struct crowd *c);
/* Reads what comes within the time, at most. Events of other descriptors are handed to `other`. */
void crowd_read(struct crowd *c, uint64_t wait_ns, void (*other)(void *context), void *context);
void crowd_calm(struct crowd *c, unsigned ms, void (*other)(void *context), void *context);
