/* Where Redis is and who we are there: the parsed address of the configuration. A host name is asked for
 * once, when the worker starts and may still block; a Redis that moves to another address needs a restart, or
 * a name in front of it whose address stays (Sentinel and asynchronous resolving have their place here). */
#pragma once

#include <stdbool.h>

#include "address.h"
#include "compiler.h"
#include "redis_url.h"

struct redis_endpoint {
	struct redis_url url;
	struct address address;
	char text[ADDRESS_TEXT_MAX]; /* for humans, without the password */
	const char *error;           /* why there is no address to connect to; NULL: there is one */
};

/* Takes the address as the configuration has it; problems are kept in `error` and met when connecting. */
void redis_endpoint_init(struct redis_endpoint *e, const char *address);
void redis_endpoint_free(struct redis_endpoint *e);
