/* The table of commands, and what holds for all of them. */
#include "commands.h"

#include "heartbeat.h"
#include "log.h"
#include "pending.h"
#include "session_internal.h"

/* Commands of one session that may wait for Redis at a time. */
enum { COMMANDS_MAX_PENDING = 128 };

static const struct {
	const char *name;
	struct verdict (*run)(struct session *s, const struct command *cmd);
	bool concurrent; /* may overlap with others of its kind */
	bool large;      /* its answer may be: it begins when the client has read most of what it was sent */
} commands[COMMAND_KINDS] = {
	[COMMAND_CONNECT] = {"connect", cmd_connect, false},
	[COMMAND_SUBSCRIBE] = {"subscribe", cmd_subscribe, true},
	[COMMAND_UNSUBSCRIBE] = {"unsubscribe", cmd_unsubscribe, false},
	[COMMAND_PUBLISH] = {"publish", cmd_publish, true},
	[COMMAND_PRESENCE] = {"presence", cmd_presence, false, true},
	[COMMAND_PRESENCE_STATS] = {"presence_stats", cmd_presence_stats, false},
	[COMMAND_HISTORY] = {"history", cmd_history, false, true},
	[COMMAND_RPC] = {"rpc", cmd_rpc, false},
	[COMMAND_SEND] = {"send", cmd_send, false},
	[COMMAND_REFRESH] = {"refresh", cmd_refresh, false},
	[COMMAND_SUB_REFRESH] = {"sub_refresh", cmd_sub_refresh, false},
};

static const char *command_name(enum command_kind kind)
{
	if (kind == COMMAND_PONG)
		return "pong";
	return kind < COMMAND_KINDS ? commands[kind].name : "unknown";
}

bool command_may_start(struct session *s, enum command_kind kind)
{
	if (s->pending_count == 0)
		return kind >= COMMAND_KINDS || !commands[kind].large || turns_may_begin(s);
	return s->pending_count < COMMANDS_MAX_PENDING && kind < COMMAND_KINDS && commands[kind].concurrent &&
	       kind == pending_kind(s);
}

struct verdict command_run(struct session *s, const struct command *cmd)
{
	log_conn(LOG_DEBUG, s->conn, "command %u: %s", cmd->id, command_name(cmd->kind));
	if (cmd->kind == COMMAND_UNKNOWN)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "a command without a known request");
	if (cmd->kind != COMMAND_CONNECT && s->phase != SESSION_CONNECTED)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "a command before connect");
	if (cmd->kind == COMMAND_PONG)
		return heartbeat_pong(s);
	if (cmd->has_ping && cmd->kind != COMMAND_CONNECT && cmd->kind != COMMAND_SEND)
		return VERDICT_ERROR(ERROR_NOT_AVAILABLE);
	return commands[cmd->kind].run(s, cmd);
}
