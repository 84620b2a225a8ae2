/* refresh and sub_refresh (client protocol 8.9 and 8.10): a new token for the connection, or for a
 * subscription. There is no key to verify one with, so no token is valid. */
#include "commands.h"
#include "session_internal.h"
#include "subscriptions.h"

struct verdict cmd_refresh(struct session *s, const struct command *cmd)
{
	if (cmd->refresh.token.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "refresh without a token");
	return VERDICT_DISCONNECT(DISCONNECT_INVALID_TOKEN, "a token, and no key to verify it with");
}

struct verdict cmd_sub_refresh(struct session *s, const struct command *cmd)
{
	const struct client_subscription *cs;

	if (cmd->sub_refresh.channel.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "sub_refresh without a channel");
	cs = subscriptions_find(s, cmd->sub_refresh.channel);
	if (cs == NULL)
		return VERDICT_ERROR(ERROR_PERMISSION_DENIED);
	if (cs->in_hub.flags & SUBSCRIPTION_SERVER_SIDE)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST,
		                          "sub_refresh of a server-side subscription");
	if (cmd->sub_refresh.token.len == 0)
		return VERDICT_ERROR(ERROR_BAD_REQUEST);
	return VERDICT_DISCONNECT(DISCONNECT_INVALID_TOKEN, "a token, and no key to verify it with");
}
