/* The runtime directory: where the pid file stands, and the data and the socket of the embedded Redis.
 *
 *     fanfare.pid   the pid of the master, locked while it runs
 *     redis.log     what the embedded Redis logs
 *     redis/        its data, and redis.sock, its socket
 *
 * If the embedded Redis runs as another user than the master, redis/ is that user's, and the rest is the
 * master's: nothing that root writes stands where somebody else could put a link in its place. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"

/* Makes the directory, and those above it, for this user only (mode 0700; one that exists is left as it is).
 * False with errno; EPERM: it exists, and belongs to another user. */
bool runtime_dir_make(const char *path) MUST_CHECK;
/* Lets the group pass through the directory (mode 0710), if it is as runtime_dir_make() makes it and holds
 * nothing but what stands above; else it is left as it is. False with errno. */
bool runtime_dir_let_pass(const char *path, gid_t gid) MUST_CHECK;
/* Gives a directory with all that is in it to another user. It is root's, for root only, or that user's
 * already, and then left as it is. False with errno. */
bool runtime_dir_give(const char *path, uid_t uid, gid_t gid) MUST_CHECK;
/* "DIR/NAME" with DIR made absolute, as far as it exists. Free with mem_free(). */
char *runtime_dir_path(const char *dir, const char *name) MUST_CHECK;
