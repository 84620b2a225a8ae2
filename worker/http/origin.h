/* Which web pages may open a WebSocket here. Browsers send the page's origin and let any page connect
 * anywhere, so the server is who refuses (RFC 6455, 10.2). */
#pragma once

#include <stdbool.h>

#include "bytes.h"
#include "config.h"

/* Whether client.allowed_origins allows the value of an Origin header: one of them is the same but for case
 * (an origin is scheme, host and port, and has no case), where a '*' in it stands for one or more letters,
 * digits, '-', '.' and '_'; or one of them is
 * "*" alone, which allows all. */
bool origin_allowed(const struct strings *allowed, struct bytes origin);
