/* publish (client protocol 8.4). The publication names its sender, and comes back to him like to everybody
 * else if he has subscribed. */
#include "commands.h"
#include "pending.h"
#include "permissions.h"
#include "session_internal.h"
#include "subscriptions.h"

static enum error_code check(const struct session *s, const struct publish_request *req)
{
	const struct client_subscription *cs = subscriptions_find(s, req->channel);
	const struct channel_options *options;
	enum error_code error;

	if (req->type != 0)
		return ERROR_NOT_AVAILABLE;
	error = permit_channel(s->clients->config, req->channel, &options);
	if (error == ERROR_NONE)
		error = permit_publish(options, session_user(s), cs != NULL && cs->in_hub.live);
	return error != ERROR_NONE ? error : permit_data(options, req->data);
}

static void on_published(void *arg, enum error_code error)
{
	pending_done(arg, error);
}

static struct verdict publish(struct session *s, uint32_t id, const struct publish_request *req)
{
	char client[UUID_TEXT_LEN + 1];
	const struct client_info info = {.user = session_user(s), .client = {client, UUID_TEXT_LEN}};
	const struct publication publication = {.data = req->data, .info = &info};
	struct pending *p = pending_add(s, COMMAND_PUBLISH, id);

	uuid_format(s->client_id, client);
	p->publish = hub_publish(s->clients->hub, req->channel, &publication, on_published, p);
	if (p->publish == NULL)
		pending_done(p, ERROR_INTERNAL);
	return VERDICT_LATER;
}

struct verdict cmd_publish(struct session *s, const struct command *cmd)
{
	enum error_code error;

	if (cmd->publish.channel.len == 0)
		return VERDICT_DISCONNECT(DISCONNECT_BAD_REQUEST, "publish without a channel");
	error = check(s, &cmd->publish);
	return error != ERROR_NONE ? VERDICT_ERROR(error) : publish(s, cmd->id, &cmd->publish);
}
