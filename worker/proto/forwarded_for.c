#include "forwarded_for.h"

#include <string.h>

#include "ascii.h"
#include "units.h"

enum { PORT_MAX = 65535, PORT_LEN_MAX = 5 };

static const char *last_of(struct bytes text, char c)
{
	return text.len > 0 ? memrchr(text.ptr, c, text.len) : NULL;
}

static bool parse_port(struct bytes text, uint16_t *port)
{
	uint64_t n;

	if (text.len > PORT_LEN_MAX || !units_parse_number(text, &n) || n > PORT_MAX)
		return false;
	*port = (uint16_t)n;
	return true;
}

/* "[2001:db8::1]" or "[2001:db8::1]:4711". */
static bool parse_bracketed(struct bytes text, struct ip *ip, uint16_t *port)
{
	const char *end = last_of(text, ']');
	struct bytes after;

	if (end == NULL)
		return false;
	after = bytes_skip(text, (size_t)(end - text.ptr) + 1);
	if (after.len > 0 && (after.ptr[0] != ':' || !parse_port(bytes_skip(after, 1), port)))
		return false;
	return ip_parse((struct bytes){text.ptr + 1, (size_t)(end - text.ptr) - 1}, ip);
}

/* An IPv6 address has more than one colon, so one colon is that of a port. */
static bool parse_element(struct bytes text, struct ip *ip, uint16_t *port)
{
	const char *colon = last_of(text, ':');

	*port = 0;
	if (text.len > 0 && text.ptr[0] == '[')
		return parse_bracketed(text, ip, port);
	if (colon != NULL && memchr(text.ptr, ':', text.len) == colon) {
		if (!parse_port(bytes_skip(text, (size_t)(colon - text.ptr) + 1), port))
			return false;
		text.len = (size_t)(colon - text.ptr);
	}
	return ip_parse(text, ip);
}

/* Takes the last element that is not empty off the list; false when there is none. */
static bool take_last(struct bytes *list, struct bytes *element)
{
	while (list->len > 0) {
		const char *comma = last_of(*list, ',');
		size_t begin = comma != NULL ? (size_t)(comma - list->ptr) + 1 : 0;

		*element = ascii_trim(bytes_skip(*list, begin));
		list->len = begin > 0 ? begin - 1 : 0;
		if (element->len > 0)
			return true;
	}
	return false;
}

/* Walks one line; true when that ends the walk. */
static bool walk(struct bytes line, const struct peer_set *trusted, enum forwarded_for *result,
                 struct ip *client, uint16_t *port)
{
	struct bytes element;

	while (take_last(&line, &element)) {
		if (!parse_element(element, client, port)) {
			*result = FORWARDED_BAD;
			return true;
		}
		*result = FORWARDED_FOUND;
		if (!peer_set_has(trusted, client))
			return true;
	}
	return false;
}

enum forwarded_for forwarded_for(const struct http1_request *req, const struct peer_set *trusted,
                                 struct ip *client, uint16_t *port)
{
	enum forwarded_for result = FORWARDED_NONE;

	for (size_t i = req->header_count; i-- > 0;) {
		if (http1_header_is(&req->headers[i], "X-Forwarded-For") &&
		    walk(req->headers[i].value, trusted, &result, client, port))
			break;
	}
	return result;
}
