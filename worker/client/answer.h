/* Writes the answer to a command, or to a connect without one. Knows the results of commands, which are read
 * from the session when the answer is written, and no checks. When its turn has come is pending.h's. */
#pragma once

#include <stdint.h>

#include "codes.h"
#include "command.h"

struct session;
struct client_subscription;

/* Sends it now. It may end the session. The subscription is that of a subscribe, which goes live; else NULL.
 */
void answer_write(struct session *s, enum command_kind kind, uint32_t id, enum error_code error,
                  struct client_subscription *cs);
