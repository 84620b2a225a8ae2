/* `fanfare check`: whether a configuration is right, without starting anything. */
#include <stdio.h>

#include "args.h"
#include "cli.h"
#include "config_args.h"
#include "worker.h"

const char cli_check_help[] =
	"usage: fanfare check [OPTION...]\n"
	"\n"
	"Reads the configuration as `fanfare serve` with the same options would, from\n"
	"the file, the environment (FANFARE_...) and the command line. Prints \"ok\" or,\n"
	"to standard error, every problem with its place, and starts nothing.\n"
	"\n"
	"Options:\n" CONFIG_ARGS_HELP "\n"
	"Exit codes: 0 the configuration is right, 1 it is not, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  fanfare check --config /etc/fanfare/fanfare.yaml\n"
	"  FANFARE_CLIENT_PING_INTERVAL=10s fanfare check\n";

static const struct args_option options[] = {CONFIG_ARGS};

static void tell_of_certificate(bool is_warning, const char *line)
{
	if (is_warning)
		fprintf(stderr, "warning: %s\n", line);
}

/* What no value shows, but the files that it names. */
static bool check_files(const struct config *config)
{
	enum { TEXT_MAX = 65536 };
	struct tls_server *tls;
	struct redis_tls *redis_tls;
	struct buf errors;
	bool ok;

	buf_init(&errors, TEXT_MAX);
	ok = worker_load_tls(config, &tls, &errors);
	ok = worker_load_redis_tls(config, &redis_tls, &errors) && ok;
	if (!ok)
		fprintf(stderr, "%.*s", BYTES_FMT(buf_bytes(&errors)));
	worker_describe_tls(tls, tell_of_certificate);
	worker_free_tls(&tls);
	worker_free_redis_tls(&redis_tls);
	buf_free(&errors);
	return ok;
}

int cli_check(int argc, char **argv)
{
	struct config_args config_args = {0};
	struct config *config;
	struct args args;
	const char *value;
	int option, code;
	bool ok;

	args_init(&args, argc, argv);
	while ((option = args_next(&args, options, ARRAY_LEN(options), &value)) != ARGS_END) {
		if (option == ARGS_WRONG)
			return EXIT_USAGE;
		if (!config_args_take(&config_args, option, value))
			return args_wrong(&args, "takes no operand, not %s", value);
	}
	config = config_args_load(&config_args, "check", &code);
	if (config == NULL)
		return code;
	ok = check_files(config);
	config_free(&config);
	if (ok)
		puts("ok");
	return ok ? EXIT_OK : EXIT_FAILED;
}
