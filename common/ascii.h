/* What a byte is in ASCII, whatever the locale says. Text is UTF-8 elsewhere: see utf8.h of worker/proto. */
#pragma once

#include <stdbool.h>

#include "bytes.h"

static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The value of a hexadecimal digit, -1 when it is none. */
static inline int ascii_hex_digit(char c)
{
	char lower = ascii_lower(c);

	if (ascii_is_digit(c))
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static inline bool ascii_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Without the blanks around it. */
static inline struct bytes ascii_trim(struct bytes b)
{
	while (b.len > 0 && ascii_is_blank(b.ptr[0]))
		b = bytes_skip(b, 1);
	while (b.len > 0 && ascii_is_blank(b.ptr[b.len - 1]))
		b.len--;
	return b;
}

/* But for the case of letters. */
static inline bool ascii_equal(struct bytes a, struct bytes b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
			return false;
	}
	return true;
}
