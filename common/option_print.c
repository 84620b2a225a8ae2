/* Options and their values as texts: in YAML, in messages, and with what is secret masked. */
#include <stdio.h>

#include "config.h"
#include "mem.h"
#include "options.h"
#include "redis_url.h"
#include "units.h"
#include "utf8_code.h"

static const void *value_at(const struct option *o, const void *base)
{
	return (const char *)base + o->offset;
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

void option_print_text(const char *text, struct buf *out)
{
	struct bytes rest = BYTES_OF_STR(text);

	buf_putc(out, '"');
	while (rest.len > 0) {
		uint32_t code = 0;
		size_t len = utf8_code(rest, &code);

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
