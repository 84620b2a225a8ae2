/* What was published, in the order in which Redis took it, and what a subscriber may miss of it.
 *
 * A publication carries a number, from which the rest of its data follows, so that each byte can be checked.
 * It may be missing at a subscriber only if a link that carried it to the worker ended before the worker had
 * read it, or if it came while the worker knew, or had to find out, that it had lost a link. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "sim_net.h"

/* TRUTH_KEPT: the channel with history, of which nothing may be missing. */
enum { TRUTH_CHANNELS = 9, TRUTH_KEPT = TRUTH_CHANNELS - 1, TRUTH_DATA_MAX = 70000 };

void truth_start(void);
/* The name of a channel, without the prefix; -1 when there is none of that name. */
const char *truth_channel(unsigned channel);
int truth_find_channel(struct bytes name);

/* A new publication, which nobody has published yet. The author is any number, one for each connection:
 * what one publishes keeps its order. 0 is nobody. */
uint32_t truth_draft(unsigned channel, unsigned author, size_t size);
/* Its data, as JSON. Returns the length. */
size_t truth_write(uint32_t number, char data[TRUTH_DATA_MAX]);

/* Redis took it, from this link of the worker, or NULL. */
void truth_published(unsigned channel, struct bytes payload, const struct sim_link *from);
/* … and sent it over this link, to which it has pushed all of it now. */
void truth_carried(unsigned channel, struct sim_link *link);
bool truth_is_published(uint32_t number);
/* The number of the publication that is in a payload. */
uint32_t truth_number_in(struct bytes payload);
/* Redis is about to take it into the stream, at this place. */
void truth_keep(uint32_t number, unsigned epoch, uint64_t offset);

/* A link with subscriptions ended, seen from Redis or from the worker. */
void truth_link_lost(void);
/* What ends that: the worker has subscribed anew, or published its marker. */
void truth_link_made(void);
void truth_marker(void);
/* Whether Redis has seen the end of a link of which the worker does not know yet. */
void truth_on_worker_ignorant(bool (*ask)(void));

/* What a subscriber has seen of a channel on one connection. */
struct truth_view {
	bool live;
	uint64_t since_us; /* live */
	size_t next; /* the least index that may come; where there is history, the offset that comes next */
	unsigned epoch; /* where there is history */
};
/* A publication came: fails if it is not what may come now. */
void truth_seen(struct truth_view *view, unsigned channel, const json_t *data, bool may_miss,
                const char *who);
/* The same of the channel with history: nothing may be missing, but for want of memory. */
void truth_seen_kept(struct truth_view *view, const json_t *publication, bool may_miss, const char *who);
/* Whether what was published last on the channel must still come. */
bool truth_is_due(const struct truth_view *view, unsigned channel);
