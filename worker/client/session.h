/* One client of the protocol on one connection: commands in, replies and pushes out. Works on struct command
 * and struct reply; bytes are the codec's business, the socket conn's, channels the hub's.
 *
 * Not here yet: authentication. There is no key to verify a token with, so a connection token is answered
 * like a bad one (3500), a subscription token with error 103, and every client is anonymous. */
#pragma once

#include <stdbool.h>

#include "bytes.h"
#include "config.h"
#include "conn.h"
#include "http1.h"
#include "hub.h"
#include "loop.h"

/* What all sessions of a worker share. */
struct clients;
struct clients *clients_new(struct loop *loop, const struct config *config, struct hub *hub);
/* All sessions must be gone. */
void clients_free(struct clients **clients);

struct session_params {
	bool uni;         /* unidirectional: bare pushes out, one connect request in */
	bool native_ping; /* cf_ws_frame_ping_pong=true: WebSocket pings in place of those of the protocol */
	struct bytes cf_connect; /* unidirectional: a connect request in the query; ptr NULL when absent */
};
/* Accepts the WebSocket handshake, which was found good, and starts a session on the connection. */
void session_upgrade(struct clients *clients, struct conn *c, const struct http1_request *req,
                     const struct session_params *params);

/* Fills in what the hub has for a subscription of a session; the worker's own events are left as they are. */
void session_hub_events(struct hub_events *events);
