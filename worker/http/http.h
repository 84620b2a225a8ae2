/* What a request gets: the table of routes. Answers HTTP, and hands the connections that ask for a WebSocket
 * to the app of their path. */
#pragma once

#include <stddef.h>

#include "config.h"
#include "conn.h"
#include "hub.h"
#include "metrics.h"
#include "session.h"

struct http;

struct http_params {
	const struct config *config;
	struct hub *hub;                    /* for readiness */
	struct clients *clients;            /* for the client protocol */
	const struct metrics_slot *metrics; /* of all workers */
	size_t metrics_count;
};
struct http *http_new(const struct http_params *params);
void http_free(struct http **h);
/* Answers the request, by conn_respond(), conn_upgrade() or session_upgrade(), before it returns. `draining`:
 * the worker is on its way out and says so when asked for readiness. */
void http_handle(struct http *h, struct conn *c, const struct http1_request *req, bool draining);
