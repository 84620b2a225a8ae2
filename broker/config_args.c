#include "config_args.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "mem.h"
#include "options.h"
#include "redis_url.h"

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

/* A line each. */
static void print_problems(struct bytes text, const char *command)
{
	while (text.len > 0) {
		const char *newline = memchr(text.ptr, '\n', text.len);
		size_t len = newline != NULL ? (size_t)(newline - text.ptr) : text.len;

		fprintf(stderr, "fanfare %s: %.*s\n", command, (int)len, text.ptr);
		len += newline != NULL;
		text = (struct bytes){text.ptr + len, text.len - len};
	}
}

/* Whether the arguments would do if there were nothing else: what is wrong then is wrong with them. */
static bool check_flags(const struct config_args *a, const char *command)
{
	struct config_sources flags = {.flags = a->flags, .flag_count = a->flag_count, .dev = a->dev};
	struct config *config;
	struct buf problems;
	bool good;

	if (a->too_many) {
		fprintf(stderr, "fanfare %s: more than %d options\n", command, CONFIG_ARGS_FLAGS_MAX);
		return false;
	}
	buf_init(&problems, PROBLEMS_TEXT_MAX);
	config = config_load(&flags, &problems);
	good = config != NULL;
	print_problems(buf_bytes(&problems), command);
	config_free(&config);
	buf_free(&problems);
	return good;
}

/* Everybody on the machine can read the arguments of a program (ps). A password too short for a mask in its
 * place takes the rest along. */
static void hide_secret(char *text)
{
	size_t len = strlen(text);
	char *masked = redis_url_mask(text);

	if (strlen(masked) <= len)
		memcpy(text, masked, strlen(masked) + 1);
	else
		memset(text, '*', len);
	memset(text + strlen(text), '\0', len - strlen(text));
	mem_free(masked);
}

static void hide_secrets(const struct config_args *a)
{
	for (size_t i = 0; i < a->flag_count; i++) {
		const struct config_flag *flag = &a->flags[i];

		if (option_find(&options_of_broker, BYTES_OF_STR(flag->option))->secret)
			hide_secret((char *)flag->value);
	}
}

struct config *config_args_load(const struct config_args *a, const char *command, int *code)
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

	*code = EXIT_USAGE;
	if (!check_flags(a, command))
		return NULL;
	buf_init(&errors, PROBLEMS_TEXT_MAX);
	config = config_load(&sources, &errors);
	hide_secrets(a);
	*code = config != NULL ? EXIT_OK : EXIT_FAILED;
	if (config == NULL)
		fprintf(stderr, "%.*s", BYTES_FMT(buf_bytes(&errors)));
	buf_free(&errors);
	return config;
}
