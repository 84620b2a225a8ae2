/* What is published in a run: so many channels, and messages to them, each with its number in its channel.
 * Which channels a client reads is part of the plan. Everything is drawn from one seed, so that every server
 * has the same to do. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MARK_LEN =
		17, /* "#000012:00000003;": channel and number, as they stand in the data of each message */
	DATA_MIN = 64,
	DATA_MAX = 1 << 16,
};

struct topic {
	unsigned readers;
	unsigned count; /* messages of the plan in it */
	unsigned first; /* place in plan.of_topic where its messages stand */
};

struct message {
	unsigned channel;
	unsigned number;       /* in its channel, from 1 */
	unsigned readers_left; /* who do not have it yet */
	uint64_t published_ns;
	uint64_t received_ns; /* by the last */
};

struct plan {
	unsigned first;    /* number of the first channel; */
	unsigned channels; /* so many from there */
	unsigned count;
	struct topic *topics;
	struct message *messages;
	unsigned *of_topic; /* index of each message, sorted by channel and number */
	double *popularity; /* sums of it; NULL: all channels are equal */
};

/* With zipf, which begins with number 0, the n-th channel is chosen 1/n as often as the first. */
void plan_begin(struct plan *p, unsigned first, unsigned channels, bool zipf);
/* Fills in different channels for one client, who is the n-th of all. */
void plan_choose(struct plan *p, unsigned client, unsigned *chosen, unsigned count);
/* Draws the messages, when all have chosen. */
void plan_end(struct plan *p, unsigned messages);
struct message *plan_message(struct plan *p, unsigned channel, unsigned number);

/* The data of a message, JSON of exactly that size. */
void plan_data(const struct message *m, char *out, size_t size);
/* The next mark in the text; NULL when there is none. Sets *rest to where one may have begun that is not
 * there as a whole; it is `end` otherwise. */
const char *mark_find(const char *at, const char *end, unsigned *channel, unsigned *number,
                      const char **rest);
