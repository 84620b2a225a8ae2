/* Writer of JSON into a buf, one line, without a tree. The writer puts the commas; the caller names members
 * in order and closes what was opened. A buf that failed takes nothing more; ask buf_ok() at the end. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "bytes.h"

/* Appends text as a JSON string with quotes: escapes what must be, and <, >, &, U+2028, U+2029 as \uXXXX;
 * invalid UTF-8 becomes U+FFFD. */
void json_put_string(struct buf *out, struct bytes text);
/* Appends a validated value without the raw newlines between its tokens, which would end a message of the
 * client protocol. Everything else is kept, carriage returns too. */
void json_put_compact(struct buf *out, struct bytes text);

/* An object in progress: json_open(), any number of members, json_close(). json_name() begins a member whose
 * value the caller appends, which may be another object. */
void json_open(struct buf *out, char bracket);
void json_close(struct buf *out, char bracket);
void json_name(struct buf *out, const char *name);
/* Begins an element of an array. */
void json_element(struct buf *out);

/* Members in the manner of proto3: left out when zero, empty or false. A raw value is left out when its ptr
 * is NULL. */
void json_member_string(struct buf *out, const char *name, struct bytes value);
void json_member_raw(struct buf *out, const char *name, struct bytes value);
void json_member_uint(struct buf *out, const char *name, uint64_t value);
void json_member_bool(struct buf *out, const char *name, bool value);
