#include "config_loader.h"

#include <stdarg.h>
#include <stdio.h>

/* "source:line: " */
static void print_place(struct buf *out, struct place at)
{
	buf_put_bytes(out, at.source);
	if (at.line > 0)
		buf_putf(out, ":%u", at.line);
	buf_puts(out, ": ");
}

static bool may_tell(struct loader *l)
{
	if (++l->problems == LOADER_PROBLEMS_MAX + 1)
		buf_puts(l->errors, "and more problems, which are not shown\n");
	return l->problems <= LOADER_PROBLEMS_MAX;
}

void loader_problem(struct loader *l, struct place at, const char *key, const char *fmt, ...)
{
	char text[LOADER_WHY_MAX];
	va_list ap;

	if (!may_tell(l))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_place(l->errors, at);
	if (key != NULL && !at.is_flag)
		buf_putf(l->errors, "%s: ", key);
	buf_putf(l->errors, "%s\n", text);
}

void loader_problem_of(struct loader *l, struct place at, const struct scope *scope, const struct option *o,
                       const char *fmt, ...)
{
	char key[LOADER_NAME_SIZE], text[LOADER_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(key, sizeof(key), "%s%s", scope->prefix, o->name);
	loader_problem(l, at, key, "%s", text);
}

void loader_remember(const struct scope *scope, const struct option *o, struct place at)
{
	scope->places[o - scope->table->rows] = at;
}

struct place loader_place_in(const struct scope *scope, const char *name)
{
	return scope->places[option_find(scope->table, BYTES_OF_STR(name)) - scope->table->rows];
}

struct place loader_place(const struct loader *l, const char *name)
{
	return l->places[option_find(&options_of_broker, BYTES_OF_STR(name)) - options_of_broker.rows];
}

void loader_set(struct loader *l, const struct scope *scope, const struct option *o, struct bytes text,
                struct place at)
{
	struct buf why;

	buf_init(&why, LOADER_WHY_MAX);
	if (!option_set(o, scope->base, text, &why))
		loader_problem_of(l, at, scope, o, "%.*s", BYTES_FMT(buf_bytes(&why)));
	buf_free(&why);
}

/* Several items may stand in one line. */
void loader_add(struct loader *l, const struct scope *scope, const struct option *o, size_t i,
                struct bytes item, struct place at)
{
	struct buf why;

	buf_init(&why, LOADER_WHY_MAX);
	if (!option_add(o, scope->base, item, &why))
		loader_problem_of(l, at, scope, o, "item %zu: %.*s", i + 1, BYTES_FMT(buf_bytes(&why)));
	buf_free(&why);
}
