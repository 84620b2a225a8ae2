/* Negotiation of permessage-deflate (RFC 7692, sections 5 and 7.1), server's side. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "compiler.h"
#include "http1.h"

struct deflate_agreed {
	uint8_t window_bits;  /* of what we send, DEFLATE_BITS_MIN to DEFLATE_BITS_MAX */
	bool announce_window; /* the client limited it, and wants to hear what we use */
};

/* The first offer, over all Sec-WebSocket-Extensions headers, that can be met. False when there is none, and
 * then there is no compression: an offer that is malformed, has a parameter that is unknown or stands twice,
 * or asks for a window of 256 bytes, which zlib cannot do, is passed over. Nothing that a client offers to do
 * to spare us matters, since we can always restore the largest window. */
bool deflate_negotiate(const struct http1_request *req, struct deflate_agreed *agreed) MUST_CHECK;
/* The header of the response, with its line end. */
void deflate_put_response(struct buf *out, const struct deflate_agreed *agreed);
