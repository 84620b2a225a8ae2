/* Picks single members out of an object of JSON, for who does not want all of it in a struct. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "json_reader.h"

/* The member, of whatever type. False when there is none, as in what is no object. */
bool json_find(struct json_value object, const char *name, struct json_value *value);
/* 0, or false, when there is none, or it is something else. */
uint64_t json_find_uint(struct json_value object, const char *name);
bool json_find_true(struct json_value object, const char *name);
/* As a terminated text in the buffer, good until that is used again; "" when there is none. */
const char *json_find_text(struct json_value object, const char *name, struct buf *scratch);
