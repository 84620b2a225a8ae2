/* The commands of the program: `fanfare NAME ...`. Each stands in its own file cli_NAME.c and is a row of the
 * table in main.c.
 *
 * A command gets its own name as argv[0] and returns the exit code of the process. It does not look for
 * --help: the dispatcher answers that with the command's text. Results go to standard output, problems to
 * standard error, one line each, beginning with "fanfare NAME: ". */
#pragma once

enum {
	EXIT_OK = 0,
	EXIT_FAILED = 1, /* it could not be done */
	EXIT_USAGE = 2,  /* it was asked for in a wrong way */
};

int cli_serve(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_config(int argc, char **argv);
int cli_publish(int argc, char **argv);
int cli_subscribe(int argc, char **argv);
int cli_redis_cli(int argc, char **argv);
int cli_version(int argc, char **argv);

/* What `fanfare NAME --help` prints: "usage: fanfare NAME ...", options, exit codes, examples. Lines end with
 * a newline and stay under 80 columns. */
extern const char cli_serve_help[];
extern const char cli_check_help[];
extern const char cli_config_help[];
extern const char cli_publish_help[];
extern const char cli_subscribe_help[];
extern const char cli_redis_cli_help[];
extern const char cli_version_help[];
