/* `fanfare config`: the effective configuration, or an example file, on standard output. */
#include <stdio.h>

#include "args.h"
#include "cli.h"
#include "config_args.h"

const char cli_config_help[] =
	"usage: fanfare config [OPTION...]\n"
	"       fanfare config --example\n"
	"\n"
	"Prints the configuration that `fanfare serve` with the same options would run\n"
	"with, defaults included, as YAML; or an example that documents each option.\n"
	"\n"
	"Options:\n"
	"  --example            print the example file\n"
	"  --show-secrets       do not mask passwords\n" CONFIG_ARGS_HELP "\n"
	"Exit codes: 0 done, 1 the configuration is wrong, 2 wrong usage.\n"
	"\n"
	"Examples:\n"
	"  fanfare config --config /etc/fanfare/fanfare.yaml\n"
	"  fanfare config --dev\n"
	"  fanfare config --example > fanfare.yaml\n";

enum { ARG_EXAMPLE = CONFIG_ARGS_COUNT, ARG_SHOW_SECRETS };
enum { OUTPUT_MAX = 4 << 20 };

static const struct args_option options[] = {CONFIG_ARGS, {"--example", false}, {"--show-secrets", false}};

static int print_out(struct buf *out)
{
	bool whole = buf_ok(out);

	if (whole)
		fwrite(out->data, 1, out->len, stdout);
	else
		fprintf(stderr, "fanfare config: the configuration is too long to be printed\n");
	buf_free(out);
	return whole ? EXIT_OK : EXIT_FAILED;
}

static int print_example(void)
{
	struct buf out;

	buf_init(&out, OUTPUT_MAX);
	config_print_example(&out);
	return print_out(&out);
}

static int print_effective(const struct config_args *config_args, bool mask_secrets)
{
	int code;
	struct config *config = config_args_load(config_args, "config", &code);
	struct buf out;

	if (config == NULL)
		return code;
	buf_init(&out, OUTPUT_MAX);
	config_print(config, mask_secrets, &out);
	config_free(&config);
	return print_out(&out);
}

int cli_config(int argc, char **argv)
{
	struct config_args config_args = {0};
	bool example = false, mask_secrets = true;
	struct args args;
	const char *value;
	int option;

	args_init(&args, argc, argv);
	while ((option = args_next(&args, options, ARRAY_LEN(options), &value)) != ARGS_END) {
		if (config_args_take(&config_args, option, value))
			continue;
		switch (option) {
		case ARG_EXAMPLE: example = true; break;
		case ARG_SHOW_SECRETS: mask_secrets = false; break;
		case ARGS_OPERAND: return args_wrong(&args, "takes no operand, not %s", value);
		default: return EXIT_USAGE;
		}
	}
	return example ? print_example() : print_effective(&config_args, mask_secrets);
}
