/* Reads a JSON object into a C struct by a table of its members, by the rules of the client protocol (section
 * 4) for what comes from outside: names are case sensitive and compared with escapes resolved; a known member
 * may occur once, even if it is null; null is the same as absent, but for raw values; unknown members are
 * ignored; a member of the wrong type, or a number out of range, makes the whole object bad. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "compiler.h"
#include "json_reader.h"

/* Reads a value, which is not null, to where `out` points. False when it is not acceptable. */
typedef bool json_read_fn(struct json_value value, struct buf *scratch, void *out);

struct json_field {
	const char *name;
	size_t offset; /* of the struct's member, handed to read */
	json_read_fn *read;
};

struct json_struct {
	const struct json_field *fields;
	size_t count; /* at most 32 */
};

/* Fills what is there and leaves alone what is not. Slices point into the text or into scratch, which takes
 * what it gets: at most the length of the text. It must have that room already, for it must not move. */
bool json_read_struct(struct json_value object, const struct json_struct *type, struct buf *scratch,
                      void *out) MUST_CHECK;

/* The same, member by member: reads one with that name, if the struct has it. *seen is zero before the first.
 */
bool json_read_member(struct bytes key, struct json_value value, const struct json_struct *type,
                      uint32_t *seen, struct buf *scratch, void *out) MUST_CHECK;

/* The name of a member, as json_next_member() gives it, with escapes resolved. */
bool json_read_key(struct bytes key, struct buf *scratch, struct bytes *out) MUST_CHECK;

/* Readers of single values, by the type of what they fill. */
json_read_fn json_read_string; /* struct bytes, escapes resolved */
json_read_fn json_read_raw;    /* struct bytes, the text as it is; null is a value */
json_read_fn json_read_value;  /* struct json_value, whatever it is */
json_read_fn json_read_bool;   /* bool */
json_read_fn json_read_int32;  /* int32_t */
json_read_fn json_read_int64;  /* int64_t */
json_read_fn json_read_uint32; /* uint32_t */
json_read_fn json_read_uint64; /* uint64_t */
/* Readers of what only has to be well formed; nothing is filled. */
json_read_fn json_check_string;
json_read_fn json_check_strings;    /* an array of strings */
json_read_fn json_check_string_map; /* an object whose values are strings */
