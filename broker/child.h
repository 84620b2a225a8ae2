/* Child processes: forking one so that nothing of the master's sticks to it, and saying how one ended. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "compiler.h"

/* fork(2) with signals held back until the child has dropped the master's handlers: a signal that arrives in
 * between is neither lost nor handled by the wrong process. In the child all signals that the master uses
 * are back at their defaults. */
pid_t child_fork(void) MUST_CHECK;
/* Takes the settings of the broker, and the secrets among them, out of the environment: for a child that
 * becomes another program. */
void child_forget_settings(void);
/* Closes every descriptor above 2 that is not in the list. The list is sorted in place. */
void child_close_all_but(int *fds, size_t count);

enum { CHILD_END_TEXT_MAX = 64 };
/* A status of waitpid(2) in words: "exited with code 1", "was killed by SIGSEGV (core dumped)". */
void child_describe_end(int status, char text[CHILD_END_TEXT_MAX]);
