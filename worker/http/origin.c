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

static bool item_allows(struct bytes item, struct bytes origin)
{
	if (ascii_equal(origin, BYTES("null")))
		return ascii_equal(item, origin);
	return bytes_eq(item, BYTES("*")) || (origin.len > 0 && matches(item, origin));
}

bool origin_allowed(const struct strings *allowed, struct bytes origin)
{
	for (size_t i = 0; i < allowed->count; i++) {
		if (item_allows(BYTES_OF_STR(allowed->items[i]), origin))
			return true;
	}
	return false;
}

enum origin_verdict origin_check(const struct http1_request *req, const struct strings *allowed,
                                 struct bytes *origin)
{
	const struct bytes *value = http1_header(req, "Origin");

	if (value == NULL)
		return ORIGIN_NONE;
	*origin = *value;
	if (http1_header_count(req, "Origin") > 1)
		return ORIGIN_SEVERAL;
	return origin_allowed(allowed, *value) ? ORIGIN_ALLOWED : ORIGIN_REFUSED;
}
