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
	[COMMAND_CONNECT] = {.name = "connect", .run = cmd_connect},
	[COMMAND_SUBSCRIBE] = {.name = "subscribe", .run = cmd_subscribe, .concurrent = true},
	[COMMAND_UNSUBSCRIBE] = {.name = "unsubscribe", .run = cmd_unsubscribe},
	[COMMAND_PUBLISH] = {.name = "publish", .run = cmd_publish, .concurrent = true},
	[COMMAND_PRESENCE] = {.name = "presence", .run = cmd_presence, .large = true},
	[COMMAND_PRESENCE_STATS] = {.name = "presence_stats", .run = cmd_presence_stats},
	[COMMAND_HISTORY] = {.name = "history", .run = cmd_history, .large = true},
	[COMMAND_RPC] = {.name = "rpc", .run = cmd_rpc},
	[COMMAND_SEND] = {.name = "send", .run = cmd_send},
	[COMMAND_REFRESH] = {.name = "refresh", .run = cmd_refresh},
	[COMMAND_SUB_REFRESH] = {.name = "sub_refresh", .run = cmd_sub_refresh},
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
