/* history (client protocol 8.6). */
#include "commands.h"
#include "config.h"
#include "pending.h"
#include "permissions.h"
#include "session_internal.h"
#include "subscriptions.h"

static enum error_code check(const struct session *s, const struct history_request *req,
                             const struct channel_options **options)
{
	const struct client_subscription *cs = subscriptions_find(s, req->channel);
	enum error_code error = permit_channel(s->clients->config, req->channel, options);

	if (error != ERROR_NONE)
		return error;
	if (!config_has_history(*options))
		return ERROR_NOT_AVAILABLE;
	error = permit_history(*options, session_user(s), cs != NULL && cs->in_hub.live);
	if (error == ERROR_NONE && req->reverse && req->has_since && req->since.offset == 0)
		return ERROR_BAD_REQUEST;
	return error;
}

static uint32_t limit_of(const struct session *s, int32_t asked)
{
	int most = s->clients->config->client.history_max_publication_limit;

	return (uint32_t)(asked < 0 || asked > most ? most : asked);
}

/* Nothing else of this session is pending with a history, so the result is written before this returns. */
static void on_history(void *arg, enum error_code error, const struct history_result *result)
{
	struct pending *p = arg;

	p->result.history = result;
	pending_done(p, error);
}

static struct verdict query(struct session *s, uint32_t id, const struct channel_options *options,
                            const struct history_request *req)
{
	const struct hub_history_query query = {
		.options = options,
		.limit = limit_of(s, req->limit),
		.has_since = req->has_since,
		.since = req->since.offset,
		.epoch = req->since.epoch,
		.reverse = req->reverse,
	};
	struct pending *p = pending_add(s, COMMAND_HISTORY, id);

	p->history = hub_history(s->clients->hub, req->channel, &query, on_history, p);
	if (p->history == NULL)
		pending_done(p, ERROR_INTERNAL);
	return VERDICT_LATER;
}

struct verdict cmd_history(struct session *s, const struct command *cmd)
{
	const struct channel_options *options;
	enum error_code error;

	if (cmd->history.channel.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "history without a channel");
	error = check(s, &cmd->history, &options);
	return error != ERROR_NONE ? VERDICT_ERROR(error) : query(s, cmd->id, options, &cmd->history);
}
