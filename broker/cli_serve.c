/* `fanfare serve`: reads the configuration and becomes the master. */
#include <signal.h>
#include <stddef.h>

#include "args.h"
#include "cli.h"
#include "config_args.h"
#include "dev_mode.h"
#include "log.h"
#include "master.h"

const char cli_serve_help[] =
	"usage: fanfare serve [OPTION...]\n"
	"\n"
	"Runs the broker in the foreground. Options win over environment variables\n"
	"(FANFARE_...), and those over the configuration file. Without --dev a client\n"
	"may do only what the configuration allows: an empty one serves nobody.\n"
	"\n"
	"Options:\n" CONFIG_ARGS_HELP "\n"
	"Signals: TERM and INT drain and stop, a second one stops at once, as QUIT does.\n"
	"HUP reads the files anew that were named under tls at the start, and drops\n"
	"nobody; if one cannot be used, all stay in use. Other options stay as they are.\n"
	"\n"
	"Exit codes: 0 after an orderly stop, 1 it could not start, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  fanfare serve --dev\n"
	"  fanfare serve --config /etc/fanfare/fanfare.yaml\n"
	"  fanfare serve --listen 127.0.0.1:8080 --listen unix:/run/fanfare/http.sock \\\n"
	"                --redis redis://10.0.0.5:6379/0 --workers 4 --log-format json\n";

static const struct args_option options[] = {CONFIG_ARGS};

struct serve {
	struct config_args config_args;
	struct config *config;
};

static void on_ready(void *arg)
{
	const struct serve *serve = arg;

	dev_mode_say_how_to_try(serve->config, &serve->config_args);
}

static int run(struct serve *serve)
{
	bool for_people;
	int code;

	serve->config = config_args_load(&serve->config_args, "serve", &code);
	if (serve->config == NULL)
		return code;
	log_setup((enum log_level)serve->config->log.level, (enum log_format)serve->config->log.format);
	if (serve->config->dev)
		dev_mode_warn(serve->config);
	/* A program that reads JSON lines from standard error wants nothing else there. */
	for_people = serve->config->dev && serve->config->log.format == LOG_TEXT;
	code = master_run(serve->config, for_people ? on_ready : NULL, serve);
	config_free(&serve->config);
	return code;
}

int cli_serve(int argc, char **argv)
{
	struct serve serve = {0};
	struct args args;
	const char *value;
	int option;

	/* From the first line that it writes on: who reads the log may leave while the broker starts. */
	signal(SIGPIPE, SIG_IGN);
	args_init(&args, argc, argv);
	while ((option = args_next(&args, options, ARRAY_LEN(options), &value)) != ARGS_END) {
		if (option == ARGS_WRONG)
			return EXIT_USAGE;
		if (!config_args_take(&serve.config_args, option, value))
			return args_wrong(&args, "takes no operand, not %s", value);
	}
	return run(&serve);
}
