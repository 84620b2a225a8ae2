/* One table of parameters; an offer is taken apart in one pass over its text. */
#include "deflate_offer.h"

#include <string.h>

#include "ascii.h"
#include "deflate.h"

enum { BITS_NONE = 0 };

enum parameter {
	SERVER_NO_CONTEXT_TAKEOVER,
	CLIENT_NO_CONTEXT_TAKEOVER,
	SERVER_MAX_WINDOW_BITS,
	CLIENT_MAX_WINDOW_BITS,
	PARAMETERS,
};

static const struct {
	const char *name;
	bool with_value;
	bool without_value;
} parameters[PARAMETERS] = {
	[SERVER_NO_CONTEXT_TAKEOVER] = {"server_no_context_takeover", .without_value = true},
	[CLIENT_NO_CONTEXT_TAKEOVER] = {"client_no_context_takeover", .without_value = true},
	[SERVER_MAX_WINDOW_BITS] = {"server_max_window_bits", .with_value = true},
	[CLIENT_MAX_WINDOW_BITS] = {"client_max_window_bits", .with_value = true, .without_value = true},
};

struct offer {
	bool seen[PARAMETERS];
	int bits[PARAMETERS]; /* BITS_NONE: without a value */
};

/* Takes what stands before the separator off the front, and the separator; all of it when there is none. */
static struct bytes take_until(struct bytes *rest, char separator)
{
	const char *at = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
	size_t len = at != NULL ? (size_t)(at - rest->ptr) : rest->len;
	struct bytes taken = {rest->ptr, len};

	rest->ptr += len + (at != NULL);
	rest->len -= len + (at != NULL);
	return ascii_trim(taken);
}

/* A value may stand in quotes (RFC 6455, 9.1). */
static struct bytes unquote(struct bytes value)
{
	if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
		return (struct bytes){value.ptr + 1, value.len - 2};
	return value;
}

/* 8 to 15, without leading zeros (7.1.2.1); BITS_NONE for all else. */
static int bits_of(struct bytes value)
{
	value = unquote(value);
	if (value.len == 1 && (value.ptr[0] == '8' || value.ptr[0] == '9'))
		return value.ptr[0] - '0';
	if (value.len == 2 && value.ptr[0] == '1' && value.ptr[1] >= '0' && value.ptr[1] <= '5')
		return 10 + value.ptr[1] - '0';
	return BITS_NONE;
}

static bool take_parameter(struct offer *offer, struct bytes text)
{
	bool has_value = memchr(text.ptr, '=', text.len) != NULL;
	struct bytes name = take_until(&text, '=');

	for (int p = 0; p < PARAMETERS; p++) {
		if (!ascii_equal(name, BYTES_OF_STR(parameters[p].name)))
			continue;
		if (offer->seen[p] || !(has_value ? parameters[p].with_value : parameters[p].without_value))
			return false;
		offer->seen[p] = true;
		offer->bits[p] = has_value ? bits_of(ascii_trim(text)) : BITS_NONE;
		return !has_value || offer->bits[p] != BITS_NONE;
	}
	return false;
}

static bool parse(struct bytes text, struct offer *offer)
{
	*offer = (struct offer){0};
	if (text.ptr[text.len - 1] == ';' ||
	    !ascii_equal(take_until(&text, ';'), BYTES("permessage-deflate")))
		return false;
	while (text.len > 0) {
		struct bytes parameter = take_until(&text, ';');

		if (parameter.len == 0 || !take_parameter(offer, parameter))
			return false;
	}
	return true;
}

static bool accept(struct bytes text, struct deflate_agreed *agreed)
{
	struct offer offer;
	int bits;

	if (!parse(text, &offer))
		return false;
	agreed->announce_window = offer.seen[SERVER_MAX_WINDOW_BITS];
	bits = agreed->announce_window ? offer.bits[SERVER_MAX_WINDOW_BITS] : DEFLATE_BITS_MAX;
	agreed->window_bits = (uint8_t)bits;
	return bits >= DEFLATE_BITS_MIN;
}

bool deflate_negotiate(const struct http1_request *req, struct deflate_agreed *agreed)
{
	for (size_t i = 0; i < req->header_count; i++) {
		struct bytes offers = req->headers[i].value;
		struct bytes offer;

		if (!http1_header_is(&req->headers[i], "Sec-WebSocket-Extensions"))
			continue;
		while (http1_next_element(&offers, &offer))
			if (accept(offer, agreed))
				return true;
	}
	return false;
}

void deflate_put_response(struct buf *out, const struct deflate_agreed *agreed)
{
	buf_puts(out, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
	              "client_no_context_takeover");
	if (agreed->announce_window)
		buf_putf(out, "; server_max_window_bits=%u", agreed->window_bits);
	buf_puts(out, "\r\n");
}
