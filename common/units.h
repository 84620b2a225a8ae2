/* Numbers, durations and sizes as people write them in a configuration, and back. Strict: the whole text must
 * be one value, nothing overflows silently. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"

enum { UNITS_TEXT_MAX = 32 };

/* Plain decimal digits. */
bool units_parse_number(struct bytes text, uint64_t *n) MUST_CHECK;
/* A whole number and one of ms, s, m, h: "500ms", "25s"; "0" needs no unit. */
bool units_parse_duration(struct bytes text, uint64_t *ms) MUST_CHECK;
/* A whole number of bytes, or of KiB, MiB, GiB (powers of 1024), KB, MB, GB (powers of 1000). */
bool units_parse_size(struct bytes text, uint64_t *len_bytes) MUST_CHECK;

/* The shortest exact writing that parses back to the same. */
void units_format_duration(uint64_t ms, char text[UNITS_TEXT_MAX]);
void units_format_size(uint64_t len_bytes, char text[UNITS_TEXT_MAX]);
