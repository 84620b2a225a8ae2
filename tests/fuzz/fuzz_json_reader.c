/* json_reader.c: its verdict is jansson's; what its walks find, written again by json_writer.c, is the same
 * tree to jansson; and json_put_compact() changes nothing but raw newlines. */
#include "fuzz.h"

#include <jansson.h>

#include "json_reader.h"
#include "json_writer.h"

static void rewrite(struct json_value value, struct buf *out);

static void rewrite_string(struct json_value string, struct buf *out)
{
	struct buf text;

	buf_init(&text, FUZZ_BUF_MAX);
	json_unescape(string, &text);
	json_put_string(out, buf_bytes(&text));
	buf_free(&text);
}

static void rewrite_container(struct json_value value, bool object, struct buf *out)
{
	struct json_iter it = json_iter(value);
	struct json_value item;
	struct bytes key;

	json_open(out, object ? '{' : '[');
	while (object ? json_next_member(&it, &key, &item) : json_next_element(&it, &item)) {
		json_element(out);
		if (object) {
			rewrite_string((struct json_value){JSON_VALUE_STRING, {key.ptr - 1, key.len + 2}},
			               out);
			buf_putc(out, ':');
		}
		rewrite(item, out);
	}
	json_close(out, object ? '}' : ']');
}

static void rewrite(struct json_value value, struct buf *out)
{
	if (value.type == JSON_VALUE_STRING)
		rewrite_string(value, out);
	else if (value.type == JSON_VALUE_ARRAY || value.type == JSON_VALUE_OBJECT)
		rewrite_container(value, value.type == JSON_VALUE_OBJECT, out);
	else
		buf_put_bytes(out, value.text);
}

/* What only jansson refuses: numbers that it cannot hold, a NUL in a name, a lone surrogate. */
static bool is_limit_of_jansson(const json_error_t *error)
{
	return json_error_code(error) == json_error_numeric_overflow ||
	       json_error_code(error) == json_error_null_byte_in_key ||
	       strncmp(error->text, "invalid Unicode", 15) == 0;
}

static json_t *load(struct bytes text, json_error_t *error)
{
	return json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
}

static void check_same(const struct buf *text, json_t *tree)
{
	json_error_t error;
	json_t *again = load(buf_bytes(text), &error);

	CHECK(buf_ok(text) && memchr(text->data, '\n', text->len) == NULL);
	CHECK(again != NULL && json_equal(again, tree));
	json_decref(again);
}

static void check_value(struct json_value value, json_t *tree)
{
	struct buf out;

	buf_init(&out, FUZZ_BUF_MAX);
	json_put_compact(&out, value.text);
	check_same(&out, tree);
	buf_reset(&out);
	rewrite(value, &out);
	check_same(&out, tree);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	struct bytes text = {copy, size};
	struct json_value value;
	json_error_t error;
	json_t *tree = load(text, &error);

	/* A raw NUL, which is valid nowhere, is the end of the text to jansson. */
	switch (json_check(text, &value)) {
	case JSON_GOOD:
		CHECK(tree != NULL || is_limit_of_jansson(&error));
		if (tree != NULL)
			check_value(value, tree);
		break;
	case JSON_BAD: CHECK(tree == NULL || memchr(copy, '\0', size) != NULL); break;
	case JSON_TOO_DEEP: CHECK(size > JSON_MAX_DEPTH); break;
	}
	json_decref(tree);
	mem_free(copy);
	return 0;
}
