/* What a worker gives up before it meets the first client: system calls that it never needs, and that who
 * gets into it by a mistake of ours would need next (seccomp). It goes on reading files and opening
 * connections, for names and certificates; it writes no file, starts no program or process, touches no other
 * process, and changes nothing of the system.
 *
 * A list of what is forbidden, not of what is allowed: with that, each new version of libc, OpenSSL or c-ares
 * could call something that is not on it and take all connections down. For the same reason most of what is
 * forbidden fails with EPERM, as it would for want of a right. What no library tries ends the process by
 * SIGSYS, and the log of the master says so. */
#pragma once

#include <stdbool.h>

#include "compiler.h"

/* For the rest of the process' life; so all that needs more (dropping privileges, opening a log) comes before
 * it. With `leak_check` LeakSanitizer can still do what it does at the end: clone and trace the process.
 * False with errno when the kernel does not do that. */
bool sandbox_enter(bool leak_check) MUST_CHECK;
