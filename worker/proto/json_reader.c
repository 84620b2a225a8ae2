/* The scanner steps through the text once and keeps of the nesting one bit a level, so that hostile depth
 * costs neither stack nor memory. Whether the bytes are UTF-8 is asked beforehand for the whole text: inside
 * strings any byte above 0x7f is then fine, and outside none is. Scan functions take where they are and where
 * the text ends, and return where they stopped, NULL when the text is wrong. */
#include "json_reader.h"

#include <assert.h>
#include <endian.h>
#include <limits.h>

#include "ascii.h"
#include "utf8.h"

#define EACH_BYTE(c) (0x0101010101010101ULL * (c))

struct nesting {
	uint64_t objects[JSON_MAX_DEPTH / 64]; /* a bit a level: object or array */
	unsigned depth;
	bool fresh;    /* the innermost container was just opened */
	bool too_deep; /* one more was about to be opened than there may be */
};

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* The high bit of each byte that is a quote, a backslash or a control character. Bytes above a true one may
 * be true without reason, the lowest is always right (Mycroft's zero byte test). */
static uint64_t special_bytes(uint64_t word)
{
	uint64_t quote = word ^ EACH_BYTE('"');
	uint64_t backslash = word ^ EACH_BYTE('\\');

	return (((quote - EACH_BYTE(1)) & ~quote) | ((backslash - EACH_BYTE(1)) & ~backslash) |
	        ((word - EACH_BYTE(0x20)) & ~word)) &
	       EACH_BYTE(0x80);
}

/* The first quote, backslash or control character, or the end. */
static const char *find_special(const char *p, const char *end)
{
	uint64_t word;

	for (; end - p >= 8; p += 8) {
		memcpy(&word, p, 8);
		word = special_bytes(le64toh(word));
		if (word != 0)
			return p + __builtin_ctzll(word) / 8;
	}
	while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
		p++;
	return p;
}

/* Four hexadecimal digits, -1 when they are not. */
static int hex_quad(const char *p, const char *end)
{
	int quad = 0;
	int digit;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		digit = ascii_hex_digit(p[i]);
		if (digit < 0)
			return -1;
		quad = quad << 4 | digit;
	}
	return quad;
}

/* From the backslash on. */
static const char *scan_escape(const char *p, const char *end)
{
	if (end - p < 2)
		return NULL;
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't': return p + 2;
	case 'u': return hex_quad(p + 2, end) < 0 ? NULL : p + 6;
	default: return NULL;
	}
}

/* From the quote to behind the other one. */
static const char *scan_string(const char *p, const char *end)
{
	if (p == end || *p != '"')
		return NULL;
	p++;
	while (p != NULL) {
		p = find_special(p, end);
		if (p == end)
			return NULL;
		if (*p == '"')
			return p + 1;
		if (*p != '\\')
			return NULL;
		p = scan_escape(p, end);
	}
	return NULL;
}

static bool is_digit(const char *p, const char *end)
{
	return p < end && ascii_is_digit(*p);
}

static const char *scan_digits(const char *p, const char *end)
{
	if (!is_digit(p, end))
		return NULL;
	while (is_digit(p, end))
		p++;
	return p;
}

static const char *scan_number(const char *p, const char *end)
{
	if (p < end && *p == '-')
		p++;
	if (p < end && *p == '0')
		p++;
	else
		p = scan_digits(p, end);
	if (p != NULL && p < end && *p == '.')
		p = scan_digits(p + 1, end);
	if (p == NULL || p == end || (*p | 0x20) != 'e')
		return p;
	p++;
	if (p < end && (*p == '+' || *p == '-'))
		p++;
	return scan_digits(p, end);
}

static const char *scan_word(const char *p, const char *end, struct bytes word)
{
	return bytes_start_with((struct bytes){p, (size_t)(end - p)}, word) ? p + word.len : NULL;
}

static const char *open_container(const char *p, struct nesting *n)
{
	uint64_t bit;

	if (n->depth == JSON_MAX_DEPTH) {
		n->too_deep = true;
		return NULL;
	}
	bit = 1ULL << n->depth % 64;
	if (*p == '{')
		n->objects[n->depth / 64] |= bit;
	else
		n->objects[n->depth / 64] &= ~bit;
	n->depth++;
	n->fresh = true;
	return p + 1;
}

/* A whole scalar, or only the bracket that opens a container. */
static const char *scan_item(const char *p, const char *end, struct nesting *n)
{
	if (p == end)
		return NULL;
	switch (*p) {
	case '{':
	case '[': return open_container(p, n);
	case '"': return scan_string(p, end);
	case 't': return scan_word(p, end, BYTES("true"));
	case 'f': return scan_word(p, end, BYTES("false"));
	case 'n': return scan_word(p, end, BYTES("null"));
	default: return scan_number(p, end);
	}
}

/* A name, its colon, and the white space behind it. */
static const char *scan_name(const char *p, const char *end)
{
	p = scan_string(p, end);
	if (p == NULL)
		return NULL;
	p = skip_space(p, end);
	return p < end && *p == ':' ? skip_space(p + 1, end) : NULL;
}

/* One step inside the innermost container: its end, or its next item. */
static const char *scan_step(const char *p, const char *end, struct nesting *n)
{
	bool object = n->objects[(n->depth - 1) / 64] >> (n->depth - 1) % 64 & 1;

	p = skip_space(p, end);
	if (p == end)
		return NULL;
	if (*p == (object ? '}' : ']')) {
		n->depth--;
		n->fresh = false;
		return p + 1;
	}
	if (!n->fresh) {
		if (*p != ',')
			return NULL;
		p = skip_space(p + 1, end);
	}
	n->fresh = false;
	if (object)
		p = scan_name(p, end);
	return p == NULL ? NULL : scan_item(p, end, n);
}

static enum json_value_type type_of(char first)
{
	switch (first) {
	case '{': return JSON_VALUE_OBJECT;
	case '[': return JSON_VALUE_ARRAY;
	case '"': return JSON_VALUE_STRING;
	case 't':
	case 'f': return JSON_VALUE_BOOL;
	case 'n': return JSON_VALUE_NULL;
	default: return JSON_VALUE_NUMBER;
	}
}

enum json_verdict json_take(struct bytes *text, struct json_value *value)
{
	struct nesting nesting = {0};
	const char *end = text->ptr + text->len;
	const char *start;
	const char *p;

	if (text->len == 0)
		return JSON_BAD;
	start = skip_space(text->ptr, end);
	p = scan_item(start, end, &nesting);
	while (p != NULL && nesting.depth > 0)
		p = scan_step(p, end, &nesting);
	if (nesting.too_deep)
		return JSON_TOO_DEEP;
	if (p == NULL)
		return JSON_BAD;
	*value = (struct json_value){type_of(*start), {start, (size_t)(p - start)}};
	p = skip_space(p, end);
	*text = (struct bytes){p, (size_t)(end - p)};
	return JSON_GOOD;
}

enum json_verdict json_check(struct bytes text, struct json_value *value)
{
	enum json_verdict verdict;

	if (!utf8_valid(text))
		return JSON_BAD;
	verdict = json_take(&text, value);
	return verdict == JSON_GOOD && text.len > 0 ? JSON_BAD : verdict;
}

bool json_parse(struct bytes text, struct json_value *value)
{
	return json_check(text, value) == JSON_GOOD;
}

/* The skip functions know that the text is valid, and look only for where things end. */

static const char *skip_string(const char *p, const char *end)
{
	for (p = find_special(p + 1, end); *p == '\\'; p = find_special(p + 2, end))
		;
	return p + 1;
}

static const char *skip_container(const char *p, const char *end, unsigned *deepest)
{
	unsigned depth = 0;

	*deepest = 0;
	do {
		switch (*p) {
		case '{':
		case '[':
			depth++;
			if (depth > *deepest)
				*deepest = depth;
			break;
		case '}':
		case ']': depth--; break;
		case '"': p = skip_string(p, end); continue;
		default: break;
		}
		p++;
	} while (depth > 0);
	return p;
}

static const char *skip_scalar(const char *p, const char *end)
{
	while (p < end && *p != ',' && *p != '}' && *p != ']' && (unsigned char)*p > ' ')
		p++;
	return p;
}

static const char *skip_value(const char *p, const char *end)
{
	unsigned deepest;

	switch (type_of(*p)) {
	case JSON_VALUE_OBJECT:
	case JSON_VALUE_ARRAY: return skip_container(p, end, &deepest);
	case JSON_VALUE_STRING: return skip_string(p, end);
	default: return skip_scalar(p, end);
	}
}

unsigned json_depth(struct json_value value)
{
	unsigned deepest = 0;

	if (value.type == JSON_VALUE_ARRAY || value.type == JSON_VALUE_OBJECT)
		skip_container(value.text.ptr, value.text.ptr + value.text.len, &deepest);
	return deepest;
}

struct json_iter json_iter(struct json_value container)
{
	assert(container.type == JSON_VALUE_OBJECT || container.type == JSON_VALUE_ARRAY);
	return (struct json_iter){container.text.ptr + 1, container.text.ptr + container.text.len};
}

/* To the next item; false at the closing bracket. */
static bool iter_next(struct json_iter *it)
{
	it->pos = skip_space(it->pos, it->end);
	if (*it->pos == ',')
		it->pos = skip_space(it->pos + 1, it->end);
	return *it->pos != '}' && *it->pos != ']';
}

static struct json_value iter_take(struct json_iter *it)
{
	const char *start = it->pos;

	it->pos = skip_value(start, it->end);
	return (struct json_value){type_of(*start), {start, (size_t)(it->pos - start)}};
}

bool json_next_member(struct json_iter *it, struct bytes *key, struct json_value *member)
{
	struct bytes name;

	if (!iter_next(it))
		return false;
	name = iter_take(it).text;
	*key = (struct bytes){name.ptr + 1, name.len - 2};
	it->pos = skip_space(it->pos, it->end);
	it->pos = skip_space(it->pos + 1, it->end);
	*member = iter_take(it);
	return true;
}

bool json_next_element(struct json_iter *it, struct json_value *element)
{
	if (!iter_next(it))
		return false;
	*element = iter_take(it);
	return true;
}

enum { REPLACEMENT = 0xfffd };

static uint32_t simple_escape(char c)
{
	switch (c) {
	case 'b': return '\b';
	case 'f': return '\f';
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	default: return (unsigned char)c;
	}
}

static bool is_surrogate(uint32_t unit, uint32_t first)
{
	return unit >= first && unit < first + 0x400;
}

/* Resolves the escape at *p and steps over it, over both halves of a surrogate pair at once. */
static uint32_t take_escape(const char **p, const char *end)
{
	const char *start = *p;
	uint32_t high;
	int low;

	if (start[1] != 'u') {
		*p += 2;
		return simple_escape(start[1]);
	}
	*p += 6;
	high = (uint32_t)hex_quad(start + 2, end);
	if (!is_surrogate(high, 0xd800))
		return is_surrogate(high, 0xdc00) ? REPLACEMENT : high;
	low = end - *p >= 6 && start[6] == '\\' && start[7] == 'u' ? hex_quad(start + 8, end) : -1;
	if (low < 0 || !is_surrogate((uint32_t)low, 0xdc00))
		return REPLACEMENT;
	*p += 6;
	return 0x10000 + ((high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
}

bool json_key_is(struct bytes key, const char *name)
{
	const char *p = key.ptr;
	const char *end = key.ptr + key.len;

	/* Most names differ in their first letter. */
	if (key.len > 0 && *p != *name && *p != '\\')
		return false;
	if (memchr(p, '\\', key.len) == NULL)
		return strncmp(p, name, key.len) == 0 && name[key.len] == '\0';
	for (; p < end && *name != '\0'; name++) {
		if ((*p == '\\' ? take_escape(&p, end) : (unsigned char)*p++) != (unsigned char)*name)
			return false;
	}
	return p == end && *name == '\0';
}

static void put_code_point(struct buf *out, uint32_t c)
{
	char bytes[4];
	size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = len; i-- > 1; c >>= 6)
		bytes[i] = (char)(0x80 | (c & 0x3f));
	bytes[0] = (char)(leads[len] | c);
	buf_put(out, bytes, len);
}

void json_unescape(struct json_value string, struct buf *out)
{
	const char *p = string.text.ptr + 1;
	const char *end = string.text.ptr + string.text.len - 1;
	const char *plain;

	assert(string.type == JSON_VALUE_STRING);
	while (p < end) {
		plain = p;
		p = find_special(p, end);
		buf_put(out, plain, (size_t)(p - plain));
		if (p < end)
			put_code_point(out, take_escape(&p, end));
	}
}

bool json_uint(struct json_value number, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	/* Nothing else has a text for sure: a member that was absent has none. */
	if (number.type != JSON_VALUE_NUMBER)
		return false;
	for (size_t i = 0; i < number.text.len; i++) {
		unsigned digit = (unsigned)(unsigned char)number.text.ptr[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n))
			return false;
	}
	*out = n;
	return n <= max;
}

bool json_int(struct json_value number, int64_t min, int64_t max, int64_t *out)
{
	bool negative = number.type == JSON_VALUE_NUMBER && number.text.ptr[0] == '-';
	uint64_t magnitude;

	if (negative) {
		number.text.ptr++;
		number.text.len--;
	}
	if (!json_uint(number, negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX, &magnitude))
		return false;
	*out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return *out >= min && *out <= max;
}
