#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_die(void *ptr, size_t size)
{
	if (ptr == NULL) {
		fprintf(stderr, "fanfare: out of memory (%zu bytes)\n", size);
		abort();
	}
	return ptr;
}

void *mem_alloc(size_t size)
{
	return or_die(calloc(1, size ? size : 1), size);
}

void *mem_realloc(void *ptr, size_t size)
{
	return or_die(realloc(ptr, size ? size : 1), size);
}

void *mem_try_alloc(size_t size)
{
	return malloc(size ? size : 1);
}

void *mem_try_realloc(void *ptr, size_t size)
{
	return realloc(ptr, size ? size : 1);
}

char *mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (len > 0)
		memcpy(copy, s, len);
	return copy;
}

void mem_free(void *ptr)
{
	free(ptr);
}
