/* presence and presence_stats (client protocol 8.5). */
#include "commands.h"
#include "config.h"
#include "pending.h"
#include "permissions.h"
#include "session_internal.h"
#include "subscriptions.h"

static enum error_code check(const struct session *s, struct bytes channel)
{
	const struct client_subscription *cs = subscriptions_find(s, channel);
	const struct channel_options *options;
	enum error_code error = permit_channel(s->clients->config, channel, &options);

	if (error != ERROR_NONE)
		return error;
	if (!options->presence)
		return ERROR_NOT_AVAILABLE;
	return permit_presence(options, session_user(s), cs != NULL && cs->in_hub.live);
}

/* The result is written before this returns, as that of a history is. */
static void on_presence(void *arg, enum error_code error, const struct presence_result *result,
                        const struct presence_stats_result *stats)
{
	struct pending *p = arg;

	if (stats != NULL)
		p->result.presence_stats = stats;
	else
		p->result.presence = result;
	pending_done(p, error);
}

static struct verdict ask(struct session *s, const struct command *cmd, struct bytes channel)
{
	enum error_code error;
	struct pending *p;

	if (channel.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "presence without a channel");
	error = check(s, channel);
	if (error != ERROR_NONE)
		return VERDICT_ERROR(error);
	p = pending_add(s, cmd->kind, cmd->id);
	p->presence = hub_presence(s->clients->hub, channel, cmd->kind == COMMAND_PRESENCE_STATS, on_presence,
	                           p);
	if (p->presence == NULL)
		pending_done(p, ERROR_INTERNAL);
	return VERDICT_LATER;
}

struct verdict cmd_presence(struct session *s, const struct command *cmd)
{
	return ask(s, cmd, cmd->presence.channel);
}

struct verdict cmd_presence_stats(struct session *s, const struct command *cmd)
{
	return ask(s, cmd, cmd->presence_stats.channel);
}
