/* Who the processes of the broker are. Started as root with the option `user`, the master stays root, for
 * what it has to do later: fork successors, read certificates anew, remove the files of its sockets. It reads
 * nothing from the network. Workers, which do, and the embedded Redis become that user for good, with no way
 * back: no capabilities, none to be had from programs either.
 *
 * The kernel clears the "dumpable" flag of a process that changes its user, or sets it to fs.suid_dumpable.
 * Here it is cleared for all, outside dev mode: what workers hold (keys, tokens, passwords, what others say)
 * is not for core files, which outlive the process and travel, nor for other processes of the same user. Who
 * needs a core file of a crash has dev mode. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "compiler.h"
#include "config.h"

struct privileges;

/* What the configuration asks for. NULL after telling in the log why it cannot be had. */
struct privileges *privileges_new(const struct config *config) MUST_CHECK;
/* Accepts NULL. */
void privileges_free(struct privileges **p);
/* Of the master, at the start: see above about core files. */
void privileges_protect_master(const struct privileges *p);
/* Whether children become another user than the master. */
bool privileges_change(const struct privileges *p);
/* Whom they become, then. */
uid_t privileges_uid(const struct privileges *p);
gid_t privileges_gid(const struct privileges *p);
/* In a child: gives up all that it does not need. False after telling in the log what went wrong: then it
 * must not go on. Nothing to give up with NULL. */
bool privileges_drop(const struct privileges *p) MUST_CHECK;
/* Whether children will be able to drop them and then to work in the directory, found out by one. False after
 * telling in the log. NULL: no directory is needed. */
bool privileges_try(const struct privileges *p, const char *dir) MUST_CHECK;
/* From here to the end, new files belong to the group that the children will be in. */
void privileges_begin_group(const struct privileges *p);
void privileges_end_group(void);
