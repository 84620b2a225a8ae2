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
	REDIS_UNFIT,      /* loading its data, full of clients, a replica, without the database asked for */
	REDIS_REFUSING,   /* does not let us in, or not do what we must; or we do not trust it */
};

/* Of a text for humans that says more. */
enum {
	REDIS_ERROR_MAX = 256,
	REDIS_ERROR_SHOWN = 120, /* of what Redis itself says */
	REDIS_REMEDY_MAX = 80,
};

/* What an error says, for humans, and no more than REDIS_ERROR_SHOWN of it; as long as the reply lives.
 * Without the code ERR, which says nothing, and which Redis puts before the code of what ended a function
 * ("ERR WRONGTYPE", "ERR ERR"). Of a reply that is no error, and was not expected, that it is of another
 * kind. */
struct bytes redis_error_text(const struct redis_reply *error);
/* What helps against it, to be put behind that text: "; …", or "" where that is not known. Shorter than
 * REDIS_REMEDY_MAX. */
const char *redis_error_remedy(const struct redis_reply *error);
/* What it means to be answered this, whatever was asked first on a connection, and how that is told
 * ("is not ready"); REDIS_FINE: it does not keep us out by itself. */
enum redis_trouble redis_error_trouble(const struct redis_reply *error, const char **what);
