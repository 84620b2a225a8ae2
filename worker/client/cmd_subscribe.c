/* subscribe (client protocol 8.2). */
#include "commands.h"
#include "config.h"
#include "pending.h"
#include "permissions.h"
#include "session_internal.h"
#include "subscriptions.h"

enum { TYPE_MAP_FIRST = 1, TYPE_MAP_LAST = 3, TYPE_SHARED_POLL = 4 };

/* What can be said without looking at the channel's options. */
static enum error_code check_request(const struct session *s, const struct subscribe_request *req)
{
	const struct config *config = s->clients->config;

	if (req->type == TYPE_SHARED_POLL)
		return ERROR_NOT_AVAILABLE;
	if (req->type < 0 || req->type > TYPE_SHARED_POLL)
		return ERROR_BAD_REQUEST;
	if (req->channel.len > (size_t)config->channel.max_length)
		return ERROR_BAD_REQUEST;
	if (subscriptions_find(s, req->channel) != NULL)
		return ERROR_ALREADY_SUBSCRIBED;
	if (s->subscription_count >= (uint32_t)config->client.channel_limit)
		return ERROR_LIMIT_EXCEEDED;
	return ERROR_NONE;
}

static enum error_code check_channel(const struct session *s, const struct subscribe_request *req,
                                     const struct channel_options **options)
{
	enum error_code error = permit_channel(s->clients->config, req->channel, options);

	if (error != ERROR_NONE)
		return error;
	if (req->type >= TYPE_MAP_FIRST && req->type <= TYPE_MAP_LAST)
		return ERROR_BAD_REQUEST;
	if (req->token.len > 0)
		return ERROR_PERMISSION_DENIED;
	error = permit_subscribe(*options, req->channel, session_user(s));
	if (error == ERROR_NONE && req->tf.ptr != NULL)
		return ERROR_BAD_REQUEST;
	return error;
}

static struct verdict subscribe(struct session *s, uint32_t id, const struct channel_options *options,
                                const struct subscribe_request *req)
{
	struct client_subscription *cs = subscriptions_add(s, options, req, 0);

	if (cs == NULL)
		return VERDICT_ERROR(ERROR_INTERNAL);
	if (!cs->in_hub.waiting)
		return (struct verdict){.subscription = cs};
	pending_add_subscribing(s, COMMAND_SUBSCRIBE, id, 1)->subscription = cs;
	return VERDICT_LATER;
}

struct verdict cmd_subscribe(struct session *s, const struct command *cmd)
{
	const struct subscribe_request *req = &cmd->subscribe;
	bool known_type = req->type >= 0 && req->type < TYPE_SHARED_POLL;
	const struct channel_options *options;
	enum error_code error;

	if (req->channel.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "subscribe without a channel");
	if (known_type && req->delta.len > 0 && !bytes_eq(req->delta, BYTES("fossil")))
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "an unknown delta type");
	error = check_request(s, req);
	if (error == ERROR_NONE)
		error = check_channel(s, req, &options);
	return error != ERROR_NONE ? VERDICT_ERROR(error) : subscribe(s, cmd->id, options, req);
}
