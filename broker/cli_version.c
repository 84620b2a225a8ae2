/* `fanfare version`. */
#include <stdio.h>

#include "args.h"
#include "cli.h"

const char cli_version_help[] = "usage: fanfare version\n"
				"\n"
				"Prints the version of this program.\n"
				"\n"
				"Exit codes: 0 done, 1 failed, 2 wrong usage.\n"
				"\n"
				"Example:\n"
				"  fanfare version\n";

int cli_version(int argc, char **argv)
{
	struct args args;
	const char *value;

	args_init(&args, argc, argv);
	switch (args_next(&args, NULL, 0, &value)) {
	case ARGS_WRONG: return EXIT_USAGE;
	case ARGS_OPERAND: return args_wrong(&args, "too many arguments");
	default: break;
	}
	printf("fanfare %s\n", FANFARE_VERSION);
	return EXIT_OK;
}
