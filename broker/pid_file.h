/* The pid file: tells people and scripts which process the master is, and, by its lock, keeps a second broker
 * out of the same runtime directory. The lock goes with the process, however it ends; a file that was left
 * behind by a kill -9 is no hindrance. */
#pragma once

#include <sys/types.h>

#include "compiler.h"

struct pid_file;

enum pid_file_result {
	PID_FILE_TAKEN,
	PID_FILE_HELD,  /* another process holds it: *holder is its pid, 0 if it has not said */
	PID_FILE_FAILED /* errno tells */
};

/* Forked children must not keep the descriptor, as the lock lives as long as any copy of it. */
enum pid_file_result pid_file_take(const char *path, struct pid_file **out, pid_t *holder) MUST_CHECK;
/* Removes the file and gives the lock back. Accepts NULL. */
void pid_file_release(struct pid_file **f);
