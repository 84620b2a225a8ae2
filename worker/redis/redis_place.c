#include "redis_place.h"

#include "redis_url.h"

bool redis_place_set(struct redis_place *place, struct bytes host, struct bytes port)
{
	if (!redis_url_is_host(host) || !redis_url_is_port(port) || host.len >= sizeof(place->host))
		return false;
	*place = (struct redis_place){.host = ""};
	memcpy(place->host, host.ptr, host.len);
	memcpy(place->port, port.ptr, port.len);
	return true;
}

bool redis_place_parse(struct redis_place *place, const char *text, const char *default_port)
{
	struct redis_url url;
	const char *reason;
	bool ok;

	if (!redis_url_parse_host(text, default_port, &url, &reason))
		return false;
	ok = redis_place_set(place, BYTES_OF_STR(url.host), BYTES_OF_STR(url.port));
	redis_url_free(&url);
	return ok;
}
