/* What can be wrong with a way to Redis, and how it is told. */
#pragma once

#include "bytes.h"

struct redis_reply;

/* In the order of how much it explains. */
enum redis_trouble {
	REDIS_FINE,
	REDIS_CONNECTING, /* not there yet, nothing known to be wrong */
	REDIS_DEAF,       /* connected, but what is published does not come back */
	REDIS_SILENT,     /* connected, but it does not answer */
	REDIS_AWAY,       /* cannot be connected to, or went away */
	REDIS_UNFIT,      /* loading its data, a replica, without the database asked for */
	REDIS_REFUSING,   /* does not let us in, or not do what we must; or we do not trust it */
};

/* Of a text for humans that says more. */
enum {
	REDIS_ERROR_MAX = 256,
	REDIS_ERROR_SHOWN = 120, /* of what Redis itself says */
};

/* What an error says, for humans, and no more than REDIS_ERROR_SHOWN of it; as long as the reply lives.
 * Without the code ERR, which says nothing, and which Redis puts before the code of what ended a function
 * ("ERR WRONGTYPE", "ERR ERR"). */
struct bytes redis_error_text(const struct redis_reply *error);
