/* Where Redis is and who we are there: the parsed address of the configuration. A host name stays a name: it
 * is resolved anew for each connection (redis_resolver), as a Redis that failed over may have moved. */
#pragma once

#include <stdbool.h>

#include "address.h"
#include "redis_url.h"

struct redis_endpoint {
	struct redis_url url;
	bool named; /* url.host is to be resolved; otherwise there is an address */
	struct address address;
	char text[ADDRESS_TEXT_MAX]; /* for humans, without the password */
	const char *error;           /* why one cannot connect to it at all; NULL: one can */
};

/* Takes the address as the configuration has it; problems are kept in `error` and met when connecting. */
void redis_endpoint_init(struct redis_endpoint *e, const char *address);
void redis_endpoint_free(struct redis_endpoint *e);
