/* A channel that is followed over all connections: how far it has been read, so that what was missed in
 * between can be asked for (client protocol, sections 8.2 and 15). Talks to nobody. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "json_reader.h"

struct followed {
	const char *channel; /* not owned */
	bool recoverable;    /* the broker keeps what is published, and epoch and offset are known */
	bool is_cut;         /* the broker said that it cannot go on from where we are */
	char *epoch;         /* owned; NULL: none */
	uint64_t offset;
};

void followed_free(struct followed *f);
/* Appends the request of a subscribe. */
void followed_put_request(const struct followed *f, struct buf *out);
/* Takes the position from the answer. True when it says that something was missed and does not come any more.
 * What does come has to be taken one by one. */
bool followed_take_answer(struct followed *f, struct json_value answer) MUST_CHECK;
void followed_take_publication(struct followed *f, struct json_value publication);
