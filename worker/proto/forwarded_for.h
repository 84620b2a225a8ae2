/* X-Forwarded-For: each proxy on the way adds, on the right, the address of who came to it. So only what
 * trusted proxies added is true, and the first address from the right that is none of theirs is the client.
 * Pure. */
#pragma once

#include <stdint.h>

#include "compiler.h"
#include "http1.h"
#include "ip.h"

enum forwarded_for {
	FORWARDED_NONE,  /* no header, or an empty one */
	FORWARDED_FOUND, /* if all are trusted: the one furthest away */
	FORWARDED_BAD,   /* what stands where the client should is no address: nothing of it can be used */
};

/* For a request that came from a trusted peer. Several header lines are one list. Elements are addresses,
 * with a port if they like ("192.0.2.1:4711", "[2001:db8::1]:4711"); the port is 0 when there is none. */
enum forwarded_for forwarded_for(const struct http1_request *req, const struct peer_set *trusted,
                                 struct ip *client, uint16_t *port) MUST_CHECK;
