#include "redis_trouble.h"

#include "redis.h"

struct bytes redis_error_text(const struct redis_reply *error)
{
	struct bytes text = error->text;

	while (bytes_start_with(text, BYTES("ERR ")))
		text = bytes_skip(text, strlen("ERR "));
	return bytes_first(text, REDIS_ERROR_SHOWN);
}
