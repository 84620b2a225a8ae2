#include "router.h"

#include <string.h>

static struct bytes without_slashes(const char *path)
{
	struct bytes b = BYTES_OF_STR(path);

	while (b.len > 1 && b.ptr[b.len - 1] == '/')
		b.len--;
	return b;
}

const struct route *router_find(const struct route *routes, size_t count, struct bytes path)
{
	for (size_t i = 0; i < count; i++) {
		if (routes[i].enabled && bytes_eq(path, without_slashes(routes[i].path)))
			return &routes[i];
	}
	return NULL;
}

const char *router_allow(const struct route *route)
{
	if (route->methods == ROUTE_WEBSOCKET)
		return "GET";
	return route->cors ? "GET, HEAD, OPTIONS" : "GET, HEAD";
}

bool router_takes(const struct route *route, struct bytes method)
{
	if (bytes_eq(method, BYTES("OPTIONS")))
		return route->cors;
	if (bytes_eq(method, BYTES("HEAD")))
		return route->methods == ROUTE_GET;
	return bytes_eq(method, BYTES("GET"));
}
