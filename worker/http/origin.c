#include "origin.h"

#include "ascii.h"

/* What a '*' may stand for: the parts of a host name, and a port. Whatever separates the parts of an origin
 * has to be said, or https://evil.example/.example.com would pass for a subdomain. */
static bool is_name_char(char c)
{
	return ascii_is_letter(c) || ascii_is_digit(c) || c == '-' || c == '.' || c == '_';
}

/* Each '*' takes one character, and more when what follows does not fit: only the last one ever has to be
 * tried again, so that no pattern takes longer than the product of both lengths. */
static bool matches(struct bytes pattern, struct bytes text)
{
	size_t p = 0, t = 0;
	size_t star = pattern.len; /* where the last '*' stands */
	size_t taken = 0;          /* the end of what it takes so far */

	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*' && is_name_char(text.ptr[t])) {
			star = p++;
			taken = ++t;
		} else if (p < pattern.len && pattern.ptr[p] != '*' &&
		           ascii_lower(pattern.ptr[p]) == ascii_lower(text.ptr[t])) {
			p++;
			t++;
		} else if (star < pattern.len && is_name_char(text.ptr[taken])) {
			p = star + 1;
			t = ++taken;
		} else {
			return false;
		}
	}
	return p == pattern.len;
}

bool origin_allowed(const struct strings *allowed, struct bytes origin)
{
	for (size_t i = 0; i < allowed->count; i++) {
		struct bytes item = BYTES_OF_STR(allowed->items[i]);

		if (bytes_eq(item, BYTES("*")) || (origin.len > 0 && matches(item, origin)))
			return true;
	}
	return false;
}
