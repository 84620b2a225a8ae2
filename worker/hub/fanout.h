/* The way of a publication from Redis to the subscribers of a channel: decoded once, encoded once for each
 * wire form that somebody needs, compressed likewise, handed out by reference. */
#pragma once

#include "buf.h"
#include "bytes.h"
#include "hub.h"

struct channel;
struct config;
struct deflater;

struct fanout {
	const struct config *config;
	struct deflater *deflater;
	struct buf scratch;         /* of the decoder */
	struct buf out[WIRE_FORMS]; /* of the encoder */
};

void fanout_init(struct fanout *f, const struct config *config, struct deflater *deflater);
void fanout_free(struct fanout *f);
/* Hands the publication in a payload from Redis to every live subscriber of the channel. What is none is
 * counted, logged and dropped. The caller drops the channel if nobody is left. */
void fanout_payload(struct fanout *f, struct channel *ch, struct bytes payload,
                    void (*deliver)(struct subscription *s, struct frame *frame));
