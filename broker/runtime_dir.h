/* The runtime directory: where the pid file stands, and the data and the socket of the embedded Redis.
 *
 *     fanfare.pid   the pid of the master, locked while it runs
 *     redis.sock    the socket of the embedded Redis
 *     redis.log     what the embedded Redis logs
 *     redis/        its data */
#pragma once

#include <stdbool.h>

#include "compiler.h"

/* Makes the directory, and those above it, for this user only (mode 0700; one that exists is left as it is).
 * False with errno; EPERM: it exists, and belongs to another user. */
bool runtime_dir_make(const char *path) MUST_CHECK;
/* "DIR/NAME" with DIR made absolute, as far as it exists. Free with mem_free(). */
char *runtime_dir_path(const char *dir, const char *name) MUST_CHECK;
