/* The arguments that say which configuration is meant. serve, check and config take all of them, and so can
 * every command that has to find the broker's Redis:
 *
 *     static const struct args_option options[] = {CONFIG_ARGS, {"--url", true}};
 *     ...
 *     int option = args_next(&args, options, ARRAY_LEN(options), &value);
 *     if (config_args_take(&config_args, option, value))
 *             continue; */
#pragma once

#include <stdbool.h>

#include "args.h"
#include "compiler.h"
#include "config.h"

enum { CONFIG_ARGS_COUNT = 8, CONFIG_ARGS_FLAGS_MAX = 128 };

/* The first rows of the command's table, in the order of the enum in config_args.c. */
#define CONFIG_ARGS                                                                                       \
	{"--config", true}, {"--dev", false}, {"--listen", true}, {"--workers", true}, {"--redis", true}, \
		{"--runtime-dir", true}, {"--log-format", true},                                          \
	{                                                                                                 \
		"--log-level", true                                                                       \
	}

/* For the help of a command that takes all of them. */
#define CONFIG_ARGS_HELP                                                                    \
	"  --config FILE        the configuration file (else that of FANFARE_CONFIG)\n"     \
	"  --dev                dev mode: everybody may do everything, for trying out\n"    \
	"  --listen ADDRESS     IPV4:PORT, [IPV6]:PORT, localhost:PORT, :PORT or\n"         \
	"                       unix:/PATH; repeatable\n"                                   \
	"  --workers N          worker processes; auto: one for each usable CPU\n"          \
	"  --redis URL          redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with\n"  \
	"                       rediss:// for TLS, or unix:/PATH; without one the broker\n" \
	"                       runs a Redis of its own\n"                                  \
	"  --runtime-dir DIR    holds the pid file and the embedded Redis\n"                \
	"  --log-format FORMAT  text or json\n"                                             \
	"  --log-level LEVEL    debug, info, warning or error\n"

struct config_args {
	const char *file;
	bool dev;
	struct config_flag flags[CONFIG_ARGS_FLAGS_MAX];
	size_t flag_count;
	bool too_many;
};

/* All of it borrows from the arguments of the program, which can be written to. True if the option was one of
 * CONFIG_ARGS. */
bool config_args_take(struct config_args *a, int option, const char *value);
/* The configuration from file, environment and arguments, in which passwords are masked from then on. NULL
 * with the problems told on standard error, and the exit code of the command in *code: EXIT_USAGE if an
 * argument is wrong by itself, else EXIT_FAILED. Free with config_free(). */
struct config *config_args_load(const struct config_args *a, const char *command, int *code) MUST_CHECK;
