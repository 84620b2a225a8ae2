/* The second half of json_reader.h: walks over values that were validated, and what stands in them. */
#include <assert.h>
#include <limits.h>

#include "json_scan.h"

/* The skip functions know that the text is valid, and look only for where things end. */

static const char *skip_string(const char *p, const char *end)
{
	uint64_t high = 0;

	for (p = json_find_special(p + 1, end, &high); *p == '\\'; p = json_find_special(p + 2, end, &high))
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

	switch (json_type_of(*p)) {
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
	it->pos = json_skip_space(it->pos, it->end);
	if (*it->pos == ',')
		it->pos = json_skip_space(it->pos + 1, it->end);
	return *it->pos != '}' && *it->pos != ']';
}

static struct json_value iter_take(struct json_iter *it)
{
	const char *start = it->pos;

	it->pos = skip_value(start, it->end);
	return (struct json_value){json_type_of(*start), {start, (size_t)(it->pos - start)}};
}

bool json_next_member(struct json_iter *it, struct bytes *key, struct json_value *member)
{
	struct bytes name;

	if (!iter_next(it))
		return false;
	name = iter_take(it).text;
	*key = (struct bytes){name.ptr + 1, name.len - 2};
	it->pos = json_skip_space(it->pos, it->end);
	it->pos = json_skip_space(it->pos + 1, it->end);
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
	high = (uint32_t)json_hex_quad(start + 2, end);
	if (!is_surrogate(high, 0xd800))
		return is_surrogate(high, 0xdc00) ? REPLACEMENT : high;
	low = end - *p >= 6 && start[6] == '\\' && start[7] == 'u' ? json_hex_quad(start + 8, end) : -1;
	if (low < 0 || !is_surrogate((uint32_t)low, 0xdc00))
		return REPLACEMENT;
	*p += 6;
	return 0x10000 + ((high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
}

bool json_key_is(struct bytes key, const char *name)
{
	const char *p = key.ptr;
	const char *end = key.ptr + key.len;

	/* Most names differ in their first letter, or are the same; those asked for have no backslash. */
	if (key.len > 0 && *p != *name && *p != '\\')
		return false;
	if (strncmp(p, name, key.len) == 0)
		return name[key.len] == '\0';
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
	uint64_t high = 0;

	assert(string.type == JSON_VALUE_STRING);
	while (p < end) {
		plain = p;
		p = json_find_special(p, end, &high);
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
