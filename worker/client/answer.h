/* Writes the answer to a command, or to a connect without one. Knows the results of commands, which are read
 * from the session when the answer is written, and no checks. When its turn has come is pending.h's. */
#pragma once

#include <stdint.h>

#include "codes.h"
#include "command.h"

struct session;
struct client_subscription;

/* What the kind of command says. */
union command_result {
	const struct history_result *history;
	const struct presence_result *presence;
	const struct presence_stats_result *presence_stats;
};

struct answer {
	enum command_kind kind;
	uint32_t id;
	enum error_code error;
	struct client_subscription *subscription; /* of a subscribe that was successful: goes live */
	union command_result result;              /* of a command that has one */
};
/* Sends it now. It may end the session. */
void answer_write(struct session *s, const struct answer *a);
