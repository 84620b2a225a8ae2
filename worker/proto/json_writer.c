#include "json_writer.h"

#include <stdbool.h>

#include "utf8.h"

/* How many bytes of the sequence at p are the whole of a valid character; 0 when they are none. */
static size_t char_len(const char *p, const char *end)
{
	size_t left = (size_t)(end - p);

	for (size_t len = 1; len <= 4 && len <= left; len++) {
		if (utf8_valid((struct bytes){p, len}))
			return len;
	}
	return 0;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void put_ascii(struct buf *out, unsigned char c)
{
	switch (c) {
	case '"': buf_puts(out, "\\\""); return;
	case '\\': buf_puts(out, "\\\\"); return;
	case '\n': buf_puts(out, "\\n"); return;
	case '\r': buf_puts(out, "\\r"); return;
	case '\t': buf_puts(out, "\\t"); return;
	default: buf_putf(out, "\\u%04x", c); return;
	}
}

/* Puts the character at p, which cannot stand as it is or is not ASCII; returns its length. */
static size_t put_special(struct buf *out, const char *p, const char *end)
{
	struct bytes c = {p, char_len(p, end)};

	if (c.len == 0) {
		buf_puts(out, "\\ufffd");
		return 1;
	}
	if (c.len == 1)
		put_ascii(out, (unsigned char)*p);
	else if (bytes_eq(c, BYTES("\xe2\x80\xa8")) || bytes_eq(c, BYTES("\xe2\x80\xa9")))
		buf_puts(out, p[2] == '\xa8' ? "\\u2028" : "\\u2029");
	else
		buf_put_bytes(out, c);
	return c.len;
}

void json_put_string(struct buf *out, struct bytes text)
{
	/* The empty text may have no place, and no place has no end. */
	const char *p = text.len > 0 ? text.ptr : "";
	const char *end = p + text.len;
	const char *plain;

	buf_putc(out, '"');
	while (p < end) {
		for (plain = p; p < end && is_plain((unsigned char)*p); p++)
			;
		buf_put(out, plain, (size_t)(p - plain));
		if (p < end)
			p += put_special(out, p, end);
	}
	buf_putc(out, '"');
}

/* Valid JSON has no raw newline inside a string, so whichever there are stand between tokens. */
void json_put_compact(struct buf *out, struct bytes text)
{
	const char *end = text.ptr + text.len;
	const char *newline;

	for (const char *p = text.ptr; p < end; p = newline + 1) {
		newline = memchr(p, '\n', (size_t)(end - p));
		if (newline == NULL)
			newline = end;
		buf_put(out, p, (size_t)(newline - p));
	}
}

/* A comma is due unless the last byte has opened the container: no value ends like that. */
static void put_comma(struct buf *out)
{
	if (out->failed || out->data[out->len - 1] == '{' || out->data[out->len - 1] == '[')
		return;
	buf_putc(out, ',');
}

void json_open(struct buf *out, char bracket)
{
	buf_putc(out, bracket);
}

void json_close(struct buf *out, char bracket)
{
	buf_putc(out, bracket);
}

void json_element(struct buf *out)
{
	put_comma(out);
}

void json_name(struct buf *out, const char *name)
{
	size_t len = strlen(name);
	char *room;

	put_comma(out);
	room = buf_reserve(out, len + 3);
	if (room == NULL)
		return;
	room[0] = '"';
	memcpy(room + 1, name, len);
	room[len + 1] = '"';
	room[len + 2] = ':';
	buf_commit(out, len + 3);
}

void json_member_string(struct buf *out, const char *name, struct bytes value)
{
	if (value.len == 0)
		return;
	json_name(out, name);
	json_put_string(out, value);
}

void json_member_raw(struct buf *out, const char *name, struct bytes value)
{
	if (value.ptr == NULL)
		return;
	json_name(out, name);
	buf_put_bytes(out, value);
}

void json_member_uint(struct buf *out, const char *name, uint64_t value)
{
	if (value == 0)
		return;
	json_name(out, name);
	buf_put_u64(out, value);
}

void json_member_bool(struct buf *out, const char *name, bool value)
{
	if (!value)
		return;
	json_name(out, name);
	buf_puts(out, "true");
}
