/* Growable run of bytes with a ceiling. Holds no memory while empty.
 *
 * Writers put and ask once at the end: a put that would pass the ceiling (or finds no memory) leaves the
 * buffer as it was and marks it failed, later puts do nothing, and buf_ok() tells. */
#pragma once

#include <stdbool.h>

#include "bytes.h"
#include "compiler.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
	size_t max;
	bool failed;
};

void buf_init(struct buf *b, size_t max);
/* Gives the memory back; the buffer is empty, not failed, and can be used again. */
void buf_free(struct buf *b);
/* Empties and keeps the memory; clears the failure. */
void buf_reset(struct buf *b);

void buf_put(struct buf *b, const void *data, size_t len);
void buf_putc(struct buf *b, char c);
void buf_puts(struct buf *b, const char *s);
void buf_put_bytes(struct buf *b, struct bytes bytes);
void buf_putf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_put_u64(struct buf *b, unsigned long long n);
/* Room for len more bytes at the end, to be filled and then counted by buf_commit(). NULL: there is none. */
char *buf_reserve(struct buf *b, size_t len) MUST_CHECK;
void buf_commit(struct buf *b, size_t len);

/* Removes the first len bytes. */
void buf_consume(struct buf *b, size_t len);
/* False if any put since the last reset did not fit. */
bool buf_ok(const struct buf *b) MUST_CHECK;

static inline struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){b->data, b->len};
}
