/* The commands of the client protocol: one table, one handler each. A handler checks in the order of the
 * protocol's section 8, decides, and leaves the answering to pending.h. */
#pragma once

#include "codes.h"
#include "command.h"
#include "compiler.h"

struct session;
struct client_subscription;

/* What a handler decided. All zero: success, to be answered at once. */
struct verdict {
	enum error_code error; /* to be answered with */
	/* Ends the session. Nothing was changed, so that the command may be held back, and handled again when
	 * its turn has come. */
	enum disconnect_code disconnect;
	const char *why;                          /* with disconnect: for the log, a constant */
	bool later;                               /* a struct pending was made, which will be answered */
	bool silent;                              /* nothing is answered */
	struct client_subscription *subscription; /* subscribe: goes live with the answer */
};

#define VERDICT_OK                  ((struct verdict){0})
#define VERDICT_LATER               ((struct verdict){.later = true})
#define VERDICT_SILENT              ((struct verdict){.silent = true})
#define VERDICT_ERROR(code)         ((struct verdict){.error = (code)})
#define VERDICT_DISCONNECT(code, w) ((struct verdict){.disconnect = (code), .why = (w)})

/* Looks the command up and handles it. */
struct verdict command_run(struct session *s, const struct command *cmd) MUST_CHECK;
/* Whether it may begin while those that are pending are, and what was sent before waits. If not,
 * session_go_on() follows. */
bool command_may_start(struct session *s, enum command_kind kind);

/* Connects for both kinds of sessions; the id is that of the command, 0 without one. */
struct verdict connect_begin(struct session *s, uint32_t id, const struct connect_request *req) MUST_CHECK;

struct verdict cmd_connect(struct session *s, const struct command *cmd);
struct verdict cmd_subscribe(struct session *s, const struct command *cmd);
struct verdict cmd_unsubscribe(struct session *s, const struct command *cmd);
struct verdict cmd_publish(struct session *s, const struct command *cmd);
struct verdict cmd_presence(struct session *s, const struct command *cmd);
struct verdict cmd_presence_stats(struct session *s, const struct command *cmd);
struct verdict cmd_history(struct session *s, const struct command *cmd);
struct verdict cmd_rpc(struct session *s, const struct command *cmd);
struct verdict cmd_send(struct session *s, const struct command *cmd);
struct verdict cmd_refresh(struct session *s, const struct command *cmd);
struct verdict cmd_sub_refresh(struct session *s, const struct command *cmd);
