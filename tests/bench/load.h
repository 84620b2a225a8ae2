/* What a load generator is told, and the loads that there are. Each prints what it measured as one object of
 * JSON. */
#pragma once

#include <stdint.h>

struct options {
	const char *dialect;
	const char *server; /* as wire_set_broker() reads it */
	const char *feed;   /* as feed_open() reads it */
	const char *pids;   /* of the server, */
	const char *apart;  /* and of Redis: what they cost is told apart */
	uint64_t cpu;       /* to run on; none if there is no such one */
	uint64_t deflate;   /* 1: offered */
	uint64_t clients;
	uint64_t seats; /* subscriptions of each */
	uint64_t channels;
	uint64_t first; /* number of the first channel */
	uint64_t zipf;  /* 1: channels are not equally popular */
	uint64_t size;  /* bytes of the data of a message */
	uint64_t messages;
	uint64_t warmup; /* messages before those that are measured */
	uint64_t burst;  /* messages back to back */
	uint64_t rate;   /* of bursts, in a second */
	uint64_t wait;   /* 1: the next burst waits until all have the last one, too */
	uint64_t seconds;
	uint64_t at_once; /* connections that are being made */
	uint64_t beside;  /* clients that are there meanwhile and do nothing */
};

/* Clients subscribe, messages are published: cost, latency, and what was lost. */
void load_publish(const struct options *o);
/* Clients subscribe and are quiet: memory, and what it costs to have them for so many seconds. */
void load_idle(const struct options *o);
/* Clients come, subscribe and go. */
void load_accept(const struct options *o);
/* One client sends commands as fast as they are taken. */
void load_flood(const struct options *o);
