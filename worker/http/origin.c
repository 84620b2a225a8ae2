#include "origin.h"

#include <string.h>
#include <strings.h>

bool origin_allowed(const struct strings *allowed, struct bytes origin)
{
	size_t i;

	for (i = 0; i < allowed->count; i++) {
		const char *item = allowed->items[i];

		if (strcmp(item, "*") == 0)
			return true;
		if (origin.len > 0 && origin.len == strlen(item) &&
		    strncasecmp(origin.ptr, item, origin.len) == 0)
			return true;
	}
	return false;
}
