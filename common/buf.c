#include "buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "mem.h"

enum { BUF_FIRST = 64 };

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
	mem_free(b->data);
	buf_init(b, b->max);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

static bool buf_grow(struct buf *b, size_t len)
{
	size_t cap = b->cap ? b->cap : BUF_FIRST;
	char *data;

	while (cap - b->len < len)
		cap *= 2;
	if (cap > b->max)
		cap = b->max;
	data = mem_try_realloc(b->data, cap);
	if (data == NULL)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

static bool make_room(struct buf *b, size_t len)
{
	if (!b->failed && (len > b->max - b->len || (b->cap - b->len < len && !buf_grow(b, len))))
		b->failed = true;
	return !b->failed;
}

char *buf_reserve(struct buf *b, size_t len)
{
	return make_room(b, len) && b->data != NULL ? b->data + b->len : NULL;
}

/* The same for the puts, of which a short message takes twenty and each finds room. */
static inline char *find_room(struct buf *b, size_t len)
{
	if (len <= b->cap - b->len && !b->failed)
		return b->data + b->len;
	return make_room(b, len) ? b->data + b->len : NULL;
}

void buf_commit(struct buf *b, size_t len)
{
	assert(len <= b->cap - b->len);
	b->len += len;
}

void buf_put(struct buf *b, const void *data, size_t len)
{
	char *room;

	if (len == 0)
		return;
	room = find_room(b, len);
	if (room == NULL)
		return;
	memcpy(room, data, len);
	b->len += len;
}

void buf_putc(struct buf *b, char c)
{
	char *room = find_room(b, 1);

	if (room == NULL)
		return;
	*room = c;
	b->len++;
}

void buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void buf_put_bytes(struct buf *b, struct bytes bytes)
{
	buf_put(b, bytes.ptr, bytes.len);
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	va_list again;
	char *room;
	int len;

	va_start(args, fmt);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	assert(len >= 0);
	room = buf_reserve(b, (size_t)len + 1);
	if (room != NULL) {
		vsnprintf(room, (size_t)len + 1, fmt, again);
		b->len += (size_t)len;
	}
	va_end(again);
}

void buf_put_u64(struct buf *b, unsigned long long n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	buf_put(b, digits + i, sizeof(digits) - i);
}

void buf_consume(struct buf *b, size_t len)
{
	assert(len <= b->len);
	b->len -= len;
	if (b->len > 0)
		memmove(b->data, b->data + len, b->len);
}

bool buf_ok(const struct buf *b)
{
	return !b->failed;
}
