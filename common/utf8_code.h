/* Characters of UTF-8 (RFC 3629) one by one, for the few texts of the configuration. What clients send is
 * looked at by utf8.h of worker/proto. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bytes.h"

/* Decodes the first character; its length in bytes, 0 when it is none: an overlong form, a surrogate, cut
 * off. The text must not be empty. */
size_t utf8_code(struct bytes text, uint32_t *code);
