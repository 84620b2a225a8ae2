/* Reads the arguments of a command one after the other: `--option value`, `--option=value`, `--switch`,
 * operands anywhere between them, `--` before operands that begin with a dash. Knows what an option is
 * called, not what it means. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct args_option {
	const char *name; /* "--listen" */
	bool takes_value;
};

struct args {
	const char *command; /* for messages: "serve" */
	char **argv;
	int argc;
	int at;
	bool operands_only; /* "--" was seen */
};

enum {
	ARGS_END = -1,
	ARGS_OPERAND = -2,
	ARGS_WRONG = -3, /* told on standard error, in one line: return EXIT_USAGE */
};

/* argv[0] is the name of the command. */
void args_init(struct args *a, int argc, char **argv);
/* The index into `options`, with its value in *value (NULL for a switch), or one of the above; an operand is
 * in *value, too. "-" is an operand. */
int args_next(struct args *a, const struct args_option *options, size_t count, const char **value);
/* Tells on standard error what is wrong with the use of the command and returns EXIT_USAGE. */
int args_wrong(const struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
