/* The WebSocket app at /echo in dev mode: every message comes back as it was. For conformance tests. */
#pragma once

#include <stdint.h>

#include "conn.h"

/* Compression is always on there; min_size is the least size of a message that is compressed. Good handshakes
 * only. */
void echo_upgrade(struct conn *c, const struct http1_request *req, uint64_t min_size);

extern const struct ws_app echo_app;
