/* unsubscribe (client protocol 8.3): succeeds whatever the channel is, even one that connect subscribed. */
#include "commands.h"
#include "session_internal.h"
#include "subscriptions.h"

struct verdict cmd_unsubscribe(struct session *s, const struct command *cmd)
{
	struct client_subscription *cs;

	if (cmd->unsubscribe.channel.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "unsubscribe without a channel");
	cs = subscriptions_find(s, cmd->unsubscribe.channel);
	if (cs != NULL)
		subscriptions_drop(&cs);
	return VERDICT_OK;
}
