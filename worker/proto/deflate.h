/* permessage-deflate (RFC 7692): one message compressed, or restored. No context is taken over from message
 * to message, so that one inflater and one deflater do for all connections of a worker, and a compressed
 * message can be shared. Negotiation is in deflate_offer.h, the bits of the frames in ws_frame.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "compiler.h"

/* Of the LZ77 window, as its base 2 logarithm. RFC 7692 allows 8, but zlib cannot do raw deflate with it. */
enum { DEFLATE_BITS_MIN = 9, DEFLATE_BITS_MAX = 15 };

struct inflater;

enum inflate_result {
	INFLATE_OK,
	INFLATE_TOO_BIG, /* longer than max; nothing beyond was unpacked */
	INFLATE_BAD,     /* not what section 7.2.1 makes of a message */
	INFLATE_NO_MEMORY,
};

struct inflater *inflater_new(void);
void inflater_free(struct inflater **f);
/* Restores a whole message (7.2.2) from the payload of its frames; max is the most that it may be, and the
 * most memory that is taken for it, in bytes. Whatever window the sender used will do. *message lives until
 * the next call of either function. After a final block (7.2.3.4) only the padding that the RFC asks for may
 * follow. */
enum inflate_result inflater_message(struct inflater *f, struct bytes payload, size_t max,
                                     struct bytes *message) MUST_CHECK;
/* Gives back the memory of a large message. */
void inflater_trim(struct inflater *f);

/* The longest payload that a message of so many bytes is allowed to have when compressed: a little more than
 * the message, for text that cannot be compressed and senders that are bad at it. */
size_t inflater_payload_max(size_t max);

struct deflater;

/* Takes its memory, 256 KiB for each size of window that is asked for, when it comes to that. */
struct deflater *deflater_new(void);
void deflater_free(struct deflater **d);
/* Compresses a message (7.2.1) at a level of zlib, 1 to 9, for a receiver with a window of so many bits.
 * False when the result would not be smaller, or there is no memory: send the message as it is. *payload
 * lives until the next call. */
bool deflater_message(struct deflater *d, int window_bits, int level, struct bytes message,
                      struct bytes *payload) MUST_CHECK;
