/* A copy of the arguments of a call that may have to wait, or to be sent again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "bytes.h"
#include "compiler.h"

size_t redis_args_size(const struct bytes *argv, size_t argc);
/* Copies the bytes of all arguments into one block, which the caller frees, and lets `to` point there. NULL
 * when there is no memory. */
char *redis_args_copy(struct bytes *to, const struct bytes *argv, size_t argc) MUST_CHECK;
