#include "origin.h"

#include <string.h>

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Each '*' takes as little as it can, and more when what follows does not fit: only the last one ever has to
 * be tried again, so that no pattern takes longer than the product of both lengths. */
static bool matches(struct bytes pattern, struct bytes text)
{
	size_t p = 0, t = 0;
	size_t star = pattern.len; /* where the last '*' stands, and what it takes so far */
	size_t taken = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			taken = t;
		} else if (p < pattern.len && lower(pattern.ptr[p]) == lower(text.ptr[t])) {
			p++;
			t++;
		} else if (star < pattern.len) {
			p = star + 1;
			t = ++taken;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

bool origin_allowed(const struct strings *allowed, struct bytes origin)
{
	size_t i;

	for (i = 0; i < allowed->count; i++) {
		struct bytes item = BYTES_OF_STR(allowed->items[i]);

		if (bytes_eq(item, BYTES("*")) || (origin.len > 0 && matches(item, origin)))
			return true;
	}
	return false;
}
