/* Arguments of a call: numbers as text, and a copy of all, for a call that may have to wait, or to be sent
 * again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "compiler.h"

/* Bytes of a number's text, with the zero behind it. */
enum { REDIS_NUMBER_MAX = 21 };
/* The number, which lives in `text`. */
struct bytes redis_number(char text[REDIS_NUMBER_MAX], uint64_t n);

size_t redis_args_size(const struct bytes *argv, size_t argc);
/* Copies the bytes of all arguments into one block, which the caller frees, and lets `to` point there. NULL
 * when there is no memory. */
char *redis_args_copy(struct bytes *to, const struct bytes *argv, size_t argc) MUST_CHECK;
