/* What config_load() refuses: every kind of problem, with its place, its words, and all of them at once. */
#include "config_world.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
		cmocka_unit_test(unknown_keys_are_refused_with_a_suggestion),
		cmocka_unit_test(a_key_stands_once),
		cmocka_unit_test(values_of_the_wrong_type_are_refused),
		cmocka_unit_test(values_that_cannot_be_are_refused),
		cmocka_unit_test(a_secret_is_not_repeated),
		cmocka_unit_test(tls_to_redis_is_asked_for_by_its_address),
		cmocka_unit_test(history_options_that_do_not_go_together_are_refused),
		cmocka_unit_test(namespaces_have_unique_names),
		cmocka_unit_test(combinations_that_cannot_be_are_refused),
		cmocka_unit_test(what_is_not_plain_yaml_is_refused),
		cmocka_unit_test(a_file_that_is_too_long_is_refused),
		cmocka_unit_test(variables_are_checked),
		cmocka_unit_test(flags_are_checked),
		cmocka_unit_test(each_bad_item_of_a_list_is_named),
		cmocka_unit_test(what_a_redis_cluster_does_not_have_is_refused),
		cmocka_unit_test(all_problems_are_told),
		cmocka_unit_test(endless_problems_have_an_end),
	};

	return cmocka_run_group_tests_name("config_refused", tests, make_file, remove_file);
}
