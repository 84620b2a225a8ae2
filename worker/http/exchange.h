/* One request to be answered, on its connection, and the way out of the answer: what all answers of a route
 * have in common is put in here. */
#pragma once

#include <stdbool.h>

#include "bytes.h"
#include "http1.h"

struct conn;
struct http;
struct route;
struct strings;

struct exchange {
	struct http *http;
	struct conn *conn;
	const struct http1_request *req;
	const struct route *route;             /* NULL: none of that path */
	const struct strings *allowed_origins; /* client.allowed_origins */
	bool draining;
};

/* As conn_respond(), with the headers that the route has beside those of its handler. */
void exchange_respond(const struct exchange *x, int status, const char *content_type, const char *extra,
                      struct bytes body);
