#include "redis_endpoint.h"

#include <stdio.h>
#include <string.h>

#include "mem.h"

/* What is neither a numeric address nor a path is a name; whether it is one, the resolver finds out. A Redis
 * on localhost may be on ::1 alone, so that is a name, too. */
static void find_host(struct redis_endpoint *e)
{
	const char *brackets = strchr(e->url.host, ':') != NULL ? "[]" : "";
	const char *reason;
	char text[ADDRESS_TEXT_MAX];
	int len = snprintf(text, sizeof(text), "%.1s%s%s:%s", brackets, e->url.host,
	                   brackets[0] != '\0' ? brackets + 1 : "", e->url.port);

	e->named = (size_t)len >= sizeof(text) || strcmp(e->url.host, "localhost") == 0 ||
	           !address_parse(text, &e->address, &reason);
	snprintf(e->text, sizeof(e->text), "%s", text);
}

static void find_socket(struct redis_endpoint *e)
{
	char text[sizeof(e->address.sa.un.sun_path) + sizeof("unix:")];

	snprintf(e->text, sizeof(e->text), "unix:%s", e->url.path);
	if ((size_t)snprintf(text, sizeof(text), "unix:%s", e->url.path) >= sizeof(text))
		e->error = "the path of the unix socket is too long";
	else if (address_parse(text, &e->address, &e->error))
		e->error = NULL;
}

void redis_endpoint_init(struct redis_endpoint *e, const char *address, struct tls_client *tls)
{
	*e = (struct redis_endpoint){.text = "(no address)"};
	if (address == NULL) {
		e->error = "no address is configured";
		return;
	}
	if (!redis_url_parse(address, &e->url, &e->error)) {
		e->url = (struct redis_url){.is_unix = false};
		return;
	}
	e->error = NULL;
	if (e->url.is_unix)
		find_socket(e);
	else
		find_host(e);
	if (!e->url.tls)
		return;
	e->tls = tls;
	if (tls == NULL)
		e->error = "TLS is not set up";
}

void redis_endpoint_init_at(struct redis_endpoint *e, const char *host, const char *port,
                            const struct redis_account *login, struct tls_client *tls)
{
	*e = (struct redis_endpoint){
		.url = {.host = mem_strdup(host),
	                .port = mem_strdup(port),
	                .db = login->db,
	                .tls = tls != NULL},
		.tls = tls,
	};
	if (login->user != NULL)
		e->url.user = mem_strdup(login->user);
	if (login->password != NULL)
		e->url.password = mem_strdup(login->password);
	find_host(e);
}

void redis_endpoint_free(struct redis_endpoint *e)
{
	redis_url_free(&e->url);
}
