/* The set of all connections of a worker: takes them in, counts them, and closes them when the worker
 * drains. What one connection does is conn.h's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "config.h"
#include "conn.h"
#include "http1.h"
#include "loop.h"

struct conns;
struct inflater;
struct deflater;
struct tls_server;

struct conns_params {
	struct loop *loop;
	const struct config *config;
	struct inflater *inflater;
	struct deflater *deflater;
	/* A request head is complete. Must answer by conn_respond() or conn_upgrade() before it returns. */
	void (*on_request)(void *ctx, struct conn *c, const struct http1_request *req);
	/* The last connection of a draining set is gone. */
	void (*on_drained)(void *ctx);
	void *ctx;
};
struct conns *conns_new(const struct conns_params *params);
/* All connections are dropped without a word. */
void conns_free(struct conns **set);
/* The address on which a connection came in. */
struct conns_door {
	struct tls_server *tls; /* a handshake comes first; NULL: plain */
	bool deflate;           /* messages may be compressed even where that is off else */
};
/* Takes over a new, non-blocking socket. At a limit it is refused and closed, as gate.h has it. From a peer
 * of proxy_protocol.trusted_peers a PROXY header comes first. The door is lent; NULL: a plain one. */
void conns_accept(struct conns *set, int fd, const struct address *address, const struct conns_door *door);
/* What those are told at a door for whom there is no descriptor. */
struct bytes conns_refusal(const struct conns_door *door);
size_t conns_count(const struct conns *set);
/* Closes all connections with 3001, evenly spread over duration_ms. New ones are still accepted, and closed
 * with 3001 as soon as they are upgraded. Then on_drained is called (never from within this function). */
void conns_drain(struct conns *set, uint64_t duration_ms);
bool conns_draining(const struct conns *set);
