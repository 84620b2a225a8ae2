/* Permissions of clients on channels, from the options of namespaces alone. Tokens, which allow more, are not
 * its business. */
#include "permissions.h"

/* The first letter of a private channel; what separates a channel from the list of its users, and these. */
enum { PRIVATE_PREFIX = '$', USER_BOUNDARY = '#', USER_SEPARATOR = ',' };

static bool is_ascii(struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		if ((unsigned char)text.ptr[i] >= 0x80)
			return false;
	}
	return true;
}

enum error_code permit_channel(const struct config *config, struct bytes channel,
                               const struct channel_options **options)
{
	*options = config_channel(config, channel.ptr, channel.len);
	if (*options == NULL)
		return ERROR_UNKNOWN_CHANNEL;
	if (channel.len > (size_t)config->channel.max_length || !is_ascii(channel))
		return ERROR_BAD_REQUEST;
	return ERROR_NONE;
}

/* "dialog#42,43": the users after the last boundary. False when there is no boundary. */
static bool user_list(struct bytes channel, struct bytes *users)
{
	const char *boundary = memrchr(channel.ptr, USER_BOUNDARY, channel.len);

	if (boundary == NULL)
		return false;
	users->ptr = boundary + 1;
	users->len = channel.len - (size_t)(users->ptr - channel.ptr);
	return true;
}

static bool listed(struct bytes users, struct bytes user)
{
	if (user.len == 0)
		return false;
	for (;;) {
		const char *end = memchr(users.ptr, USER_SEPARATOR, users.len);
		size_t len = end == NULL ? users.len : (size_t)(end - users.ptr);

		if (bytes_eq((struct bytes){users.ptr, len}, user))
			return true;
		if (end == NULL)
			return false;
		users = bytes_skip(users, len + 1);
	}
}

enum error_code permit_subscribe(const struct channel_options *options, struct bytes channel,
                                 struct bytes user)
{
	struct bytes users;

	if (channel.len > 0 && channel.ptr[0] == PRIVATE_PREFIX)
		return ERROR_PERMISSION_DENIED;
	if (options->allow_user_limited_channels && user_list(channel, &users))
		return listed(users, user) ? ERROR_NONE : ERROR_PERMISSION_DENIED;
	if (!options->allow_subscribe_for_client)
		return ERROR_PERMISSION_DENIED;
	if (user.len == 0 && !options->allow_subscribe_for_anonymous)
		return ERROR_PERMISSION_DENIED;
	return ERROR_NONE;
}

enum error_code permit_publish(const struct channel_options *options, struct bytes user, bool subscribed)
{
	if (!options->allow_publish_for_client && !(options->allow_publish_for_subscriber && subscribed))
		return ERROR_PERMISSION_DENIED;
	if (user.len == 0 && !options->allow_publish_for_anonymous)
		return ERROR_PERMISSION_DENIED;
	return ERROR_NONE;
}

enum error_code permit_history(const struct channel_options *options, struct bytes user, bool subscribed)
{
	if (!options->allow_history_for_client && !(options->allow_history_for_subscriber && subscribed))
		return ERROR_PERMISSION_DENIED;
	if (user.len == 0 && !options->allow_history_for_anonymous)
		return ERROR_PERMISSION_DENIED;
	return ERROR_NONE;
}

enum error_code permit_presence(const struct channel_options *options, struct bytes user, bool subscribed)
{
	if (!options->allow_presence_for_client && !(options->allow_presence_for_subscriber && subscribed))
		return ERROR_PERMISSION_DENIED;
	if (user.len == 0 && !options->allow_presence_for_anonymous)
		return ERROR_PERMISSION_DENIED;
	return ERROR_NONE;
}

enum error_code permit_data(const struct channel_options *options, struct bytes data)
{
	if (data.len == 0)
		return ERROR_BAD_REQUEST;
	if (options->publication_data_format == DATA_FORMAT_JSON_OBJECT && data.ptr[0] != '{')
		return ERROR_BAD_REQUEST;
	return ERROR_NONE;
}
