#include "dev_mode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "address.h"
#include "log.h"
#include "mem.h"
#include "options.h"
#include "redis_url.h"

enum { OPEN_TEXT_MAX = 4096 };

static bool is_loopback(const char *text)
{
	struct address_manner manner;
	const char *listen = address_manner(text, &manner);

	return strncmp(listen, "127.", 4) == 0 || strncmp(listen, "localhost:", 10) == 0 ||
	       strncmp(listen, "[::1]", 5) == 0 || strncmp(listen, "unix:", 5) == 0;
}

/* Adds an option if it is not as it would be without dev mode. */
static void add_if_open(struct buf *out, const struct option *o, const char *prefix, const void *now,
                        const void *safe)
{
	struct buf value, safe_value;

	buf_init(&value, OPEN_TEXT_MAX);
	buf_init(&safe_value, OPEN_TEXT_MAX);
	option_print(o, now, true, &value);
	option_print(o, safe, true, &safe_value);
	if (!bytes_eq(buf_bytes(&value), buf_bytes(&safe_value)))
		buf_putf(out, "%s%s%s %.*s", out->len > 0 ? ", " : "", prefix, o->name,
		         BYTES_FMT(buf_bytes(&value)));
	buf_free(&value);
	buf_free(&safe_value);
}

/* Where to listen has another default in dev mode, but a closed one; and that Ctrl-C is quick opens nothing.
 */
static bool is_of_comfort(const struct option *o)
{
	return strcmp(o->name, "listen") == 0 || strcmp(o->name, "shutdown.timeout") == 0;
}

static void add_open(struct buf *out, const struct option_table *table, const char *prefix, const void *now,
                     const void *safe)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *o = &table->rows[i];

		if (o->dev != NULL && !is_of_comfort(o))
			add_if_open(out, o, prefix, now, safe);
	}
}

static void warn_of_options(const struct config *config)
{
	struct config *safe = mem_alloc(sizeof(*safe));
	struct buf open;

	buf_init(&open, OPEN_TEXT_MAX);
	options_set_defaults(&options_of_broker, safe, false);
	add_open(&open, &options_of_broker, "", config, safe);
	add_open(&open, &options_of_channel, "channel.without_namespace.", &config->channel.without_namespace,
	         &safe->channel.without_namespace);
	log_warning("DEV MODE, not for production. Open: the demo pages, %.*s", BYTES_FMT(buf_bytes(&open)));
	buf_free(&open);
	config_free(&safe);
}

void dev_mode_warn(const struct config *config)
{
	warn_of_options(config);
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

/* The first address that a browser on this machine can open as http://; false when there is none. */
static bool page_of(const struct config *config, char page[ADDRESS_TEXT_MAX])
{
	for (size_t i = 0; i < config->listen.count; i++) {
		struct address_manner manner;
		const char *listen = address_manner(config->listen.items[i], &manner);
		const char *port = strrchr(listen, ':');

		if (strncmp(listen, "unix:", 5) == 0 || manner.tls || port == NULL)
			continue;
		if (listen == port || strncmp(listen, "0.0.0.0:", 8) == 0 || strncmp(listen, "[::]:", 5) == 0)
			snprintf(page, ADDRESS_TEXT_MAX, "127.0.0.1%s", port);
		else
			snprintf(page, ADDRESS_TEXT_MAX, "%s", listen);
		return true;
	}
	return false;
}

void dev_mode_say_how_to_try(const struct config *config, const struct config_args *args)
{
	char page[ADDRESS_TEXT_MAX];

	fputs("\n  Fanfare runs in dev mode: everybody may connect, subscribe and publish.\n\n", stderr);
	if (page_of(config, page))
		fprintf(stderr, "  Open     http://%s/\n", page);
	fputs("  Publish  ", stderr);
	print_quoted(program_invocation_name);
	fputs(" publish", stderr);
	print_redis_args(args);
	fputs(" news '{\"price\": 42}'\n\n", stderr);
}
