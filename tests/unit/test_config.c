/* config_load() and its kin: values from each source, every kind of problem with its place, what is printed
 * reads back to the same, and no input crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "clock.h"
#include "config.h"
#include "log.h"
#include "options.h"

enum { TEXT_MAX = 1 << 20 };

static char path[] = "/tmp/fanfare-test-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

static void write_file(const void *text, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* Loads; the problems, without the path of the file, are in `errors`. */
static struct config *load(const struct config_sources *sources, char *errors, size_t size)
{
	struct config *config;
	size_t used = 0;
	struct buf buf;

	buf_init(&buf, TEXT_MAX);
	config = config_load(sources, &buf);
	assert_true(buf_ok(&buf));
	assert_true((config == NULL) == (buf.len > 0));
	for (size_t i = 0; i < buf.len && used + 1 < size; i++) {
		if (buf.len - i > strlen(path) && memcmp(buf.data + i, path, strlen(path)) == 0) {
			errors[used++] = 'F';
			i += strlen(path) - 1;
		} else {
			errors[used++] = buf.data[i];
		}
	}
	errors[used] = '\0';
	buf_free(&buf);
	return config;
}

static struct config *load_good(const struct config_sources *sources)
{
	char errors[4096];
	struct config *config = load(sources, errors, sizeof(errors));

	assert_string_equal(errors, "");
	return config;
}

static struct config *load_text(const char *text)
{
	struct config_sources sources = {.file = path};

	write_file(text, strlen(text));
	return load_good(&sources);
}

static void expect_errors(const struct config_sources *sources, const char *expected)
{
	char errors[8192];
	struct config *config = load(sources, errors, sizeof(errors));

	assert_null(config);
	assert_string_equal(errors, expected);
}

static void refuse_text(const char *text, const char *expected)
{
	struct config_sources sources = {.file = path};

	write_file(text, strlen(text));
	expect_errors(&sources, expected);
}

static void refuse_variable(const char *variable, const char *expected)
{
	const char *const environment[] = {variable, NULL};
	struct config_sources sources = {.environment = (char *const *)environment};

	expect_errors(&sources, expected);
}

static void refuse_flag(const char *option, const char *flag, const char *value, const char *expected)
{
	struct config_flag flags[] = {{.option = option, .value = value, .flag = flag}};
	struct config_sources sources = {.flags = flags, .flag_count = 1};

	expect_errors(&sources, expected);
}

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

static void a_file_that_cannot_be_read_is_named(void **state)
{
	struct config_sources missing = {.file = "/nowhere/fanfare.yaml"};
	struct config_sources directory = {.file = "/"};

	expect_errors(&missing, "/nowhere/fanfare.yaml: cannot open: No such file or directory\n");
	expect_errors(&directory, "/: cannot read: Is a directory\n");
}

static void unknown_keys_are_refused_with_a_suggestion(void **state)
{
	refuse_text("client:\n  ping_intervall: 5s\n",
	            "F:2: client.ping_intervall: unknown option, did you mean ping_interval?\n");
	refuse_text("clients: {}\n", "F:1: clients: unknown option, did you mean client?\n");
	refuse_text("frobnicate: 1\n", "F:1: frobnicate: unknown option\n");
	refuse_text("allowed_origins: []\n",
	            "F:1: allowed_origins: unknown option, did you mean client.allowed_origins?\n");
	refuse_text("client_channel_limit: 5\n",
	            "F:1: client_channel_limit: unknown option, did you mean client.channel_limit?\n");
	refuse_text("client.channel_limit: 5\n",
	            "F:1: client.channel_limit: unknown option, did you mean client.channel_limit?\n");
	refuse_text("channel:\n  without_namespace:\n    name: x\n",
	            "F:3: channel.without_namespace.name: unknown option\n");
	refuse_text("channel:\n  namespaces:\n    - name: x\n      history: 5\n",
	            "F:4: channel.namespaces[0].history: unknown option\n");
	refuse_text("\"a\\0b\\n\": 1\n", "F:1: a?b?: unknown option\n");
}

static void a_key_stands_once(void **state)
{
	refuse_text("workers: 1\nclient: {}\nworkers: 2\n",
	            "F:3: workers: must stand here once, it is already in line 1\n");
	refuse_text("client: {}\n\nclient: {}\n",
	            "F:3: client: must stand here once, it is already in line 1\n");
	refuse_text(
		"channel:\n  without_namespace:\n    allow_publish_for_client: true\n"
		"    allow_publish_for_client: false\n",
		"F:4: channel.without_namespace.allow_publish_for_client: must stand here once, it is already "
		"in line 3\n");
}

static void values_of_the_wrong_type_are_refused(void **state)
{
	refuse_text("client: 5\n", "F:1: client: must be a map of options\n");
	refuse_text("- a\n", "F:1: must be a map of options\n");
	refuse_text("hello\n", "F:1: must be a map of options\n");
	refuse_text("listen: :8080\n", "F:1: listen: must be a list of 1 to 64 texts\n");
	refuse_text("listen: [[a]]\n", "F:1: listen: item 1 must be a text\n");
	refuse_text("listen: []\n", "F:1: listen: must be a list of 1 to 64 texts\n");
	refuse_text("workers: [1]\n", "F:1: workers: must be auto or a number from 1 to 1024\n");
	refuse_text("workers:\n", "F:1: workers: has no value, must be auto or a number from 1 to 1024\n");
	refuse_text("dev: yes\n", "F:1: dev: must be true or false, not \"yes\"\n");
	refuse_text("channel: {without_namespace: []}\n",
	            "F:1: channel.without_namespace: must be a map of options\n");
	refuse_text("channel: {namespaces: {name: a}}\n",
	            "F:1: channel.namespaces: must be a list of at most 1000 maps of options\n");
	refuse_text("channel: {namespaces: [a]}\n", "F:1: channel.namespaces[0]: must be a map of options\n");
	refuse_text("? [a]\n: 1\n", "F:1: a key must be a word\n");
	refuse_text("client:\n  ? {}\n  : 1\n", "F:2: client: a key must be a word\n");
}

static void values_that_cannot_be_are_refused(void **state)
{
	refuse_text("workers: 0\n", "F:1: workers: must be auto or a number from 1 to 1024, not \"0\"\n");
	refuse_text("workers: -1\n", "F:1: workers: must be auto or a number from 1 to 1024, not \"-1\"\n");
	refuse_text("log: {level: loud}\n",
	            "F:1: log.level: must be debug, info, warning or error, not \"loud\"\n");
	refuse_text("client: {ping_interval: 25}\n", "F:1: client.ping_interval: must be 0 or a duration "
	                                             "(ms, s, m, h) from 1s to 1h, not \"25\"\n");
	refuse_text("client: {queue_max_size: 1 MiB}\n",
	            "F:1: client.queue_max_size: must be a size (bytes, "
	            "or KB, MB, GB, KiB, MiB, GiB) from 1KiB to 1GiB, not \"1 MiB\"\n");
	refuse_text("client: {channel_limit: 99999999999999999999999}\n",
	            "F:1: client.channel_limit: must be a number from 1 to 100000, not "
	            "\"99999999999999999999999\"\n");
	refuse_text(
		"listen: [\"otherhost:8080\"]\n",
		"F:1: listen: item 1: must be IPV4:PORT, [IPV6]:PORT, :PORT or unix:/PATH, with a numeric address or "
		"localhost, not "
		"\"otherhost:8080\"\n");
	refuse_text("listen: [\":65536\"]\n",
	            "F:1: listen: item 1: the port must be a number from 0 to 65535, not \":65536\"\n");
	refuse_text(
		"client: {allowed_origins: [\"https://a.example/\"]}\n",
		"F:1: client.allowed_origins: item 1: must be an origin such as https://app.example.com or "
		"https://*.example.com, without a path, or *, not \"https://a.example/\"\n");
	refuse_text(
		"redis: {prefix: fanfare}\n",
		"F:1: redis.prefix: must be of letters, digits, '-', '_', '.' and ':', and end with ':', not "
		"\"fanfare\"\n");
	refuse_text(
		"websocket: {handler_prefix: ws}\n",
		"F:1: websocket.handler_prefix: must be a path such as /connection/websocket, of letters, "
		"digits, '-', '_', '.' and '/', not ending with '/', not \"ws\"\n");
	refuse_text("runtime_dir: \"a\\tb\"\n",
	            "F:1: runtime_dir: must be UTF-8 without control characters\n");
	refuse_text("runtime_dir: \"\"\n", "F:1: runtime_dir: must be the path of a directory, not \"\"\n");
}

static void a_secret_is_not_repeated(void **state)
{
	refuse_text("redis: {address: \"redis://:hush@\"}\n",
	            "F:1: redis.address: the host must be a name, an IPv4 address or an [IPv6 address]\n");
	refuse_text("redis: {address: \"rediss://:hush@x:y\"}\n",
	            "F:1: redis.address: the port must be a number from 1 to 65535\n");
	refuse_flag("redis.address", "--redis", "hush",
	            "--redis: must be redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or "
	            "unix:/PATH\n");
}

static void tls_to_redis_is_asked_for_by_its_address(void **state)
{
	struct config *c = load_text("redis:\n"
	                             "  address: rediss://h\n"
	                             "  tls:\n"
	                             "    cert_pem_file: /c\n"
	                             "    server_ca_pem_file: /a\n"
	                             "    server_name: redis.example.com\n"
	                             "    insecure_skip_verify: true\n");

	assert_string_equal(c->redis.tls.cert_pem_file, "/c");
	assert_null(c->redis.tls.key_pem_file);
	assert_string_equal(c->redis.tls.server_ca_pem_file, "/a");
	assert_string_equal(c->redis.tls.server_name, "redis.example.com");
	assert_true(c->redis.tls.insecure_skip_verify);
	config_free(&c);
	refuse_text(
		"redis:\n  address: redis://h\n  tls:\n    server_name: x\n    insecure_skip_verify: true\n",
		"F:4: redis.tls.server_name: is for TLS, which redis.address does not ask for: it must "
		"begin with rediss://\n"
		"F:5: redis.tls.insecure_skip_verify: is for TLS, which redis.address does not ask for: "
		"it must begin with rediss://\n");
	refuse_text("redis: {address: \"unix:/s\", tls: {server_ca_pem_file: /a}}\n",
	            "F:1: redis.tls.server_ca_pem_file: is for TLS, which redis.address does not ask for: "
	            "it must begin with rediss://\n");
	refuse_variable("FANFARE_REDIS_TLS_CERT_PEM_FILE=/c",
	                "FANFARE_REDIS_TLS_CERT_PEM_FILE: redis.tls.cert_pem_file: is for TLS, which "
	                "redis.address does not ask for: it must begin with rediss://\n");
	refuse_text("redis: {address: \"rediss://h\", tls: {key_pem_file: /k}}\n",
	            "F:1: redis.tls.key_pem_file: is of use only with redis.tls.cert_pem_file\n");
	refuse_text(
		"redis: {address: \"rediss://h\", tls: {server_name: \"h:1/\"}}\n",
		"F:1: redis.tls.server_name: must be a name or an address, without a port, not \"h:1/\"\n");
}

static void history_options_that_do_not_go_together_are_refused(void **state)
{
	refuse_text(
		"channel:\n  without_namespace:\n    force_recovery: true\n",
		"F:3: channel.without_namespace.force_recovery: needs history: set history_size and history_ttl, "
		"too\n");
	refuse_text(
		"channel:\n  namespaces:\n    - name: x\n      allow_history_for_client: true\n    - name: y\n",
		"F:4: channel.namespaces[0].allow_history_for_client: needs history: set history_size and "
		"history_ttl, too\n");
	refuse_text("channel:\n  namespaces:\n    - name: y\n    - name: x\n      history_size: 5\n"
	            "      allow_recovery: true\n",
	            "F:5: channel.namespaces[1].history_size: needs history_ttl, too\n");
	refuse_text("channel: {without_namespace: {history_ttl: 5s}}\n",
	            "F:1: channel.without_namespace.history_ttl: needs history_size, too\n");
	refuse_text("channel: {without_namespace: {history_size: 1, history_ttl: 721h}}\n",
	            "F:1: channel.without_namespace.history_ttl: must not be longer than history_meta_ttl\n");
	refuse_text("channel: {without_namespace: {history_size: 1, history_ttl: 1m, force_recovery: true,\n"
	            "  auto_cache_recover: true}}\n",
	            "F:2: channel.without_namespace.auto_cache_recover: needs force_recovery_mode: cache\n");
	refuse_text(
		"channel: {without_namespace: {history_size: 1, history_ttl: 1m,\n"
		"  force_recovery_mode: cache}}\n",
		"F:2: channel.without_namespace.force_recovery_mode: needs force_recovery or allow_recovery\n");
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
	assert_int_equal(c->loaded_ms, clock_unix_ms());
	config_free(&c);
}

static void namespaces_have_unique_names(void **state)
{
	refuse_text("channel:\n  namespaces:\n    - allow_publish_for_client: true\n",
	            "F:3: channel.namespaces[0].name: is missing: each namespace has a name\n");
	refuse_text("channel:\n  namespaces:\n    - name: a\n    - name: a\n",
	            "F:4: channel.namespaces[1].name: must be unique, there is another namespace \"a\"\n");
	refuse_text(
		"channel:\n  namespaces:\n    - name: \"\"\n",
		"F:3: channel.namespaces[0].name: must be of letters, digits, '-', '_' and '.', and not empty, "
		"not \"\"\n");
	refuse_text(
		"channel:\n  namespaces:\n    - name: \"a:b\"\n",
		"F:3: channel.namespaces[0].name: must be of letters, digits, '-', '_' and '.', and not empty, "
		"not \"a:b\"\n");
}

static void combinations_that_cannot_be_are_refused(void **state)
{
	refuse_text("client:\n  ping_interval: 5s\n",
	            "F:2: client.pong_timeout: must be shorter than client.ping_interval, 5s, not 8s\n");
	refuse_text("client:\n  ping_interval: 5s\n  pong_timeout: 5s\n",
	            "F:3: client.pong_timeout: must be shorter than client.ping_interval, 5s, not 5s\n");
	refuse_text("uni_websocket:\n  enabled: true\n  handler_prefix: /connection/websocket\n",
	            "F:3: uni_websocket.handler_prefix: must not be websocket.handler_prefix, "
	            "/connection/websocket\n");
	refuse_text("websocket: {handler_prefix: /echo}\n",
	            "F:1: websocket.handler_prefix: must not be /echo, which the broker itself answers\n");
	refuse_text(
		"uni_websocket: {handler_prefix: /health/ready}\n",
		"F:1: uni_websocket.handler_prefix: must not be /health/ready, which the broker itself answers\n");
	refuse_text("listen:\n  - \":1\"\n  - \":1\"\n", "F:2: listen: must name \":1\" once\n");
	refuse_text("listen: [\"127.0.0.1:1\", \"localhost:1\"]\n",
	            "F:1: listen: must name \"127.0.0.1:1\" once, \"localhost:1\" is the same\n");
	refuse_text("listen: [\"127.0.0.1:1\", \"tls:127.0.0.1:1\"]\n",
	            "F:1: listen: must name \"127.0.0.1:1\" once, \"tls:127.0.0.1:1\" is the same\n");
	refuse_variable("FANFARE_CLIENT_PONG_TIMEOUT=30s",
	                "FANFARE_CLIENT_PONG_TIMEOUT: client.pong_timeout: must be shorter than "
	                "client.ping_interval, 25s, not 30s\n");
}

static void port_0_is_another_one_each_time(void **state)
{
	struct config *c = load_text("listen: [\"127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n");

	assert_non_null(c);
	assert_int_equal(c->listen.count, 2);
	config_free(&c);
}

static void what_is_not_plain_yaml_is_refused(void **state)
{
	refuse_text("client: {\n",
	            "F:2: not valid YAML: did not find expected node content, while parsing a flow "
	            "node\n");
	refuse_text("a: 1\n\xff\n", "F:2: not valid YAML: invalid leading UTF-8 octet\n");
	refuse_text("client: &a {}\n", "F:1: anchors (&) are not allowed\n");
	refuse_text("client: *a\n", "F:1: aliases (*) are not allowed\n");
	refuse_text("workers: !!int 1\n", "F:1: tags (!) are not allowed\n");
	refuse_text("workers: 1\n---\nworkers: 2\n", "F:2: a second document (---) is not allowed\n");
	refuse_text("a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]\n", "F:1: nested too deeply\n");
}

static void a_file_that_is_too_long_is_refused(void **state)
{
	struct config_sources sources = {.file = path};
	char *text = malloc(TEXT_MAX + 1);

	assert_non_null(text);
	memset(text, '\n', TEXT_MAX + 1);
	write_file(text, TEXT_MAX + 1);
	expect_errors(&sources, "F: longer than 1048576 bytes\n");
	free(text);
}

static void variables_are_checked(void **state)
{
	refuse_variable(
		"FANFARE_CLIENT_PING_INTERVALL=5s",
		"FANFARE_CLIENT_PING_INTERVALL: no option is called so, did you mean FANFARE_CLIENT_PING_INTERVAL?\n");
	/* Not one of Kubernetes, though there is an address in it. */
	refuse_variable(
		"FANFARE_REDIS_ADRESS=redis://h",
		"FANFARE_REDIS_ADRESS: no option is called so, did you mean FANFARE_REDIS_ADDRESS?\n");
	refuse_variable("FANFARE_X=1", "FANFARE_X: no option is called so; see fanfare config --example\n");
	refuse_variable("FANFARE_CHANNEL_WITHOUT_NAMESPACE_NAME=x",
	                "FANFARE_CHANNEL_WITHOUT_NAMESPACE_NAME: no option is called so; see fanfare config "
	                "--example\n");
	refuse_variable("FANFARE_WORKERS=many",
	                "FANFARE_WORKERS: workers: must be auto or a number from 1 to 1024, not \"many\"\n");
	refuse_variable(
		"FANFARE_CHANNEL_NAMESPACES=[{name: a}, {name: a}]",
		"FANFARE_CHANNEL_NAMESPACES:1: channel.namespaces[1].name: must be unique, there is another "
		"namespace \"a\"\n");
	refuse_variable("FANFARE_CHANNEL_NAMESPACES=[",
	                "FANFARE_CHANNEL_NAMESPACES:1: not valid YAML: did not "
	                "find expected node content, while parsing a flow node\n");
	refuse_variable("FANFARE_LISTEN=,",
	                "FANFARE_LISTEN: listen: must be a list of 1 to 64 texts, not \",\"\n");
}

static void flags_are_checked(void **state)
{
	refuse_flag("workers", "--workers", "x",
	            "--workers: must be auto or a number from 1 to 1024, not \"x\"\n");
	refuse_flag(
		"listen", "--listen", "",
		"--listen: must be IPV4:PORT, [IPV6]:PORT, :PORT or unix:/PATH, with a numeric address or localhost, "
		"not \"\"\n");
}

static void each_bad_item_of_a_list_is_named(void **state)
{
	refuse_text("listen: [\":65536\", \":1\", \":x\", {}]\n",
	            "F:1: listen: item 1: the port must be a number from 0 to 65535, not \":65536\"\n"
	            "F:1: listen: item 3: the port must be a number from 0 to 65535, not \":x\"\n"
	            "F:1: listen: item 4 must be a text\n");
	refuse_variable(
		"FANFARE_LISTEN=:1 :x,:2 :65536",
		"FANFARE_LISTEN: listen: item 2: the port must be a number from 0 to 65535, not \":x\"\n"
		"FANFARE_LISTEN: listen: item 4: the port must be a number from 0 to 65535, not \":65536\"\n");
}

static void what_a_redis_cluster_does_not_have_is_refused(void **state)
{
	static const char only_with[] =
		"is of use only with redis.sentinel_address or redis.cluster_address: "
		"an address has its own\n";
	char expected[256];

	refuse_text("redis:\n  address: redis://h\n  cluster_address: [a, b]\n",
	            "F:2: redis.address: must not be set with redis.cluster_address\n");
	refuse_text("redis:\n  cluster_address: [a, b]\n  db: 3\n",
	            "F:3: redis.db: must be 0: a Redis Cluster has no other database\n");
	refuse_text(
		"redis: {cluster_address: [a], sentinel_address: [b], sentinel_master_name: m}",
		"F:1: redis.sentinel_address: must not be set with redis.cluster_address: a Redis Cluster "
		"has no sentinels\n");
	refuse_text("redis: {cluster_address: [a], user: u}", "F:1: redis.user: needs redis.password\n");
	refuse_text("redis: {cluster_address: [\"a:6379\", A]}",
	            "F:1: redis.cluster_address: must name \"A\" once\n");
	refuse_text("redis: {cluster_address: [a], tls: {server_name: n}}",
	            "F:1: redis.tls.server_name: is for TLS, which needs redis.tls.enabled\n");
	snprintf(expected, sizeof(expected), "F:1: redis.password: %s", only_with);
	refuse_text("redis: {address: \"redis://h\", password: p}", expected);
}

static void all_problems_are_told(void **state)
{
	refuse_text("workers: x\nfoo: 1\nclient:\n  channel_limit: 0\nlog: {format: xml}\n",
	            "F:1: workers: must be auto or a number from 1 to 1024, not \"x\"\n"
	            "F:2: foo: unknown option\n"
	            "F:4: client.channel_limit: must be a number from 1 to 100000, not \"0\"\n"
	            "F:5: log.format: must be text or json, not \"xml\"\n");
}

static void endless_problems_have_an_end(void **state)
{
	struct config_sources sources = {.file = path};
	char *text = malloc(TEXT_MAX), *errors = malloc(TEXT_MAX);
	size_t len = 0;

	assert_non_null(text);
	assert_non_null(errors);
	while (len + 16 < TEXT_MAX)
		len += (size_t)snprintf(text + len, TEXT_MAX - len, "k%zx:\n", len);
	write_file(text, len);
	assert_null(load(&sources, errors, TEXT_MAX));
	assert_non_null(strstr(errors, "and more problems, which are not shown\n"));
	assert_true(strlen(errors) < 16384);
	free(text);
	free(errors);
}

static void print(const struct config *c, bool mask, struct buf *out)
{
	buf_init(out, TEXT_MAX);
	config_print(c, mask, out);
	buf_putc(out, '\0');
	assert_true(buf_ok(out));
}

/* Printed, read and printed again. */
static void check_round_trip(struct config *c)
{
	struct config_sources sources = {.file = path};
	struct config *again;
	struct buf first, second;

	print(c, false, &first);
	write_file(first.data, first.len - 1);
	again = load_good(&sources);
	print(again, false, &second);
	assert_string_equal(first.data, second.data);
	buf_free(&first);
	buf_free(&second);
	config_free(&again);
	config_free(&c);
}

static void what_is_printed_reads_back_to_the_same(void **state)
{
	struct config_sources empty = {0}, dev = {.dev = true};

	check_round_trip(load_good(&empty));
	check_round_trip(load_good(&dev));
	check_round_trip(
		load_text("listen: [\":80\", \"unix:/a b\\\"c\\\\d\"]\n"
	                  "workers: 3\n"
	                  "runtime_dir: \"/\xc3\xa4\xe2\x80\xa8\xf0\x9f\x8e\xba'\"\n"
	                  "redis: {address: \"redis://u:p%40@h:1/2\", call_timeout: 1500ms}\n"
	                  "client: {queue_max_size: 1025, allowed_origins: []}\n"
	                  "channel:\n"
	                  "  max_length: 100\n"
	                  "  without_namespace: {publication_data_format: binary}\n"
	                  "  namespaces: [{name: a, allow_publish_for_client: true}, {name: 1.5}]\n"));
}

static void a_password_is_masked(void **state)
{
	struct config *c = load_text("redis: {address: \"redis://me:hush@h:1/2\"}");
	struct buf out;

	print(c, true, &out);
	assert_null(strstr(out.data, "hush"));
	assert_non_null(strstr(out.data, "  address: \"redis://me:***@h:1/2\"\n"));
	buf_free(&out);
	config_free(&c);
	/* All of one that stands alone, whatever it looks like. */
	c = load_text(
		"redis: {sentinel_address: [h], sentinel_master_name: m, password: \"redis://hush:x@h\"}");
	print(c, true, &out);
	assert_null(strstr(out.data, "hush"));
	assert_non_null(strstr(out.data, "  password: \"***\"\n"));
	buf_free(&out);
	print(c, false, &out);
	assert_non_null(strstr(out.data, "  password: \"redis://hush:x@h\"\n"));
	buf_free(&out);
	config_free(&c);
}

static char *example(void)
{
	struct buf out;

	buf_init(&out, TEXT_MAX);
	config_print_example(&out);
	buf_putc(&out, '\0');
	assert_true(buf_ok(&out));
	return out.data;
}

static void the_example_file_is_what_is_printed(void **state)
{
	FILE *file = fopen(FANFARE_EXAMPLE_FILE, "r");
	char *file_text = calloc(1, TEXT_MAX), *text = example();

	assert_non_null(file);
	assert_non_null(file_text);
	assert_true(fread(file_text, 1, TEXT_MAX - 1, file) > 0);
	fclose(file);
	/* If not: fanfare config --example > deploy/fanfare.example.yaml */
	assert_string_equal(file_text, text);
	free(file_text);
	free(text);
}

/* Turns "  #name: value" into "  name: value"; prose has a space behind the '#'. */
static void uncomment(char *text)
{
	char *to = text;

	for (char *from = text; *from != '\0'; from++) {
		if (*from != '#' || from[1] == ' ' || from[1] == '\n')
			*to++ = *from;
	}
	*to = '\0';
}

static void the_example_file_holds_the_defaults(void **state)
{
	struct config_sources empty = {0};
	struct config *defaults = load_good(&empty), *as_it_is, *uncommented;
	struct buf a, b, c;
	char *text = example();

	as_it_is = load_text(text);
	uncomment(text);
	uncommented = load_text(text);
	print(defaults, false, &a);
	print(as_it_is, false, &b);
	assert_string_equal(a.data, b.data);
	assert_int_equal(uncommented->channel.namespace_count, 1);
	option_clear(option_find(&options_of_broker, BYTES("channel.namespaces")), uncommented);
	print(uncommented, false, &c);
	assert_string_equal(a.data, c.data);
	buf_free(&a);
	buf_free(&b);
	buf_free(&c);
	free(text);
	config_free(&defaults);
	config_free(&as_it_is);
	config_free(&uncommented);
}

static void the_example_file_names_every_option(void **state)
{
	char *text = example(), key[128];

	for (size_t i = 0; i < options_of_broker.count; i++) {
		const char *name = options_of_broker.rows[i].name, *dot = strrchr(name, '.');

		snprintf(key, sizeof(key), "%s:", dot != NULL ? dot + 1 : name);
		assert_non_null(strstr(text, key));
	}
	free(text);
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

/* A generator of our own, so that a failure can be had again. */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static void load_any(const char *text, size_t len)
{
	struct config_sources sources = {.file = path};
	struct config *config;
	struct buf errors;

	write_file(text, len);
	buf_init(&errors, TEXT_MAX);
	config = config_load(&sources, &errors);
	assert_true((config == NULL) == (errors.len > 0));
	buf_free(&errors);
	config_free(&config);
}

static void no_bytes_crash(void **state)
{
	uint32_t seed = 4711;
	char text[256];

	for (int i = 0; i < 3000; i++) {
		size_t len = next_random(&seed) % sizeof(text);

		for (size_t j = 0; j < len; j++)
			text[j] = (char)next_random(&seed);
		load_any(text, len);
	}
}

/* A good file with a few bytes changed gets further than noise. */
static void no_damage_crashes(void **state)
{
	static const char alphabet[] = "{}[]:,-#&*!|>'\"%@`\n \t0aZ\\\x80\xc3?~";
	char *good = example();
	uint32_t seed = 815;
	size_t len;

	uncomment(good);
	len = strlen(good);
	for (int i = 0; i < 1000; i++) {
		char *text = malloc(len);

		assert_non_null(text);
		memcpy(text, good, len);
		for (uint32_t n = next_random(&seed) % 8; n > 0; n--)
			text[next_random(&seed) % len] =
				alphabet[next_random(&seed) % (sizeof(alphabet) - 1)];
		load_any(text, i % 2 == 0 ? len : next_random(&seed) % len);
		free(text);
	}
	free(good);
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
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
		cmocka_unit_test(unknown_keys_are_refused_with_a_suggestion),
		cmocka_unit_test(a_key_stands_once),
		cmocka_unit_test(values_of_the_wrong_type_are_refused),
		cmocka_unit_test(values_that_cannot_be_are_refused),
		cmocka_unit_test(a_secret_is_not_repeated),
		cmocka_unit_test(tls_to_redis_is_asked_for_by_its_address),
		cmocka_unit_test(history_options_that_do_not_go_together_are_refused),
		cmocka_unit_test(history_is_on_when_it_has_a_size_and_a_time),
		cmocka_unit_test(namespaces_have_unique_names),
		cmocka_unit_test(combinations_that_cannot_be_are_refused),
		cmocka_unit_test(port_0_is_another_one_each_time),
		cmocka_unit_test(what_is_not_plain_yaml_is_refused),
		cmocka_unit_test(a_file_that_is_too_long_is_refused),
		cmocka_unit_test(variables_are_checked),
		cmocka_unit_test(flags_are_checked),
		cmocka_unit_test(each_bad_item_of_a_list_is_named),
		cmocka_unit_test(what_a_redis_cluster_does_not_have_is_refused),
		cmocka_unit_test(all_problems_are_told),
		cmocka_unit_test(endless_problems_have_an_end),
		cmocka_unit_test(what_is_printed_reads_back_to_the_same),
		cmocka_unit_test(a_password_is_masked),
		cmocka_unit_test(the_example_file_is_what_is_printed),
		cmocka_unit_test(the_example_file_holds_the_defaults),
		cmocka_unit_test(the_example_file_names_every_option),
		cmocka_unit_test(channels_have_the_options_of_their_namespace),
		cmocka_unit_test(no_bytes_crash),
		cmocka_unit_test(no_damage_crashes),
	};

	return cmocka_run_group_tests_name("config", tests, make_file, remove_file);
}
