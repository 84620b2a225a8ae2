/* config_load() and its kin: values from each source, which of them wins, and what is in them for a channel.
 */
#include "clock.h"
#include "config_world.h"
#include "log.h"

static void an_empty_configuration_is_safe(void **state)
{
	struct config_sources sources = {0};
	struct config *c = load_good(&sources);

	assert_false(c->dev);
	assert_int_equal(c->listen.count, 1);
	assert_string_equal(c->listen.items[0], "0.0.0.0:8080");
	assert_int_equal(c->workers, 0);
	assert_null(c->redis.address);
	assert_string_equal(c->redis.prefix, "fanfare:");
	assert_int_equal(c->client.allowed_origins.count, 0);
	assert_false(c->client.allow_anonymous_connect_without_token);
	assert_int_equal(c->client.ping_interval_ms, 25000);
	assert_int_equal(c->client.pong_timeout_ms, 8000);
	assert_int_equal(c->client.queue_max_size, 1048576);
	assert_int_equal(c->client.channel_limit, 128);
	assert_int_equal(c->websocket.message_size_limit, 65536);
	assert_false(c->uni_websocket.enabled);
	assert_int_equal(c->channel.max_length, 255);
	assert_int_equal(c->log.level, LOG_INFO);
	assert_int_equal(c->log.format, LOG_TEXT);
	assert_false(c->channel.without_namespace.allow_subscribe_for_client);
	assert_false(c->channel.without_namespace.allow_subscribe_for_anonymous);
	assert_false(c->channel.without_namespace.allow_publish_for_client);
	assert_false(c->channel.without_namespace.allow_publish_for_anonymous);
	assert_int_equal(c->channel.without_namespace.publication_data_format, DATA_FORMAT_ANY);
	assert_int_equal(c->channel.namespace_count, 0);
	assert_int_equal(c->runtime_dir[0], '/');
	config_free(&c);
	assert_null(c);
}

static void dev_mode_lets_anybody_in(void **state)
{
	struct config_sources sources = {.dev = true};
	struct config *c = load_good(&sources);

	assert_true(c->dev);
	assert_string_equal(c->listen.items[0], "127.0.0.1:8080");
	assert_string_equal(c->client.allowed_origins.items[0], "*");
	assert_true(c->client.allow_anonymous_connect_without_token);
	assert_true(c->uni_websocket.enabled);
	assert_true(c->channel.without_namespace.allow_subscribe_for_client);
	assert_true(c->channel.without_namespace.allow_subscribe_for_anonymous);
	assert_true(c->channel.without_namespace.allow_publish_for_client);
	assert_true(c->channel.without_namespace.allow_publish_for_anonymous);
	config_free(&c);
}

static void dev_mode_may_stand_in_the_file(void **state)
{
	struct config *c = load_text("channel:\n"
	                             "  namespaces:\n"
	                             "    - name: a\n"
	                             "    - {name: b, allow_publish_for_client: false}\n"
	                             "dev: true\n");

	assert_true(c->dev);
	assert_string_equal(c->listen.items[0], "127.0.0.1:8080");
	assert_true(c->channel.namespaces[0].allow_publish_for_client);
	assert_false(c->channel.namespaces[1].allow_publish_for_client);
	config_free(&c);
}

static void dev_mode_of_the_file_can_be_switched_off(void **state)
{
	const char *const environment[] = {"FANFARE_DEV=false", NULL};
	struct config_sources sources = {.file = path, .environment = (char *const *)environment};
	struct config *c;

	write_file("dev: true", 9);
	c = load_good(&sources);
	assert_false(c->dev);
	assert_false(c->channel.without_namespace.allow_publish_for_client);
	config_free(&c);
}

static void a_file_sets_values_of_every_type(void **state)
{
	struct config *c = load_text("listen: [\"0.0.0.0:80\", '[::1]:8080', unix:/run/f.sock]\n"
	                             "workers: 4\n"
	                             "runtime_dir: /run/x\n"
	                             "log: {level: warn, format: json}\n"
	                             "redis:\n"
	                             "  address: redis://u:p%40@10.0.0.5:6379/0\n"
	                             "  call_timeout: 500ms\n"
	                             "client:\n"
	                             "  ping_interval: 0\n"
	                             "  queue_max_size: 64KiB\n"
	                             "  connect_include_server_time: true\n"
	                             "channel:\n"
	                             "  without_namespace:\n"
	                             "    publication_data_format: json_object\n"
	                             "  namespaces:\n"
	                             "  - name: prices\n"
	                             "    allow_subscribe_for_client: true\n"
	                             "  - name: chat-1.x_y\n");

	assert_int_equal(c->listen.count, 3);
	assert_string_equal(c->listen.items[1], "[::1]:8080");
	assert_int_equal(c->workers, 4);
	assert_string_equal(c->runtime_dir, "/run/x");
	assert_int_equal(c->log.level, LOG_WARNING);
	assert_int_equal(c->log.format, LOG_JSON);
	assert_string_equal(c->redis.address, "redis://u:p%40@10.0.0.5:6379/0");
	assert_int_equal(c->redis.call_timeout_ms, 500);
	assert_int_equal(c->client.ping_interval_ms, 0);
	assert_int_equal(c->client.queue_max_size, 65536);
	assert_true(c->client.connect_include_server_time);
	assert_int_equal(c->channel.without_namespace.publication_data_format, DATA_FORMAT_JSON_OBJECT);
	assert_int_equal(c->channel.namespace_count, 2);
	assert_string_equal(c->channel.namespaces[1].name, "chat-1.x_y");
	assert_true(c->channel.namespaces[0].allow_subscribe_for_client);
	assert_false(c->channel.namespaces[1].allow_subscribe_for_client);
	config_free(&c);
}

static void an_empty_file_and_empty_sections_are_allowed(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"# nothing\n",
		"---\n",
		"---\n...\n",
		"client:\n",
		"client: {}\n",
		"channel:\n  without_namespace:\n  namespaces:\n",
		"redis: {address: null}",
		"log: ~\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct config *c = load_text(texts[i]);

		assert_int_equal(c->client.channel_limit, 128);
		config_free(&c);
	}
}

static void variables_win_over_the_file_and_flags_over_both(void **state)
{
	const char *const environment[] = {"HOME=/root",
	                                   "FANFARE_CLIENT_CHANNEL_LIMIT=7",
	                                   "FANFARE_WORKERS=3",
	                                   "FANFARE_LOG_LEVEL=",
	                                   "FANFARE_CONFIG=/nowhere",
	                                   "FANFARE_LISTEN=127.0.0.1:1 127.0.0.1:2,127.0.0.1:3",
	                                   "FANFARE_CLIENT_ALLOWED_ORIGINS=[\"https://a\", 'https://b']",
	                                   "FANFARE_CHANNEL_WITHOUT_NAMESPACE_ALLOW_PUBLISH_FOR_CLIENT=true",
	                                   "FANFARE_CHANNEL_NAMESPACES=[{\"name\": \"x\"}]",
	                                   NULL};
	struct config_flag flags[] = {{.option = "workers", .value = "2", .flag = "--workers"},
	                              {.option = "listen", .value = "127.0.0.1:4", .flag = "--listen"},
	                              {.option = "listen", .value = "[::1]:5", .flag = "--listen"}};
	struct config_sources sources = {.file = path,
	                                 .environment = (char *const *)environment,
	                                 .flags = flags,
	                                 .flag_count = ARRAY_LEN(flags)};
	const char *text = "client: {channel_limit: 5, connection_limit: 6}\nworkers: 9\n"
			   "channel: {namespaces: [{name: y}, {name: z}]}\n";
	struct config *c;

	write_file(text, strlen(text));
	c = load_good(&sources);
	assert_int_equal(c->client.channel_limit, 7);
	assert_int_equal(c->client.connection_limit, 6);
	assert_int_equal(c->workers, 2);
	assert_int_equal(c->log.level, LOG_INFO);
	assert_int_equal(c->listen.count, 2);
	assert_string_equal(c->listen.items[1], "[::1]:5");
	assert_int_equal(c->client.allowed_origins.count, 2);
	assert_string_equal(c->client.allowed_origins.items[1], "https://b");
	assert_true(c->channel.without_namespace.allow_publish_for_client);
	assert_int_equal(c->channel.namespace_count, 1);
	assert_string_equal(c->channel.namespaces[0].name, "x");
	config_free(&c);
}

static void the_file_may_be_named_by_a_variable(void **state)
{
	char variable[128];
	const char *const environment[] = {variable, NULL};
	struct config_sources sources = {.environment = (char *const *)environment};
	struct config *c;

	snprintf(variable, sizeof(variable), "FANFARE_CONFIG=%s", path);
	write_file("workers: 5", 10);
	c = load_good(&sources);
	assert_int_equal(c->workers, 5);
	config_free(&c);
	write_file("workers: x", 10);
	expect_errors(&sources, "F:1: workers: must be auto or a number from 1 to 1024, not \"x\"\n");
	sources.file = "/nowhere/fanfare.yaml";
	expect_errors(&sources, "/nowhere/fanfare.yaml: cannot open: No such file or directory\n");
}

static void items_of_a_variable_are_apart_by_space_or_comma(void **state)
{
	const char *const environment[] = {"FANFARE_LISTEN= 127.0.0.1:1, 127.0.0.1:2  127.0.0.1:3,", NULL};
	struct config_sources sources = {.environment = (char *const *)environment};
	struct config *c = load_good(&sources);

	assert_int_equal(c->listen.count, 3);
	assert_string_equal(c->listen.items[2], "127.0.0.1:3");
	config_free(&c);
}

static void variables_of_kubernetes_services_are_left_alone(void **state)
{
	const char *const environment[] = {"FANFARE_SERVICE_HOST=10.0.0.1",
	                                   "FANFARE_SERVICE_PORT=8080",
	                                   "FANFARE_SERVICE_PORT_HTTP=8080",
	                                   "FANFARE_PORT=tcp://10.0.0.1:8080",
	                                   "FANFARE_PORT_8080_TCP=tcp://10.0.0.1:8080",
	                                   "FANFARE_PORT_8080_TCP_PROTO=tcp",
	                                   "FANFARE_PORT_8080_TCP_ADDR=10.0.0.1",
	                                   "FANFARE_REDIS_SERVICE_HOST=10.0.0.2",
	                                   NULL};
	struct config_sources sources = {.environment = (char *const *)environment};
	struct config *c = load_good(&sources);

	config_free(&c);
}

static void a_relative_runtime_directory_becomes_absolute(void **state)
{
	struct config_flag flags[] = {{.option = "runtime_dir", .value = "run", .flag = "--runtime-dir"}};
	struct config_sources sources = {.flags = flags, .flag_count = 1};
	struct config *c;

	assert_int_equal(chdir("/tmp"), 0);
	c = load_good(&sources);
	assert_string_equal(c->runtime_dir, "/tmp/run");
	config_free(&c);
}

static void history_is_on_when_it_has_a_size_and_a_time(void **state)
{
	struct config *c = load_text(
		"channel:\n  without_namespace: {history_size: 10, history_ttl: 1m}\n"
		"  namespaces: [{name: x, history_size: 3, history_ttl: 2s, history_meta_ttl: "
		"1h,\n    force_recovery: true, force_recovery_mode: cache, auto_cache_recover: "
		"true}, {name: y}]\n");

	assert_true(config_has_history(&c->channel.without_namespace));
	assert_true(config_has_history(&c->channel.namespaces[0]));
	assert_false(config_has_history(&c->channel.namespaces[1]));
	assert_int_equal(c->channel.without_namespace.history_meta_ttl_ms, 720ull * 3600 * 1000);
	assert_int_equal(c->channel.namespaces[0].history_meta_ttl_ms, 3600 * 1000);
	assert_int_equal(c->channel.namespaces[0].force_recovery_mode, RECOVERY_CACHE);
	assert_int_equal(c->client.history_max_publication_limit, 300);
	assert_int_equal(c->client.recovery_max_publication_limit, 300);
	assert_int_equal(c->loaded_ms, clock_ms());
	config_free(&c);
}

static void port_0_is_another_one_each_time(void **state)
{
	struct config *c = load_text("listen: [\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n");

	assert_non_null(c);
	assert_int_equal(c->listen.count, 2);
	config_free(&c);
}

static const struct channel_options *find(const struct config *c, const char *name)
{
	return config_channel(c, name, strlen(name));
}

static void channels_have_the_options_of_their_namespace(void **state)
{
	struct config *c = load_text("channel: {namespaces: [{name: a}, {name: ab}]}\n");

	assert_ptr_equal(find(c, "news"), &c->channel.without_namespace);
	assert_ptr_equal(find(c, ""), &c->channel.without_namespace);
	assert_ptr_equal(find(c, "$"), &c->channel.without_namespace);
	assert_ptr_equal(find(c, "$a"), &c->channel.without_namespace);
	assert_ptr_equal(find(c, ":a"), &c->channel.without_namespace);
	assert_ptr_equal(find(c, "a:x"), &c->channel.namespaces[0]);
	assert_ptr_equal(find(c, "$a:x:y"), &c->channel.namespaces[0]);
	assert_ptr_equal(find(c, "ab:"), &c->channel.namespaces[1]);
	assert_null(find(c, "abc:x"));
	assert_null(find(c, "$$a:x"));
	assert_null(config_channel(c, "a:x", 0) == NULL ? c : NULL);
	assert_ptr_equal(config_channel(c, "a:x", 1), &c->channel.without_namespace);
	config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_configuration_is_safe),
		cmocka_unit_test(dev_mode_lets_anybody_in),
		cmocka_unit_test(dev_mode_may_stand_in_the_file),
		cmocka_unit_test(dev_mode_of_the_file_can_be_switched_off),
		cmocka_unit_test(a_file_sets_values_of_every_type),
		cmocka_unit_test(an_empty_file_and_empty_sections_are_allowed),
		cmocka_unit_test(variables_win_over_the_file_and_flags_over_both),
		cmocka_unit_test(the_file_may_be_named_by_a_variable),
		cmocka_unit_test(items_of_a_variable_are_apart_by_space_or_comma),
		cmocka_unit_test(variables_of_kubernetes_services_are_left_alone),
		cmocka_unit_test(a_relative_runtime_directory_becomes_absolute),
		cmocka_unit_test(history_is_on_when_it_has_a_size_and_a_time),
		cmocka_unit_test(port_0_is_another_one_each_time),
		cmocka_unit_test(channels_have_the_options_of_their_namespace),
	};

	return cmocka_run_group_tests_name("config", tests, make_file, remove_file);
}
