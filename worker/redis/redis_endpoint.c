#include "redis_endpoint.h"

#include <stdio.h>
#include <string.h>

static bool find_address(struct redis_endpoint *e)
{
	char text[sizeof(e->address.sa.un.sun_path) + sizeof("unix:")];

	if (!e->url.is_unix)
		return address_resolve(e->url.host, e->url.port, &e->address, &e->error);
	if ((size_t)snprintf(text, sizeof(text), "unix:%s", e->url.path) >= sizeof(text)) {
		e->error = "the path of the unix socket is too long";
		return false;
	}
	return address_parse(text, &e->address, &e->error);
}

void redis_endpoint_init(struct redis_endpoint *e, const char *address)
{
	*e = (struct redis_endpoint){.error = NULL};
	if (address == NULL)
		e->error = "no address is configured";
	else if (!redis_url_parse(address, &e->url, &e->error))
		e->url = (struct redis_url){.is_unix = false};
	else if (find_address(e))
		e->error = NULL;
	if (e->error == NULL)
		address_format(&e->address, e->text);
	else if (e->url.host != NULL)
		snprintf(e->text, sizeof(e->text), "%.60s:%.5s", e->url.host, e->url.port);
	else
		snprintf(e->text, sizeof(e->text), "(no address)");
}

void redis_endpoint_free(struct redis_endpoint *e)
{
	redis_url_free(&e->url);
}
