/* Commands that are not answered yet. Answers go out in the order of the commands: at once where nothing is
 * pending, else behind what is. What an answer says is answer.h's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "codes.h"
#include "command.h"
#include "list.h"

struct client_subscription;
struct hub_history;
struct hub_presence;
struct hub_publish;
struct session;
struct verdict;

/* A command that is not answered yet: it waits for Redis, or for those before it. */
struct pending {
	struct list node;
	struct list turn; /* in turns.waiting, while it is decided and others come first */
	struct session *session;
	struct client_subscription *subscription; /* of a subscribe */
	struct hub_publish *publish;              /* of a publish on its way */
	struct hub_history *history;              /* of a history, likewise */
	struct hub_presence *presence;            /* of a presence or presence_stats */
	union command_result result;              /* while it is being answered */
	uint64_t deadline_ms;                     /* 0: whatever it waits for has its own */
	uint32_t id;
	uint32_t waiting; /* confirmations it still waits for */
	uint16_t error;   /* enum error_code, when done */
	uint8_t kind;     /* enum command_kind */
	bool done;
};

/* A new one behind all others. */
struct pending *pending_add(struct session *s, enum command_kind kind, uint32_t id);
/* The same, with a deadline for the confirmations of subscriptions. */
struct pending *pending_add_subscribing(struct session *s, enum command_kind kind, uint32_t id,
                                        uint32_t waiting);
/* Answers those that stand in the front and are decided, as far as they may be written now; those behind them
 * go on when they may. */
void pending_go_on(struct session *s);
/* Decides it, and answers all that stand in the front and are decided. */
void pending_done(struct pending *p, enum error_code error);
/* The kind of those that are pending, of which there is at least one: they are all of one. */
enum command_kind pending_kind(const struct session *s);
/* About how much the first that is pending brings of what the client has missed. */
size_t pending_bytes(const struct session *s);
/* The hub answered for a subscription of the session. */
void pending_subscribed(struct client_subscription *cs, enum error_code error);
/* The nearest deadline, 0 when there is none. */
uint64_t pending_deadline(const struct session *s);
/* Answers ERROR_INTERNAL to what should have been confirmed by now. */
void pending_expire(struct session *s, uint64_t now_ms);
/* Drops them all unanswered, and what they wait for. */
void pending_clear(struct session *s);

/* Answers a verdict that is neither a disconnect nor `later`, now or when its turn has come. */
void pending_answer(struct session *s, enum command_kind kind, uint32_t id, const struct verdict *v);
