/* Permissions of channels: names, users, and the options of a namespace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "permissions.h"

static const struct channel_options nothing;
static const struct channel_options everything = {
	.allow_subscribe_for_client = true,
	.allow_subscribe_for_anonymous = true,
	.allow_publish_for_client = true,
	.allow_publish_for_subscriber = true,
	.allow_publish_for_anonymous = true,
	.allow_user_limited_channels = true,
};

static enum error_code subscribe(const struct channel_options *o, const char *channel, const char *user)
{
	return permit_subscribe(o, BYTES_OF_STR(channel), BYTES_OF_STR(user));
}

static void names_are_short_and_ascii(void **state)
{
	struct config config = {.channel.max_length = 5};
	const struct channel_options *options;

	assert_int_equal(permit_channel(&config, BYTES("12345"), &options), ERROR_NONE);
	assert_ptr_equal(options, &config.channel.without_namespace);
	assert_int_equal(permit_channel(&config, BYTES("123456"), &options), ERROR_BAD_REQUEST);
	assert_int_equal(permit_channel(&config, BYTES("\xc3\xa9"), &options), ERROR_BAD_REQUEST);
	assert_int_equal(permit_channel(&config, BYTES("a:1234567"), &options), ERROR_UNKNOWN_CHANNEL);
}

static void anonymous_users_need_a_permission_of_their_own(void **state)
{
	struct channel_options o = {.allow_subscribe_for_client = true, .allow_publish_for_client = true};

	assert_int_equal(subscribe(&o, "a", "42"), ERROR_NONE);
	assert_int_equal(subscribe(&o, "a", ""), ERROR_PERMISSION_DENIED);
	assert_int_equal(permit_publish(&o, BYTES("42"), false), ERROR_NONE);
	assert_int_equal(permit_publish(&o, BYTES(""), false), ERROR_PERMISSION_DENIED);
	o = (struct channel_options){.allow_subscribe_for_anonymous = true,
	                             .allow_publish_for_anonymous = true};
	assert_int_equal(subscribe(&o, "a", ""), ERROR_PERMISSION_DENIED);
	assert_int_equal(permit_publish(&o, BYTES(""), true), ERROR_PERMISSION_DENIED);
}

static void without_options_nobody_may_do_anything(void **state)
{
	assert_int_equal(subscribe(&nothing, "a", "42"), ERROR_PERMISSION_DENIED);
	assert_int_equal(permit_publish(&nothing, BYTES("42"), true), ERROR_PERMISSION_DENIED);
}

static void private_channels_need_a_token(void **state)
{
	assert_int_equal(subscribe(&everything, "$a", "42"), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&everything, "$a#42", "42"), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&everything, "a$", "42"), ERROR_NONE);
}

static void user_limited_channels_are_for_those_in_the_list(void **state)
{
	struct channel_options only_listed = {.allow_user_limited_channels = true};
	struct channel_options plain = everything;

	plain.allow_user_limited_channels = false;
	assert_int_equal(subscribe(&only_listed, "a#42", "42"), ERROR_NONE);
	assert_int_equal(subscribe(&only_listed, "a#1,42,7", "42"), ERROR_NONE);
	assert_int_equal(subscribe(&only_listed, "a#1,42", "42"), ERROR_NONE);
	assert_int_equal(subscribe(&only_listed, "#42", "42"), ERROR_NONE);
	assert_int_equal(subscribe(&only_listed, "a", "42"), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&everything, "a#1,2", "42"), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&everything, "a#4", "42"), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&everything, "a#421", "42"), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&everything, "a#42#7", "42"), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&everything, "a#", ""), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&everything, "a#1,", ""), ERROR_PERMISSION_DENIED);
	assert_int_equal(subscribe(&plain, "a#1", "42"), ERROR_NONE);
}

static void subscribers_may_publish_where_only_they_may(void **state)
{
	struct channel_options o = {.allow_publish_for_subscriber = true};

	assert_int_equal(permit_publish(&o, BYTES("42"), true), ERROR_NONE);
	assert_int_equal(permit_publish(&o, BYTES("42"), false), ERROR_PERMISSION_DENIED);
	assert_int_equal(permit_publish(&o, BYTES(""), true), ERROR_PERMISSION_DENIED);
}

static void data_is_of_the_kind_that_the_namespace_wants(void **state)
{
	struct channel_options o = {.publication_data_format = DATA_FORMAT_ANY};

	assert_int_equal(permit_data(&o, BYTES("null")), ERROR_NONE);
	assert_int_equal(permit_data(&o, BYTES_NONE), ERROR_BAD_REQUEST);
	o.publication_data_format = DATA_FORMAT_JSON;
	assert_int_equal(permit_data(&o, BYTES("\"\"")), ERROR_NONE);
	o.publication_data_format = DATA_FORMAT_JSON_OBJECT;
	assert_int_equal(permit_data(&o, BYTES("{}")), ERROR_NONE);
	assert_int_equal(permit_data(&o, BYTES("[]")), ERROR_BAD_REQUEST);
	assert_int_equal(permit_data(&o, BYTES("\"{\"")), ERROR_BAD_REQUEST);
	assert_int_equal(permit_data(&o, BYTES_NONE), ERROR_BAD_REQUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_short_and_ascii),
		cmocka_unit_test(anonymous_users_need_a_permission_of_their_own),
		cmocka_unit_test(without_options_nobody_may_do_anything),
		cmocka_unit_test(private_channels_need_a_token),
		cmocka_unit_test(user_limited_channels_are_for_those_in_the_list),
		cmocka_unit_test(subscribers_may_publish_where_only_they_may),
		cmocka_unit_test(data_is_of_the_kind_that_the_namespace_wants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
