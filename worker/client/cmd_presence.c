/* presence and presence_stats (client protocol 8.5): no channel has presence yet. */
#include "commands.h"
#include "permissions.h"
#include "session_internal.h"

static struct verdict presence(struct session *s, struct bytes channel)
{
	const struct channel_options *options;
	enum error_code error;

	if (channel.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "presence without a channel");
	error = permit_channel(s->clients->config, channel, &options);
	return VERDICT_ERROR(error != ERROR_NONE ? error : ERROR_NOT_AVAILABLE);
}

struct verdict cmd_presence(struct session *s, const struct command *cmd)
{
	return presence(s, cmd->presence.channel);
}

struct verdict cmd_presence_stats(struct session *s, const struct command *cmd)
{
	return presence(s, cmd->presence_stats.channel);
}
