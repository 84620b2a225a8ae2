/* The WebSocket app of every tutorial, at / in dev mode: it greets, and answers each text. Binary messages
 * have no answer. */
#pragma once

#include "conn.h"

enum { HELLO_MAX_MESSAGE = 65536 };

extern const struct ws_app hello_app;
