#include "asset.h"

#include <stdio.h>

static const char headers[] = "ETag: %s\r\n"
			      "Cache-Control: no-cache\r\n"
			      "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:; "
			      "base-uri 'none'; frame-ancestors 'none'\r\n"
			      "X-Content-Type-Options: nosniff\r\n"
			      "Referrer-Policy: no-referrer\r\n";

const struct asset *asset_find(struct bytes path)
{
	for (size_t i = 0; i < asset_count; i++) {
		if (bytes_eq(path, BYTES_OF_STR(assets[i].path)))
			return &assets[i];
	}
	return NULL;
}

/* RFC 9110, 13.1.2: weak comparison, so a proxy that compressed the file may have marked the tag as weak. */
static bool client_has(const struct asset *asset, const struct http1_request *req)
{
	const struct bytes *tags = http1_header(req, "If-None-Match");
	struct bytes list = tags != NULL ? *tags : BYTES_NONE;
	struct bytes tag;

	while (http1_next_element(&list, &tag)) {
		if (bytes_start_with(tag, BYTES("W/"))) {
			tag = bytes_skip(tag, 2);
		}
		if (bytes_eq(tag, BYTES_OF_STR(asset->etag)) || bytes_eq(tag, BYTES("*")))
			return true;
	}
	return false;
}

void asset_respond(const struct asset *asset, struct conn *c, const struct http1_request *req)
{
	char extra[sizeof(headers) + 64];

	snprintf(extra, sizeof(extra), headers, asset->etag);
	if (client_has(asset, req))
		conn_respond(c, req, 304, NULL, extra, BYTES_NONE);
	else
		conn_respond(c, req, 200, asset->content_type, extra, asset->content);
}
