/* history (client protocol 8.6): no channel has history yet. */
#include "commands.h"
#include "permissions.h"
#include "session_internal.h"

struct verdict cmd_history(struct session *s, const struct command *cmd)
{
	const struct channel_options *options;
	enum error_code error;

	if (cmd->history.channel.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "history without a channel");
	error = permit_channel(s->clients->config, cmd->history.channel, &options);
	return VERDICT_ERROR(error != ERROR_NONE ? error : ERROR_NOT_AVAILABLE);
}
