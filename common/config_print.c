/* config_print() and config_print_example(): the option table written as YAML. */
#include <string.h>

#include "config.h"
#include "mem.h"
#include "options.h"

enum { LINE_WIDTH = 110 };

static void put_indent(struct buf *out, size_t depth)
{
	for (size_t i = 0; i < depth; i++)
		buf_puts(out, "  ");
}

/* Opens the sections of `name` in which `before`, the option printed before it, was not. The depth at which
 * the option itself stands is returned. */
static size_t open_sections(const char *before, const char *name, bool apart, struct buf *out)
{
	bool same = before != NULL;
	size_t depth = 0;

	for (const char *at = name, *dot; (dot = strchr(at, '.')) != NULL; at = dot + 1, depth++) {
		same = same && strncmp(before, name, (size_t)(dot - name) + 1) == 0;
		if (same)
			continue;
		if (apart)
			buf_putc(out, '\n');
		put_indent(out, depth);
		buf_putf(out, "%.*s:\n", (int)(dot - at), at);
	}
	return depth;
}

static const char *last_part(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? dot + 1 : name;
}

static void print_channel(const struct option_table *table, const void *base, size_t depth, bool as_item,
                          struct buf *out)
{
	for (size_t i = 0; i < table->count; i++) {
		put_indent(out, as_item && i == 0 ? depth - 1 : depth);
		buf_putf(out, "%s%s: ", as_item && i == 0 ? "- " : "", table->rows[i].name);
		option_print(&table->rows[i], base, false, out);
		buf_putc(out, '\n');
	}
}

static void print_namespaces(const struct config *c, size_t depth, struct buf *out)
{
	buf_puts(out, c->channel.namespace_count == 0 ? " []\n" : "\n");
	for (size_t i = 0; i < c->channel.namespace_count; i++)
		print_channel(&options_of_namespace, &c->channel.namespaces[i], depth + 2, true, out);
}

static void print_row(const struct option *o, const struct config *c, size_t depth, bool mask_secrets,
                      struct buf *out)
{
	put_indent(out, depth);
	buf_putf(out, "%s:", last_part(o->name));
	switch (o->type) {
	case OPTION_CHANNEL:
		buf_putc(out, '\n');
		print_channel(&options_of_channel, &c->channel.without_namespace, depth + 1, false, out);
		return;
	case OPTION_NAMESPACES: print_namespaces(c, depth, out); return;
	default: break;
	}
	buf_putc(out, ' ');
	option_print(o, c, mask_secrets, out);
	buf_putc(out, '\n');
}

void config_print(const struct config *c, bool mask_secrets, struct buf *out)
{
	const char *before = NULL;

	for (size_t i = 0; i < options_of_broker.count; i++) {
		const struct option *o = &options_of_broker.rows[i];

		print_row(o, c, open_sections(before, o->name, false, out), mask_secrets, out);
		before = o->name;
	}
}

/* --- the example --- */

/* Breaks a text into lines of comment. */
static void print_comment(struct bytes text, size_t depth, struct buf *out)
{
	size_t room = LINE_WIDTH - 2 * depth - 2;

	while (text.len > 0) {
		size_t len = text.len;

		if (len > room) {
			const char *space = memrchr(text.ptr, ' ', room + 1);

			len = space != NULL ? (size_t)(space - text.ptr) : room;
		}
		put_indent(out, depth);
		buf_putf(out, "# %.*s\n", (int)len, text.ptr);
		text = bytes_skip(text, len);
		while (text.len > 0 && *text.ptr == ' ')
			text = bytes_skip(text, 1);
	}
}

static void put_in_brackets(struct buf *out, const char *before, struct bytes text)
{
	if (text.len > 0)
		buf_putf(out, " (%s%.*s)", before, BYTES_FMT(text));
}

/* The documentation, then in brackets what is allowed and what dev mode has. */
static void print_doc(const struct option *o, const void *dev_base, size_t depth, struct buf *out)
{
	struct buf text, detail;

	buf_init(&text, 4096);
	buf_init(&detail, 4096);
	buf_puts(&text, o->doc);
	option_print_range(o, &detail);
	put_in_brackets(&text, "", buf_bytes(&detail));
	buf_reset(&detail);
	if (o->dev != NULL)
		option_print(o, dev_base, false, &detail);
	put_in_brackets(&text, "dev mode: ", buf_bytes(&detail));
	print_comment(buf_bytes(&text), depth, out);
	buf_free(&text);
	buf_free(&detail);
}

static void print_default(const struct option *o, const void *base, size_t depth, struct buf *out)
{
	put_indent(out, depth);
	buf_putf(out, "#%s: ", last_part(o->name));
	option_print(o, base, false, out);
	buf_putc(out, '\n');
}

struct defaults {
	struct config *safe;
	struct config *dev;
};

static void example_channel(const struct defaults *defaults, size_t depth, struct buf *out)
{
	for (size_t i = 0; i < options_of_channel.count; i++) {
		const struct option *o = &options_of_channel.rows[i];

		print_doc(o, &defaults->dev->channel.without_namespace, depth, out);
		print_default(o, &defaults->safe->channel.without_namespace, depth, out);
	}
}

static void example_row(const struct option *o, const struct defaults *defaults, size_t depth,
                        struct buf *out)
{
	print_doc(o, defaults->dev, depth, out);
	switch (o->type) {
	case OPTION_CHANNEL:
		put_indent(out, depth);
		buf_putf(out, "%s:\n", last_part(o->name));
		example_channel(defaults, depth + 1, out);
		return;
	case OPTION_NAMESPACES:
		put_indent(out, depth);
		buf_putf(out, "%s:\n", last_part(o->name));
		put_indent(out, depth + 1);
		buf_puts(out, "#- name: prices\n");
		put_indent(out, depth + 1);
		buf_puts(out, "#  allow_subscribe_for_client: true\n");
		return;
	default: print_default(o, defaults->safe, depth, out); return;
	}
}

static const char introduction[] =
	"# The configuration of Fanfare: every option, with its default. Printed by `fanfare config --example`.\n"
	"#\n"
	"# An option is set here, or by an environment variable (FANFARE_CLIENT_PING_INTERVAL=25s; the options\n"
	"# of channel.namespaces only all together, as YAML in FANFARE_CHANNEL_NAMESPACES), or by a flag of\n"
	"# `fanfare serve`; the later of these wins. An option that does not exist, or a value that cannot be, keeps\n"
	"# the broker from starting: `fanfare check` tells without starting it. Durations are written 500ms, 25s,\n"
	"# 10m, 1h; sizes 65536, 64KiB, 1MiB.\n";

void config_print_example(struct buf *out)
{
	struct defaults defaults = {mem_alloc(sizeof(struct config)), mem_alloc(sizeof(struct config))};
	const char *before = NULL;

	options_set_defaults(&options_of_broker, defaults.safe, false);
	options_set_defaults(&options_of_broker, defaults.dev, true);
	buf_puts(out, introduction);
	for (size_t i = 0; i < options_of_broker.count; i++) {
		const struct option *o = &options_of_broker.rows[i];
		size_t depth = open_sections(before, o->name, true, out);

		if (depth == 0)
			buf_putc(out, '\n');
		example_row(o, &defaults, depth, out);
		before = o->name;
	}
	config_free(&defaults.safe);
	config_free(&defaults.dev);
}
