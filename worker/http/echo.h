/* The WebSocket app at /echo in dev mode: every message comes back as it was. For conformance tests. */
#pragma once

#include "conn.h"

/* Conformance tests send messages of 16 MiB. */
enum { ECHO_MAX_MESSAGE = 32 * 1024 * 1024 };

extern const struct ws_app echo_app;
