/* `fanfare redis-cli`: becomes redis-cli, on the Redis of the broker. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cli.h"
#include "config_args.h"
#include "mem.h"
#include "redis_access.h"

const char cli_redis_cli_help[] =
	"usage: fanfare redis-cli [OPTION...] [ARGUMENT...]\n"
	"\n"
	"Runs redis-cli on the broker's Redis. Arguments are those of redis-cli; the\n"
	"options below tell which Redis, and stand before them. If it is spoken to over\n"
	"TLS, the name in its certificate is checked once before redis-cli begins, which\n"
	"checks only who has signed it.\n"
	"\n"
	"Options:\n"
	"  --redis URL          redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with\n"
	"                       rediss:// for TLS, or unix:/PATH\n"
	"  --config FILE        the configuration that the broker was started with\n"
	"  --runtime-dir DIR    the runtime directory that the broker was started with\n"
	"\n"
	"Exit codes: those of redis-cli; 1 if it cannot be run, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  fanfare redis-cli PUBLISH fanfare:news '{\"price\": 42}'\n"
	"  fanfare redis-cli monitor\n";

enum { OWN_ARGS_MAX = 20 };

static const struct args_option options[] = {CONFIG_ARGS};

static int find_option(const char *arg, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (strlen(options[i].name) == len && memcmp(options[i].name, arg, len) == 0)
			return (int)i;
	}
	return -1;
}

/* Takes one of our own options off the front: 1, or 0 if what stands there is for redis-cli, -1 after telling
 * that the value is missing. */
static int take_option(struct config_args *given, int argc, char **argv, int *at)
{
	const char *arg = argv[*at], *equals = strchr(arg, '='), *value = NULL;
	size_t len = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
	int option = find_option(arg, len);

	if (option < 0)
		return 0;
	++*at;
	if (equals != NULL)
		value = equals + 1;
	else if (options[option].takes_value && *at < argc)
		value = argv[(*at)++];
	if (options[option].takes_value == (value != NULL))
		return config_args_take(given, option, value);
	fprintf(stderr, "fanfare redis-cli: option %s %s\n", options[option].name,
	        value != NULL ? "takes no value" : "needs a value");
	return -1;
}

/* An address is not asked for (RFC 6066, 3). */
static bool is_name(const char *host)
{
	unsigned char ip4[4];

	return strchr(host, ':') == NULL && inet_pton(AF_INET, host, ip4) != 1;
}

/* Returns how many it took. */
static size_t put_tls(const struct redis_access *a, const struct redis_url *url, char **args)
{
	const struct tls_client_options *o = &a->config->redis.tls;
	char *name = o->server_name != NULL ? o->server_name : url->host;
	size_t n = 0;

	args[n++] = (char *)"--tls";
	if (is_name(name)) {
		args[n++] = (char *)"--sni";
		args[n++] = name;
	}
	if (o->insecure_skip_verify)
		args[n++] = (char *)"--insecure";
	if (o->server_ca_pem_file != NULL) {
		args[n++] = (char *)"--cacert";
		args[n++] = o->server_ca_pem_file;
	}
	if (o->cert_pem_file != NULL) {
		args[n++] = (char *)"--cert";
		args[n++] = o->cert_pem_file;
		args[n++] = (char *)"--key";
		args[n++] = o->key_pem_file != NULL ? o->key_pem_file : o->cert_pem_file;
	}
	return n;
}

/* The password goes through the environment: arguments can be read by everybody on the machine. */
static int become_redis_cli(const struct redis_access *a, const struct redis_url *url, int argc, char **argv)
{
	char **args = mem_alloc((size_t)(argc + OWN_ARGS_MAX) * sizeof(*args));
	char db[16];
	size_t n = 0;

	snprintf(db, sizeof(db), "%d", url->db);
	args[n++] = (char *)"redis-cli";
	args[n++] = (char *)(url->is_unix ? "-s" : "-h");
	args[n++] = url->is_unix ? url->path : url->host;
	if (!url->is_unix) {
		args[n++] = (char *)"-p";
		args[n++] = url->port;
	}
	if (url->db != 0) {
		args[n++] = (char *)"-n";
		args[n++] = db;
	}
	if (url->user != NULL) {
		args[n++] = (char *)"--user";
		args[n++] = url->user;
	}
	if (url->tls)
		n += put_tls(a, url, args + n);
	if (config_has_cluster(a->config))
		args[n++] = (char *)"-c";
	memcpy(args + n, argv, (size_t)argc * sizeof(*args));
	if (url->password == NULL || setenv("REDISCLI_AUTH", url->password, 1) == 0)
		execvp(args[0], args);
	fprintf(stderr, "fanfare redis-cli: cannot run redis-cli: %s%s\n", strerror(errno),
	        errno == ENOENT ? " (Debian: apt install redis-tools)" : "");
	mem_free(args);
	return EXIT_FAILED;
}

/* What is wrong with an address that the user gave, redis-cli tells well; of the embedded Redis and of
 * sentinels it knows nothing. Nor does it look at the name in a certificate, so we do. That finds a wrong
 * one, but binds nobody: who can step in between may show redis-cli another certificate of the same
 * authorities. */
static bool must_connect(const struct redis_access *a)
{
	return a->is_embedded || a->address == NULL || a->url.tls;
}

static int reach_and_become(const struct redis_access *a, int argc, char **argv)
{
	struct redis_errand *errand;
	int code;

	if (!must_connect(a))
		return become_redis_cli(a, &a->url, argc, argv);
	errand = redis_access_connect("redis-cli", a);
	if (errand == NULL)
		return EXIT_FAILED;
	code = become_redis_cli(a, redis_errand_url(errand), argc, argv);
	redis_errand_close(&errand);
	return code;
}

int cli_redis_cli(int argc, char **argv)
{
	struct config_args given = {0};
	struct redis_access access;
	int at = 1, taken = 1, code;

	while (at < argc && (taken = take_option(&given, argc, argv, &at)) > 0)
		continue;
	if (taken < 0)
		return EXIT_USAGE;
	code = redis_access_open("redis-cli", &given, &access);
	if (code != EXIT_OK)
		return code;
	code = reach_and_become(&access, argc - at, argv + at);
	redis_access_close(&access);
	return code;
}
