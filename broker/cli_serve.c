/* `fanfare serve`: reads the configuration and becomes the master. Says, in dev mode, what is open and how to
 * try it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "args.h"
#include "cli.h"
#include "config_args.h"
#include "log.h"
#include "master.h"
#include "mem.h"
#include "redis_url.h"

const char cli_serve_help[] =
	"usage: fanfare serve [OPTION...]\n"
	"\n"
	"Runs the broker in the foreground. Options win over environment variables\n"
	"(FANFARE_...), and those over the configuration file. Without --dev a client\n"
	"may do only what the configuration allows: an empty one serves nobody.\n"
	"\n"
	"Options:\n" CONFIG_ARGS_HELP "\n"
	"Signals: TERM and INT drain and stop, a second one stops at once, as QUIT does.\n"
	"\n"
	"Exit codes: 0 after an orderly stop, 1 it could not start, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  fanfare serve --dev\n"
	"  fanfare serve --config /etc/fanfare/fanfare.yaml\n"
	"  fanfare serve --listen 127.0.0.1:8080 --listen unix:/run/fanfare/http.sock \\\n"
	"                --redis redis://10.0.0.5:6379/0 --workers 4 --log-format json\n";

static const struct args_option options[] = {CONFIG_ARGS};

/* What on_ready needs to know; the master passes on nothing but the configuration. */
static const struct config_args *started_with;

static bool is_loopback(const char *listen)
{
	return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "[::1]", 5) == 0 ||
	       strncmp(listen, "unix:", 5) == 0;
}

static void warn_of_dev_mode(const struct config *config)
{
	log_warning("DEV MODE, not for production: unless configured otherwise, anybody who reaches this "
	            "broker may connect, subscribe to every channel and publish into it, from any web page");
	for (size_t i = 0; i < config->listen.count; i++) {
		if (!is_loopback(config->listen.items[i]))
			log_warning("DEV MODE: %s can be reached from other machines",
			            config->listen.items[i]);
	}
}

/* An argument as it is typed into a shell. */
static void print_quoted(const char *text)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+,=";

	if (text[0] != '\0' && text[strspn(text, plain)] == '\0') {
		fputs(text, stderr);
		return;
	}
	fputc('\'', stderr);
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputs("'\\''", stderr);
		else
			fputc(*text, stderr);
	}
	fputc('\'', stderr);
}

/* The arguments with which another command finds the same Redis. */
static void print_redis_args(const struct config_args *a)
{
	char *masked;

	if (a->file != NULL) {
		fputs(" --config ", stderr);
		print_quoted(a->file);
	}
	for (size_t i = 0; i < a->flag_count; i++) {
		const struct config_flag *flag = &a->flags[i];

		if (strcmp(flag->option, "redis.address") != 0 && strcmp(flag->option, "runtime_dir") != 0)
			continue;
		masked = redis_url_mask(flag->value);
		fprintf(stderr, " %s ", flag->flag);
		print_quoted(masked);
		mem_free(masked);
	}
}

/* The first address that a browser on this machine can open; false when there are only unix sockets. */
static bool page_of(const struct config *config, char page[ADDRESS_TEXT_MAX])
{
	for (size_t i = 0; i < config->listen.count; i++) {
		const char *listen = config->listen.items[i];
		const char *port = strrchr(listen, ':');

		if (strncmp(listen, "unix:", 5) == 0 || port == NULL)
			continue;
		if (listen == port || strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0)
			snprintf(page, ADDRESS_TEXT_MAX, "127.0.0.1%s", port);
		else
			snprintf(page, ADDRESS_TEXT_MAX, "%s", listen);
		return true;
	}
	return false;
}

/* For people who try it out: on_ready of a broker in dev mode. */
static void say_how_to_try_it(const struct config *config)
{
	char page[ADDRESS_TEXT_MAX];

	fputs("\n  Fanfare runs in dev mode: everybody may connect, subscribe and publish.\n\n", stderr);
	if (page_of(config, page))
		fprintf(stderr, "  Open     http://%s/\n", page);
	fprintf(stderr, "  Publish  %s publish", program_invocation_name);
	print_redis_args(started_with);
	fputs(" news '{\"price\": 42}'\n\n", stderr);
}

static int serve(const struct config_args *config_args)
{
	struct config *config = config_args_load(config_args);
	bool for_people;
	int code;

	if (config == NULL)
		return EXIT_FAILED;
	log_setup((enum log_level)config->log.level, (enum log_format)config->log.format);
	started_with = config_args;
	if (config->dev)
		warn_of_dev_mode(config);
	/* A program that reads JSON lines from standard error wants nothing else there. */
	for_people = config->dev && config->log.format == LOG_TEXT;
	code = master_run(config, for_people ? say_how_to_try_it : NULL);
	config_free(&config);
	return code;
}

int cli_serve(int argc, char **argv)
{
	struct config_args config_args = {0};
	struct args args;
	const char *value;
	int option;

	args_init(&args, argc, argv);
	while ((option = args_next(&args, options, ARRAY_LEN(options), &value)) != ARGS_END) {
		if (option == ARGS_WRONG)
			return EXIT_USAGE;
		if (!config_args_take(&config_args, option, value))
			return args_wrong(&args, "takes no operand, not %s", value);
	}
	return serve(&config_args);
}
