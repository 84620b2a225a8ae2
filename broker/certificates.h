/* The certificates for TLS and all that belongs to them, on the master's side: reads the files when the
 * broker starts and whenever it is told to, says in the log what it has read, and lets go of old ticket keys.
 */
#pragma once

#include <ev.h>

#include "supervisor.h"

struct certificates;

/* NULL after telling the problems in the log. Lends the configuration. */
struct certificates *certificates_load(const struct config *config) MUST_CHECK;
/* For the workers; NULL: there are none. The same object for life, whatever is read into it. */
struct tls_server *certificates_tls(const struct certificates *c);
/* From here on ticket keys of long ago are forgotten in time. */
void certificates_watch(struct certificates *c, struct ev_loop *loop);
/* Reads the files that were named at the start anew, and hands them to the workers; successors of those have
 * them, too. If anything is wrong, tells it, and all go on with what they have. */
void certificates_reload(struct certificates *c, struct supervisor *s);
/* Accepts NULL. */
void certificates_free(struct certificates **c);
