#include "redis_args.h"

#include <inttypes.h>
#include <stdio.h>

#include "mem.h"

struct bytes redis_number(char text[REDIS_NUMBER_MAX], uint64_t n)
{
	return (struct bytes){text, (size_t)snprintf(text, REDIS_NUMBER_MAX, "%" PRIu64, n)};
}

size_t redis_args_size(const struct bytes *argv, size_t argc)
{
	size_t size = 0;

	for (size_t i = 0; i < argc; i++)
		size += argv[i].len;
	return size;
}

char *redis_args_copy(struct bytes *to, const struct bytes *argv, size_t argc)
{
	char *copy = mem_try_alloc(redis_args_size(argv, argc) + 1);
	size_t at = 0;

	for (size_t i = 0; i < argc && copy != NULL; i++) {
		if (argv[i].len > 0)
			memcpy(copy + at, argv[i].ptr, argv[i].len);
		to[i] = (struct bytes){copy + at, argv[i].len};
		at += argv[i].len;
	}
	return copy;
}
