/* Validation of UTF-8 (RFC 3629) that can stop and go on anywhere: no overlong forms, no surrogates, nothing
 * above U+10FFFF. Fast on ASCII. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"

enum { UTF8_START = 0, UTF8_INVALID = UINT32_MAX };

/* Goes on from state (UTF8_START at first) over the bytes; returns the new state, UTF8_INVALID for ever once
 * a byte cannot belong. The text is complete when the state is UTF8_START at its end. */
uint32_t utf8_continue(uint32_t state, struct bytes bytes);
bool utf8_valid(struct bytes bytes);
