#include "config_args.h"

#include <stdio.h>
#include <unistd.h>

enum { PROBLEMS_TEXT_MAX = 1 << 18 };

enum config_arg {
	ARG_CONFIG,
	ARG_DEV,
	ARG_LISTEN,
	ARG_WORKERS,
	ARG_REDIS,
	ARG_RUNTIME_DIR,
	ARG_LOG_FORMAT,
	ARG_LOG_LEVEL,
};

/* Those that are options of the option table. */
static const struct config_flag option_of_arg[CONFIG_ARGS_COUNT] = {
	[ARG_LISTEN] = {.option = "listen", .flag = "--listen"},
	[ARG_WORKERS] = {.option = "workers", .flag = "--workers"},
	[ARG_REDIS] = {.option = "redis.address", .flag = "--redis"},
	[ARG_RUNTIME_DIR] = {.option = "runtime_dir", .flag = "--runtime-dir"},
	[ARG_LOG_FORMAT] = {.option = "log.format", .flag = "--log-format"},
	[ARG_LOG_LEVEL] = {.option = "log.level", .flag = "--log-level"},
};

static void add_flag(struct config_args *a, struct config_flag flag, const char *value)
{
	if (a->flag_count == CONFIG_ARGS_FLAGS_MAX) {
		a->too_many = true;
		return;
	}
	flag.value = value;
	a->flags[a->flag_count++] = flag;
}

bool config_args_take(struct config_args *a, int option, const char *value)
{
	if (option < 0 || option >= CONFIG_ARGS_COUNT)
		return false;
	switch (option) {
	case ARG_CONFIG: a->file = value; break;
	case ARG_DEV: a->dev = true; break;
	default: add_flag(a, option_of_arg[option], value); break;
	}
	return true;
}

struct config *config_args_load(const struct config_args *a)
{
	struct config_sources sources = {
		.file = a->file,
		.environment = environ,
		.flags = a->flags,
		.flag_count = a->flag_count,
		.dev = a->dev,
	};
	struct config *config;
	struct buf errors;

	if (a->too_many) {
		fprintf(stderr, "fanfare: more than %d options\n", CONFIG_ARGS_FLAGS_MAX);
		return NULL;
	}
	buf_init(&errors, PROBLEMS_TEXT_MAX);
	config = config_load(&sources, &errors);
	if (config == NULL)
		fprintf(stderr, "%.*s", BYTES_FMT(buf_bytes(&errors)));
	buf_free(&errors);
	return config;
}
