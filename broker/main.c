/* The entry: finds the command and runs it. Knows nothing of what commands do. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "compiler.h"
#include "suggest.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
	const char *summary;
	bool passes_on; /* arguments are somebody else's: only a --help that comes first is ours */
};

static const struct command commands[] = {
	{"serve", cli_serve, cli_serve_help, "run the broker", false},
	{"check", cli_check, cli_check_help, "tell whether a configuration is right", false},
	{"config", cli_config, cli_config_help, "print the effective configuration, or an example", false},
	{"publish", cli_publish, cli_publish_help, "publish into a channel", false},
	{"subscribe", cli_subscribe, cli_subscribe_help, "print what is published in channels", false},
	{"redis-cli", cli_redis_cli, cli_redis_cli_help, "open redis-cli on the broker's Redis", true},
	{"version", cli_version, cli_version_help, "print the version", false},
};

static void print_help(FILE *to)
{
	fputs("usage: fanfare COMMAND [OPTION...]\n"
	      "\n"
	      "A push broker: what is published in Redis reaches the browsers, phones and\n"
	      "dashboards that hold a WebSocket to it.\n"
	      "\n"
	      "Commands:\n",
	      to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-10s  %s\n", commands[i].name, commands[i].summary);
	fputs("\n"
	      "`fanfare COMMAND --help` tells more about each.\n"
	      "\n"
	      "Exit codes: 0 done, 1 failed, 2 wrong usage.\n"
	      "\n"
	      "Try it:\n"
	      "  fanfare serve --dev\n"
	      "  fanfare publish news '{\"price\": 42}'\n",
	      to);
}

static bool is_help(const char *arg)
{
	return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

static bool asks_for_help(const struct command *command, int argc, char **argv)
{
	int last = command->passes_on && argc > 2 ? 2 : argc;

	for (int i = 1; i < last; i++) {
		if (strcmp(argv[i], "--") == 0)
			return false;
		if (is_help(argv[i]))
			return true;
	}
	return false;
}

/* Output that did not reach its reader is a failure: `fanfare config > /dev/full`. */
static int with_output_written(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "fanfare: cannot write to standard output: %s\n", strerror(errno));
	return code == EXIT_OK ? EXIT_FAILED : code;
}

static int run(const struct command *command, int argc, char **argv)
{
	if (asks_for_help(command, argc, argv)) {
		fputs(command->help, stdout);
		return with_output_written(EXIT_OK);
	}
	return with_output_written(command->run(argc, argv));
}

static int unknown(const char *name)
{
	struct suggest s = suggest_for(BYTES_OF_STR(name));

	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		suggest_try(&s, BYTES_OF_STR(commands[i].name));
	if (s.best.len > 0)
		fprintf(stderr, "fanfare: unknown command %s, did you mean %.*s? (see fanfare --help)\n",
		        name, BYTES_FMT(s.best));
	else
		fprintf(stderr, "fanfare: unknown command %s (see fanfare --help)\n", name);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (is_help(argv[1]) || strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return with_output_written(EXIT_OK);
	}
	if (strcmp(argv[1], "--version") == 0)
		return with_output_written(cli_version(1, argv + 1));
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return run(&commands[i], argc - 1, argv + 1);
	}
	return unknown(argv[1]);
}
