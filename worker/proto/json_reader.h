/* Reader of JSON (RFC 8259) for the data path: strict, without a tree, over bytes that stay where they are,
 * so that a payload can be passed on character by character. Depth has a ceiling. No numbers are computed but
 * the integers asked for.
 *
 * Strict means: valid UTF-8, no raw control characters in strings, nothing before or after the value but
 * white space, a byte order mark is an error. Lone surrogate escapes are legal JSON and let through. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "bytes.h"
#include "compiler.h"

/* Arrays and objects within each other. Below what the parsers of all SDKs stand. */
enum { JSON_MAX_DEPTH = 512 };

enum json_value_type {
	JSON_VALUE_NULL,
	JSON_VALUE_BOOL,
	JSON_VALUE_NUMBER,
	JSON_VALUE_STRING,
	JSON_VALUE_ARRAY,
	JSON_VALUE_OBJECT
};

/* One value as it stands in the text, without white space around it. A string includes its quotes. */
struct json_value {
	enum json_value_type type;
	struct bytes text;
};

enum json_verdict { JSON_GOOD, JSON_BAD, JSON_TOO_DEEP };
/* Validates the whole text as one value. JSON_TOO_DEEP: it began well, and nests deeper than JSON_MAX_DEPTH.
 */
enum json_verdict json_check(struct bytes text, struct json_value *value) MUST_CHECK;
/* The same, where it does not matter why not. */
bool json_parse(struct bytes text, struct json_value *value) MUST_CHECK;

/* Takes one value off the front of a text of which nothing is known, not even whether it is UTF-8, and the
 * white space before and behind it. Not JSON_GOOD: then *text and *value are as they were. */
enum json_verdict json_take(struct bytes *text, struct json_value *value) MUST_CHECK;
/* Takes a member's name and its colon in the same way, and the white space before each of them; the name is
 * raw, without its quotes. False: they are not there, and nothing was taken. */
bool json_take_name(struct bytes *text, struct bytes *name) MUST_CHECK;

/* Walks the members of an object, or the elements of an array, that json_parse() or another walk has given:
 *     struct json_iter it = json_iter(value);
 *     while (json_next_member(&it, &key, &member)) …
 * The value was validated, so there is nothing left to fail. `key` is the raw text between the quotes,
 * escapes and all. */
struct json_iter {
	const char *pos;
	const char *end;
};
struct json_iter json_iter(struct json_value container);
bool json_next_member(struct json_iter *it, struct bytes *key, struct json_value *member);
bool json_next_element(struct json_iter *it, struct json_value *element);
/* How deep arrays and objects stand within each other; 0 for a scalar. Each walk reads over the whole of what
 * it walks, so who walks level by level, as deep as a peer wants, asks first. */
unsigned json_depth(struct json_value value);

/* Whether a raw key equals the name after its escapes are resolved. */
bool json_key_is(struct bytes key, const char *name);
/* Appends the text of a string value with escapes resolved; lone surrogates become U+FFFD. */
void json_unescape(struct json_value string, struct buf *out);
/* Plain digits only (a leading '-' where min is negative): no fraction, no exponent, in range. */
bool json_uint(struct json_value number, uint64_t max, uint64_t *out) MUST_CHECK;
bool json_int(struct json_value number, int64_t min, int64_t max, int64_t *out) MUST_CHECK;
