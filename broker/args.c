#include "args.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "suggest.h"

void args_init(struct args *a, int argc, char **argv)
{
	*a = (struct args){.command = argv[0], .argv = argv, .argc = argc, .at = 1};
}

int args_wrong(const struct args *a, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "fanfare %s: ", a->command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (see fanfare %s --help)\n", a->command);
	return EXIT_USAGE;
}

static int unknown_option(const struct args *a, const char *text, size_t len,
                          const struct args_option *options, size_t count)
{
	struct suggest s = suggest_for((struct bytes){text, len});

	for (size_t i = 0; i < count; i++)
		suggest_try(&s, BYTES_OF_STR(options[i].name));
	if (s.best.len > 0)
		args_wrong(a, "unknown option %.*s, did you mean %.*s?", (int)len, text, BYTES_FMT(s.best));
	else
		args_wrong(a, "unknown option %.*s", (int)len, text);
	return ARGS_WRONG;
}

/* The value stands behind "=" or in the next argument. */
static int option_value(struct args *a, const struct args_option *option, const char *behind,
                        const char **value)
{
	*value = NULL;
	if (!option->takes_value) {
		if (*behind == '\0')
			return 0;
		args_wrong(a, "option %s takes no value", option->name);
		return ARGS_WRONG;
	}
	if (*behind == '=')
		*value = behind + 1;
	else if (a->at < a->argc)
		*value = a->argv[a->at++];
	if (*value != NULL)
		return 0;
	args_wrong(a, "option %s needs a value", option->name);
	return ARGS_WRONG;
}

int args_next(struct args *a, const struct args_option *options, size_t count, const char **value)
{
	const char *text;
	size_t len;

	if (a->at < a->argc && !a->operands_only && strcmp(a->argv[a->at], "--") == 0) {
		a->operands_only = true;
		a->at++;
	}
	if (a->at >= a->argc)
		return ARGS_END;
	text = a->argv[a->at++];
	if (a->operands_only || text[0] != '-' || text[1] == '\0') {
		*value = text;
		return ARGS_OPERAND;
	}
	len = strcspn(text, "=");
	for (size_t i = 0; i < count; i++) {
		if (strlen(options[i].name) != len || memcmp(options[i].name, text, len) != 0)
			continue;
		return option_value(a, &options[i], text + len, value) == 0 ? (int)i : ARGS_WRONG;
	}
	return unknown_option(a, text, len, options, count);
}
