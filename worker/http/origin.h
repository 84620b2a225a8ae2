/* Which web pages may open a WebSocket here, and read our answers. Browsers send the page's origin and let
 * any page connect anywhere, so the server is who refuses (RFC 6455, 10.2). */
#pragma once

#include <stdbool.h>

#include "bytes.h"
#include "config.h"
#include "http1.h"

/* Whether client.allowed_origins allows the value of an Origin header: one of them is the same but for case
 * (an origin is scheme, host and port, and has no case), where a '*' in it stands for one or more letters,
 * digits, '-', '.' and '_'; or one of them is "*" alone, which allows all but "null". That one, which is the
 * origin of a sandboxed frame in any page, has to be named. */
bool origin_allowed(const struct strings *allowed, struct bytes origin);

enum origin_verdict {
	ORIGIN_NONE, /* the request was not made by a web page */
	ORIGIN_ALLOWED,
	ORIGIN_REFUSED,
	ORIGIN_SEVERAL, /* no browser does that */
};

/* *origin is the value of the first Origin header, where there is one. */
enum origin_verdict origin_check(const struct http1_request *req, const struct strings *allowed,
                                 struct bytes *origin);
