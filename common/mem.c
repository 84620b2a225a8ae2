#include "mem.h"

#include <stdarg.h>
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

char *mem_printf(const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vasprintf(&text, fmt, args);
	va_end(args);
	return or_die(len < 0 ? NULL : text, strlen(fmt));
}

void mem_free(void *ptr)
{
	free(ptr);
}

/* Of glibc: the size stands before, and the whole is a multiple of two words, and four words at least. */
size_t mem_cost(size_t size)
{
	size_t whole = (size + sizeof(size_t) + 2 * sizeof(size_t) - 1) & ~(2 * sizeof(size_t) - 1);

	return whole > 4 * sizeof(size_t) ? whole : 4 * sizeof(size_t);
}
