/* The worker's side of CONTROL_TLS_FILES. The master's is in worker.h. */
#pragma once

#include "config.h"
#include "tls.h"

/* What came with the message; -1: nothing. Goes on with what it has when it is of no use. */
void worker_take_tls(const struct config *config, struct tls_server *tls, int file);
