/* Table of paths. Knows which handler serves a path and a method, and not what it does: that is http.c's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "exchange.h"

enum route_methods {
	ROUTE_GET,       /* "GET, HEAD" */
	ROUTE_WEBSOCKET, /* "GET" */
};

struct route {
	const char *path; /* as configured; slashes at its end do not count, but for "/" itself */
	void (*handle)(const struct exchange *x);
	enum route_methods methods;
	bool enabled;
	bool cors; /* web pages of allowed origins may read the answers (cors.h), and ask with OPTIONS */
};

/* The enabled route of that path, NULL when there is none. */
const struct route *router_find(const struct route *routes, size_t count, struct bytes path);
/* The methods that a route takes, as the value of an Allow header. */
const char *router_allow(const struct route *route);
bool router_takes(const struct route *route, struct bytes method);
