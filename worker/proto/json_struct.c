#include "json_struct.h"

#include <assert.h>

enum { MAX_FIELDS = 32 };

static size_t find_field(const struct json_struct *type, struct bytes key)
{
	for (size_t i = 0; i < type->count; i++) {
		if (json_key_is(key, type->fields[i].name))
			return i;
	}
	return type->count;
}

static bool read_field(const struct json_field *field, struct json_value value, struct buf *scratch,
                       void *out)
{
	if (value.type == JSON_VALUE_NULL && field->read != json_read_raw)
		return true;
	return field->read(value, scratch, (char *)out + field->offset);
}

bool json_read_member(struct bytes key, struct json_value value, const struct json_struct *type,
                      uint32_t *seen, struct buf *scratch, void *out)
{
	size_t i = find_field(type, key);

	if (i == type->count)
		return true;
	if (*seen & 1U << i)
		return false;
	*seen |= 1U << i;
	return read_field(&type->fields[i], value, scratch, out);
}

bool json_read_struct(struct json_value object, const struct json_struct *type, struct buf *scratch,
                      void *out)
{
	struct json_iter it;
	struct json_value value;
	struct bytes key;
	uint32_t seen = 0;

	assert(type->count <= MAX_FIELDS);
	if (object.type != JSON_VALUE_OBJECT)
		return false;
	it = json_iter(object);
	while (json_next_member(&it, &key, &value)) {
		if (!json_read_member(key, value, type, &seen, scratch, out))
			return false;
	}
	return true;
}

/* The text between the quotes if it stands for itself, else its escapes resolved in scratch. */
bool json_read_string(struct json_value value, struct buf *scratch, void *out)
{
	struct bytes *string = out;
	size_t start = scratch->len;

	if (value.type != JSON_VALUE_STRING)
		return false;
	*string = (struct bytes){value.text.ptr + 1, value.text.len - 2};
	if (memchr(string->ptr, '\\', string->len) == NULL)
		return true;
	json_unescape(value, scratch);
	*string = (struct bytes){scratch->data + start, scratch->len - start};
	return buf_ok(scratch);
}

/* The name stands between quotes, and with them it is a string. */
bool json_read_key(struct bytes key, struct buf *scratch, struct bytes *out)
{
	return json_read_string((struct json_value){JSON_VALUE_STRING, {key.ptr - 1, key.len + 2}}, scratch,
	                        out);
}

bool json_read_raw(struct json_value value, struct buf *scratch, void *out)
{
	*(struct bytes *)out = value.text;
	return true;
}

bool json_read_value(struct json_value value, struct buf *scratch, void *out)
{
	*(struct json_value *)out = value;
	return true;
}

bool json_read_bool(struct json_value value, struct buf *scratch, void *out)
{
	*(bool *)out = value.text.ptr[0] == 't';
	return value.type == JSON_VALUE_BOOL;
}

bool json_read_int32(struct json_value value, struct buf *scratch, void *out)
{
	int64_t n;

	if (!json_int(value, INT32_MIN, INT32_MAX, &n))
		return false;
	*(int32_t *)out = (int32_t)n;
	return true;
}

bool json_read_int64(struct json_value value, struct buf *scratch, void *out)
{
	return json_int(value, INT64_MIN, INT64_MAX, out);
}

bool json_read_uint32(struct json_value value, struct buf *scratch, void *out)
{
	uint64_t n;

	if (!json_uint(value, UINT32_MAX, &n))
		return false;
	*(uint32_t *)out = (uint32_t)n;
	return true;
}

bool json_read_uint64(struct json_value value, struct buf *scratch, void *out)
{
	return json_uint(value, UINT64_MAX, out);
}

bool json_check_string(struct json_value value, struct buf *scratch, void *out)
{
	return value.type == JSON_VALUE_STRING;
}

static bool is_string_or_null(struct json_value value)
{
	return value.type == JSON_VALUE_STRING || value.type == JSON_VALUE_NULL;
}

bool json_check_strings(struct json_value value, struct buf *scratch, void *out)
{
	struct json_iter it;
	struct json_value element;

	if (value.type != JSON_VALUE_ARRAY)
		return false;
	for (it = json_iter(value); json_next_element(&it, &element);) {
		if (!is_string_or_null(element))
			return false;
	}
	return true;
}

bool json_check_string_map(struct json_value value, struct buf *scratch, void *out)
{
	struct json_iter it;
	struct json_value member;
	struct bytes key;

	if (value.type != JSON_VALUE_OBJECT)
		return false;
	for (it = json_iter(value); json_next_member(&it, &key, &member);) {
		if (!is_string_or_null(member))
			return false;
	}
	return true;
}
