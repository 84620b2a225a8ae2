/* The values of options: parsing, checking, defaults, freeing. Knows no single option: which there
 * are stands in options.c and options_channel.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "mem.h"
#include "options.h"
#include "units.h"
#include "utf8_code.h"

const struct option *option_find(const struct option_table *table, struct bytes name)
{
	for (size_t i = 0; i < table->count; i++) {
		if (bytes_eq(name, BYTES_OF_STR(table->rows[i].name)))
			return &table->rows[i];
	}
	return NULL;
}

void *option_at(const struct option *o, void *base)
{
	return (char *)base + o->offset;
}

static bool is_clean(struct bytes text)
{
	while (text.len > 0) {
		uint32_t code = 0;
		size_t len = utf8_code(text, &code);

		if (len == 0 || code < 0x20 || code == 0x7f)
			return false;
		text = bytes_skip(text, len);
	}
	return true;
}

/* Always false, so that a caller can return it. */
static bool refuse(const struct option *o, struct bytes text, const char *reason, struct buf *why)
{
	enum { SHOWN_MAX = 60 };

	if (reason != NULL) {
		buf_puts(why, reason);
	} else {
		buf_puts(why, "must be ");
		option_print_allowed(o, why);
	}
	if (o->secret || !is_clean(text))
		return false;
	if (text.len > SHOWN_MAX)
		buf_putf(why, ", not %zu bytes of text", text.len);
	else
		buf_putf(why, ", not \"%.*s\"", BYTES_FMT(text));
	return false;
}

static bool set_bool(const struct option *o, bool *value, struct bytes text, struct buf *why)
{
	if (bytes_eq(text, BYTES("true")))
		*value = true;
	else if (bytes_eq(text, BYTES("false")))
		*value = false;
	else
		return refuse(o, text, NULL, why);
	return true;
}

static bool parse_number(const struct option *o, struct bytes text, uint64_t *n)
{
	if (o->zero_word != NULL && bytes_eq(text, BYTES_OF_STR(o->zero_word))) {
		*n = 0;
		return true;
	}
	switch (o->type) {
	case OPTION_DURATION:
		if (!units_parse_duration(text, n))
			return false;
		break;
	case OPTION_SIZE:
		if (!units_parse_size(text, n))
			return false;
		break;
	default:
		if (!units_parse_number(text, n))
			return false;
		break;
	}
	return (*n >= o->min && *n <= o->max) || (*n == 0 && o->or_zero);
}

static bool set_number(const struct option *o, void *value, struct bytes text, struct buf *why)
{
	uint64_t n;

	if (!parse_number(o, text, &n))
		return refuse(o, text, NULL, why);
	if (o->type == OPTION_INT)
		*(int *)value = (int)n;
	else
		*(uint64_t *)value = n;
	return true;
}

static bool is_word(const char *writings, struct bytes text)
{
	for (;;) {
		struct bytes one = {writings, strcspn(writings, "|")};

		if (bytes_eq(one, text))
			return true;
		if (writings[one.len] == '\0')
			return false;
		writings += one.len + 1;
	}
}

static bool set_word(const struct option *o, int *value, struct bytes text, struct buf *why)
{
	for (int i = 0; o->words[i] != NULL; i++) {
		if (is_word(o->words[i], text)) {
			*value = i;
			return true;
		}
	}
	return refuse(o, text, NULL, why);
}

/* A copy that passed all checks; NULL with the reason. */
static char *checked_copy(const struct option *o, struct bytes text, struct buf *why)
{
	const char *reason;
	char *copy;

	if (!is_clean(text)) {
		refuse(o, text, "must be UTF-8 without control characters", why);
		return NULL;
	}
	copy = mem_strndup(text.ptr, text.len);
	if (o->check == NULL || o->check(copy, &reason))
		return copy;
	refuse(o, text, reason, why);
	mem_free(copy);
	return NULL;
}

static bool set_string(const struct option *o, char **value, struct bytes text, struct buf *why)
{
	char *copy;

	if (text.len > o->max)
		return refuse(o, text, NULL, why);
	copy = checked_copy(o, text, why);
	if (copy == NULL)
		return false;
	mem_free(*value);
	*value = copy;
	return true;
}

bool option_add(const struct option *o, void *base, struct bytes item, struct buf *why)
{
	struct strings *list = option_at(o, base);
	char *copy;

	if (list->count >= o->max)
		return refuse(o, item, NULL, why);
	copy = checked_copy(o, item, why);
	if (copy == NULL)
		return false;
	list->items = mem_realloc(list->items, (list->count + 1) * sizeof(*list->items));
	list->items[list->count++] = copy;
	return true;
}

static bool is_between_items(char c)
{
	return c == ' ' || c == ',';
}

bool option_next_item(struct bytes *text, struct bytes *item)
{
	size_t begin = 0, end;

	while (begin < text->len && is_between_items(text->ptr[begin]))
		begin++;
	end = begin;
	while (end < text->len && !is_between_items(text->ptr[end]))
		end++;
	*item = (struct bytes){text->ptr + begin, end - begin};
	*text = bytes_skip(*text, end);
	return item->len > 0;
}

static bool set_strings(const struct option *o, void *base, struct bytes text, struct buf *why)
{
	struct bytes rest = text, item;

	option_clear(o, base);
	while (option_next_item(&rest, &item)) {
		if (!option_add(o, base, item, why))
			return false;
	}
	if (((struct strings *)option_at(o, base))->count < o->min)
		return refuse(o, text, NULL, why);
	return true;
}

bool option_set(const struct option *o, void *base, struct bytes text, struct buf *why)
{
	void *value = option_at(o, base);

	switch (o->type) {
	case OPTION_BOOL: return set_bool(o, value, text, why);
	case OPTION_INT:
	case OPTION_DURATION:
	case OPTION_SIZE: return set_number(o, value, text, why);
	case OPTION_WORD: return set_word(o, value, text, why);
	case OPTION_STRING: return set_string(o, value, text, why);
	case OPTION_STRINGS: return set_strings(o, base, text, why);
	case OPTION_CHANNEL:
	case OPTION_NAMESPACES: break;
	}
	return refuse(o, text, NULL, why);
}

static void clear_strings(struct strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		mem_free(list->items[i]);
	mem_free(list->items);
	*list = (struct strings){0};
}

static void clear_string(char **value)
{
	mem_free(*value);
	*value = NULL;
}

static void clear_namespaces(void *value)
{
	struct channel_options **namespaces = value;
	size_t *count = (size_t *)(namespaces + 1);

	for (size_t i = 0; i < *count; i++)
		options_clear(&options_of_namespace, *namespaces + i);
	mem_free(*namespaces);
	*namespaces = NULL;
	*count = 0;
}

void option_clear(const struct option *o, void *base)
{
	void *value = option_at(o, base);

	switch (o->type) {
	case OPTION_BOOL: *(bool *)value = false; return;
	case OPTION_INT:
	case OPTION_WORD: *(int *)value = 0; return;
	case OPTION_DURATION:
	case OPTION_SIZE: *(uint64_t *)value = 0; return;
	case OPTION_STRING: clear_string(value); return;
	case OPTION_STRINGS: clear_strings(value); return;
	case OPTION_CHANNEL: options_clear(&options_of_channel, value); return;
	case OPTION_NAMESPACES: clear_namespaces(value); return;
	}
}

void options_clear(const struct option_table *table, void *base)
{
	for (size_t i = 0; i < table->count; i++)
		option_clear(&table->rows[i], base);
}

static void set_default(const struct option *o, void *base, bool dev)
{
	const char *text = dev && o->dev != NULL ? o->dev : o->fallback;
	struct buf why;

	option_clear(o, base);
	if (o->type == OPTION_CHANNEL)
		options_set_defaults(&options_of_channel, option_at(o, base), dev);
	if (text == NULL)
		return;
	buf_init(&why, 1024);
	if (!option_set(o, base, BYTES_OF_STR(text), &why)) {
		/* The table is wrong; every run of every test would stop here. */
		fprintf(stderr, "fanfare: default of %s: %.*s\n", o->name, BYTES_FMT(buf_bytes(&why)));
		abort();
	}
}

void options_set_defaults(const struct option_table *table, void *base, bool dev)
{
	for (size_t i = 0; i < table->count; i++)
		set_default(&table->rows[i], base, dev);
}
