/* From a host name to an address, without blocking: c-ares, driven by the loop. Asks /etc/hosts and the name
 * servers of the system. One question at a time; embedded in its owner. Knows no deadline of its own: the
 * owner has one and stops it. */
#pragma once

#include <ev.h>
#include <stdbool.h>

#include "address.h"
#include "compiler.h"
#include "loop.h"

struct ares_channeldata;
struct redis_resolver;

/* c-ares has a socket open for each name server that it asks, one more when an answer comes by TCP. */
enum { REDIS_RESOLVER_WATCHES = 8 };

struct redis_resolver {
	struct loop *loop;
	/* The answer is there: address, or error. Not from within redis_resolver_start(). */
	void (*on_done)(struct redis_resolver *r);
	const char *servers; /* "127.0.0.1:5353" in place of the system's; NULL: those */

	struct ares_channeldata *channel; /* NULL: nothing is asked */
	struct ev_io watches[REDIS_RESOLVER_WATCHES];
	struct timer timer;
	bool done;
	unsigned asked; /* how often: of several addresses each has its turn */
	struct address address;
	const char *error; /* a static text; NULL: address is valid */
};

void redis_resolver_init(struct redis_resolver *r, struct loop *loop,
                         void (*on_done)(struct redis_resolver *r));
/* True when the answer is there at once (a name in /etc/hosts, or a failure): on_done is not called then. */
bool redis_resolver_start(struct redis_resolver *r, const char *host, const char *port) MUST_CHECK;
/* Nothing more comes from it. Also when it was not started, and when it is done. */
void redis_resolver_stop(struct redis_resolver *r);
