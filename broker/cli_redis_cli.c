/* `fanfare redis-cli`: becomes redis-cli, on the Redis of the broker. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "args.h"
#include "cli.h"
#include "config_args.h"
#include "mem.h"
#include "redis_access.h"

const char cli_redis_cli_help[] =
	"usage: fanfare redis-cli [OPTION...] [ARGUMENT...]\n"
	"\n"
	"Runs redis-cli on the broker's Redis. Arguments are those of redis-cli; the\n"
	"options below tell which Redis, and stand before them.\n"
	"\n"
	"Options:\n"
	"  --redis URL          redis[s]://[USER:PASSWORD@]HOST[:PORT][/DB] or unix:/PATH\n"
	"  --config FILE        the configuration that the broker was started with\n"
	"  --runtime-dir DIR    the runtime directory that the broker was started with\n"
	"\n"
	"Exit codes: those of redis-cli; 1 if it cannot be run, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  fanfare redis-cli PUBLISH fanfare:news '{\"price\": 42}'\n"
	"  fanfare redis-cli monitor\n";

enum { OWN_ARGS_MAX = 10 };

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

/* The password goes through the environment: arguments can be read by everybody on the machine. */
static int become_redis_cli(const struct redis_access *a, int argc, char **argv)
{
	char **args = mem_alloc((size_t)(argc + OWN_ARGS_MAX) * sizeof(*args));
	const struct redis_url *url = &a->url;
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
	memcpy(args + n, argv, (size_t)argc * sizeof(*args));
	if (url->password == NULL || setenv("REDISCLI_AUTH", url->password, 1) == 0)
		execvp(args[0], args);
	fprintf(stderr, "fanfare redis-cli: cannot run redis-cli: %s%s\n", strerror(errno),
	        errno == ENOENT ? " (Debian: apt install redis-tools)" : "");
	mem_free(args);
	return EXIT_FAILED;
}

/* What is wrong with an address that the user gave, redis-cli tells well; of the embedded Redis it knows
 * nothing. */
static bool can_reach(const struct redis_access *a)
{
	struct redisContext *c;

	if (!a->is_embedded)
		return true;
	c = redis_access_connect("redis-cli", a);
	if (c == NULL)
		return false;
	redisFree(c);
	return true;
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
	code = can_reach(&access) ? become_redis_cli(&access, argc - at, argv + at) : EXIT_FAILED;
	redis_access_close(&access);
	return code;
}
