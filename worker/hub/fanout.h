/* The way of a publication from Redis to the subscribers of a channel: decoded once, encoded once for each
 * wire form that somebody needs, compressed likewise, handed out by reference. */
#pragma once

#include "buf.h"
#include "bytes.h"
#include "compiler.h"
#include "hub.h"

struct channel;
struct codec;
struct config;
struct deflater;
struct envelope;

struct fanout {
	const struct config *config;
	struct deflater *deflater;
	struct buf scratch;         /* of the decoder */
	struct buf out[WIRE_FORMS]; /* of the encoder */
};

/* What encodes for subscribers of that wire form. */
const struct codec *fanout_codec(uint8_t form);
void fanout_init(struct fanout *f, const struct config *config, struct deflater *deflater);
void fanout_free(struct fanout *f);
/* Decodes a payload from Redis; what comes out lends memory of the payload, of the fan-out and of itself,
 * until the next call. What is no publication, or none that can be delivered, is counted and logged, and has
 * no data; its offset is there if it has one. */
void fanout_decode(struct fanout *f, const struct channel *ch, struct bytes payload, struct envelope *out);
/* Hands the push, whose channel is filled in here, to every live subscriber of the channel; joins and leaves
 * to those who hear them, but nobody's leave to himself. Counts it as work of the channel in this turn. The
 * caller drops the channel if nobody is left. */
void fanout_push(struct fanout *f, struct channel *ch, const struct push *push,
                 void (*deliver)(struct subscription *s, struct frame *frame));
/* The same for a publication. */
void fanout_publication(struct fanout *f, struct channel *ch, const struct publication *publication,
                        void (*deliver)(struct subscription *s, struct frame *frame));
