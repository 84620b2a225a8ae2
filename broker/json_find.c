#include "json_find.h"

bool json_find(struct json_value object, const char *name, struct json_value *value)
{
	struct json_iter it;
	struct bytes key;

	if (object.type != JSON_VALUE_OBJECT)
		return false;
	it = json_iter(object);
	while (json_next_member(&it, &key, value)) {
		if (json_key_is(key, name))
			return true;
	}
	return false;
}

uint64_t json_find_uint(struct json_value object, const char *name)
{
	struct json_value value;
	uint64_t n;

	if (json_find(object, name, &value) && value.type == JSON_VALUE_NUMBER &&
	    json_uint(value, UINT64_MAX, &n))
		return n;
	return 0;
}

bool json_find_true(struct json_value object, const char *name)
{
	struct json_value value;

	return json_find(object, name, &value) && bytes_eq(value.text, BYTES("true"));
}

const char *json_find_text(struct json_value object, const char *name, struct buf *scratch)
{
	struct json_value value;

	buf_reset(scratch);
	if (json_find(object, name, &value) && value.type == JSON_VALUE_STRING)
		json_unescape(value, scratch);
	buf_putc(scratch, '\0');
	return buf_ok(scratch) ? scratch->data : "";
}
