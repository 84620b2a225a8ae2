/* connect (client protocol 8.1): who the client is, and which channels it wants from the first moment on. */
#include "commands.h"
#include "config.h"
#include "pending.h"
#include "permissions.h"
#include "session_internal.h"
#include "subscriptions.h"

/* Whether the client could subscribe to the channel by himself; ERROR_UNKNOWN_CHANNEL ends the session, any
 * other error leaves the channel out. A token is not looked at. */
static enum error_code may_have(const struct session *s, const struct subscribe_request *req,
                                const struct channel_options **options)
{
	enum error_code error;

	if (req->channel.len == 0 || req->type != 0 || req->tf.ptr != NULL)
		return ERROR_BAD_REQUEST;
	error = permit_channel(s->clients->config, req->channel, options);
	return error != ERROR_NONE ? error : permit_subscribe(*options, req->channel, session_user(s));
}

/* Counts the channels that the client gets; false when one of them is of no namespace. */
static bool count_subs(const struct session *s, const struct connect_request *req, size_t *count)
{
	const struct channel_options *options;

	*count = 0;
	for (size_t i = 0; i < req->sub_count; i++) {
		enum error_code error = may_have(s, &req->subs[i], &options);

		if (error == ERROR_UNKNOWN_CHANNEL)
			return false;
		*count += error == ERROR_NONE;
	}
	return true;
}

static bool subscribe_one(struct session *s, const struct subscribe_request *req, uint32_t *waiting)
{
	const struct channel_options *options;
	struct client_subscription *cs;

	if (may_have(s, req, &options) != ERROR_NONE || subscriptions_find(s, req->channel) != NULL)
		return true;
	cs = subscriptions_add(s, options, req, SUBSCRIPTION_SERVER_SIDE);
	if (cs == NULL)
		return false;
	*waiting += cs->in_hub.waiting;
	return true;
}

static struct verdict subscribe_all(struct session *s, uint32_t id, const struct connect_request *req)
{
	uint32_t waiting = 0;

	for (size_t i = 0; i < req->sub_count; i++) {
		if (!subscribe_one(s, &req->subs[i], &waiting))
			return VERDICT_ERROR(ERROR_INTERNAL);
	}
	if (waiting == 0)
		return VERDICT_OK;
	session_set_phase(s, SESSION_CONNECTING);
	pending_add_subscribing(s, COMMAND_CONNECT, id, waiting);
	return VERDICT_LATER;
}

struct verdict connect_begin(struct session *s, uint32_t id, const struct connect_request *req)
{
	const struct config *config = s->clients->config;
	size_t count;

	if (s->phase != SESSION_NEW)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "a second connect");
	if (req->token.len > 0)
		return VERDICT_DISCONNECT(DISCONNECT_INVALID_TOKEN, "a token, and no key to verify it with");
	if (!config->client.allow_anonymous_connect_without_token)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "no token");
	if (!count_subs(s, req, &count))
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST,
		                          "a channel of an unknown namespace in connect");
	if (count > (size_t)config->client.channel_limit)
		return VERDICT_DISCONNECT(DISCONNECT_CHANNEL_LIMIT, "too many channels in connect");
	uuid_make(s->client_id);
	return subscribe_all(s, id, req);
}

struct verdict cmd_connect(struct session *s, const struct command *cmd)
{
	return connect_begin(s, cmd->id, &cmd->connect);
}
