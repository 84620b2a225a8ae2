/* The values of options: parsing, checking, defaults, printing, freeing. Knows no single option: which there
 * are stands in options.c and options_channel.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "mem.h"
#include "options.h"
#include "redis_url.h"
#include "units.h"

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

static const void *value_at(const struct option *o, const void *base)
{
	return (const char *)base + o->offset;
}

/* Decodes one character of UTF-8 (RFC 3629); its length, 0 when it is none. */
static size_t utf8_decode(struct bytes text, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)text.ptr[0];
	size_t len = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;

	if (len == 0 || len > text.len)
		return 0;
	*code = len == 1 ? first : first & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)text.ptr[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | ((unsigned char)text.ptr[i] & 0x3f);
	}
	if (*code < smallest[len] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return len;
}

static bool is_clean(struct bytes text)
{
	while (text.len > 0) {
		uint32_t code = 0;
		size_t len = utf8_decode(text, &code);

		if (len == 0 || code < 0x20 || code == 0x7f)
			return false;
		text = bytes_skip(text, len);
	}
	return true;
}

static void print_number(const struct option *o, uint64_t n, struct buf *out)
{
	char text[UNITS_TEXT_MAX];

	switch (o->type) {
	case OPTION_DURATION: units_format_duration(n, text); break;
	case OPTION_SIZE: units_format_size(n, text); break;
	default: snprintf(text, sizeof(text), "%llu", (unsigned long long)n); break;
	}
	buf_puts(out, text);
}

static void print_range(const struct option *o, const char *what, struct buf *out)
{
	if (o->zero_word != NULL)
		buf_putf(out, "%s or ", o->zero_word);
	if (o->or_zero)
		buf_puts(out, "0 or ");
	buf_puts(out, what);
	print_number(o, o->min, out);
	buf_puts(out, " to ");
	print_number(o, o->max, out);
}

/* The writing that is shown: the part before '|'. */
static struct bytes word_shown(const char *word)
{
	return (struct bytes){word, strcspn(word, "|")};
}

static void print_words(const struct option *o, struct buf *out)
{
	for (size_t i = 0; o->words[i] != NULL; i++) {
		if (i > 0)
			buf_puts(out, o->words[i + 1] == NULL ? " or " : ", ");
		buf_put_bytes(out, word_shown(o->words[i]));
	}
}

void option_print_allowed(const struct option *o, struct buf *out)
{
	switch (o->type) {
	case OPTION_BOOL: buf_puts(out, "true or false"); return;
	case OPTION_INT: print_range(o, "a number from ", out); return;
	case OPTION_DURATION: print_range(o, "a duration (ms, s, m, h) from ", out); return;
	case OPTION_SIZE: print_range(o, "a size (bytes, or KB, MB, GB, KiB, MiB, GiB) from ", out); return;
	case OPTION_WORD: print_words(o, out); return;
	case OPTION_STRING: buf_putf(out, "a text of at most %llu bytes", (unsigned long long)o->max); return;
	case OPTION_STRINGS:
		buf_putf(out, "a list of %s%llu texts", o->min > 0 ? "1 to " : "at most ",
		         (unsigned long long)o->max);
		return;
	case OPTION_CHANNEL: buf_puts(out, "a map of options"); return;
	case OPTION_NAMESPACES:
		buf_putf(out, "a list of at most %llu maps of options", (unsigned long long)o->max);
		return;
	}
}

void option_print_range(const struct option *o, struct buf *out)
{
	switch (o->type) {
	case OPTION_INT:
	case OPTION_DURATION:
	case OPTION_SIZE: print_range(o, "", out); return;
	case OPTION_WORD: print_words(o, out); return;
	default: return;
	}
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

void option_print_text(const char *text, struct buf *out)
{
	struct bytes rest = BYTES_OF_STR(text);

	buf_putc(out, '"');
	while (rest.len > 0) {
		uint32_t code = 0;
		size_t len = utf8_decode(rest, &code);

		if (len > 1)
			buf_putf(out, "\\U%08x", (unsigned)code);
		else if (*rest.ptr == '"' || *rest.ptr == '\\')
			buf_putf(out, "\\%c", *rest.ptr);
		else
			buf_putc(out, *rest.ptr);
		len = len > 0 ? len : 1;
		rest = bytes_skip(rest, len);
	}
	buf_putc(out, '"');
}

char *option_mask(const struct option *o, const char *text)
{
	if (!o->secret)
		return mem_strdup(text);
	return o->opaque ? mem_strdup("***") : redis_url_mask(text);
}

static void print_string(const struct option *o, const char *text, bool mask_secrets, struct buf *out)
{
	char *masked;

	if (text == NULL) {
		buf_puts(out, "null");
		return;
	}
	if (!o->secret || !mask_secrets) {
		option_print_text(text, out);
		return;
	}
	masked = option_mask(o, text);
	option_print_text(masked, out);
	mem_free(masked);
}

static void print_strings(const struct strings *list, struct buf *out)
{
	buf_putc(out, '[');
	for (size_t i = 0; i < list->count; i++) {
		buf_puts(out, i > 0 ? ", " : "");
		option_print_text(list->items[i], out);
	}
	buf_putc(out, ']');
}

static void print_int(const struct option *o, int n, struct buf *out)
{
	if (n == 0 && o->zero_word != NULL)
		buf_puts(out, o->zero_word);
	else
		print_number(o, (uint64_t)n, out);
}

void option_print(const struct option *o, const void *base, bool mask_secrets, struct buf *out)
{
	const void *value = value_at(o, base);

	switch (o->type) {
	case OPTION_BOOL: buf_puts(out, *(const bool *)value ? "true" : "false"); return;
	case OPTION_INT: print_int(o, *(const int *)value, out); return;
	case OPTION_DURATION:
	case OPTION_SIZE: print_number(o, *(const uint64_t *)value, out); return;
	case OPTION_WORD: buf_put_bytes(out, word_shown(o->words[*(const int *)value])); return;
	case OPTION_STRING: print_string(o, *(char *const *)value, mask_secrets, out); return;
	case OPTION_STRINGS: print_strings(value, out); return;
	case OPTION_CHANNEL:
	case OPTION_NAMESPACES: return;
	}
}
