/* A borrowed run of bytes: a pointer and a length, no terminating zero, no ownership. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct bytes {
	const char *ptr;
	size_t len;
};

/* The bytes of a string literal; BYTES_OF_STR for a terminated string known at run time. */
#define BYTES(literal)  ((struct bytes){(literal), sizeof(literal) - 1})
#define BYTES_OF_STR(s) ((struct bytes){(s), strlen(s)})
#define BYTES_NONE      ((struct bytes){NULL, 0})

/* For printf("%.*s", BYTES_FMT(b)). */
#define BYTES_FMT(b) (int)(b).len, (b).ptr

static inline bool bytes_eq(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Not more than the first max of them. */
static inline struct bytes bytes_first(struct bytes b, size_t max)
{
	return (struct bytes){b.ptr, b.len < max ? b.len : max};
}

/* Without the first n, of which there are at least n. */
static inline struct bytes bytes_skip(struct bytes b, size_t n)
{
	return (struct bytes){b.ptr + n, b.len - n};
}

static inline bool bytes_start_with(struct bytes a, struct bytes prefix)
{
	return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}
