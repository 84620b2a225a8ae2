/* The listening sockets: for each address one socket per worker, made before the first fork and kept open by
 * the master for life. So connections that wait for a worker that died are served by its successor, and a
 * port is never free for somebody else while the broker runs.
 *
 * TCP sockets share their port by SO_REUSEPORT, over which the kernel spreads connections. For unix sockets
 * it does not, so there all workers hold the same socket. */
#pragma once

#include <stddef.h>

#include "compiler.h"
#include "config.h"

struct listeners;

/* As many connections wait for accept(2) as the kernel allows (net.core.somaxconn caps this). */
enum { LISTEN_BACKLOG = 4096 };

/* Opens everything or nothing: NULL after telling in the log which address failed and why. An address that
 * another process listens on is refused, even where SO_REUSEPORT would let us in. Port 0 takes any free port,
 * the same for all workers. A socket file that nobody answers on is replaced; its mode is 0660. */
struct listeners *listeners_open(const struct strings *addresses, unsigned workers) MUST_CHECK;
/* The sockets of one worker, one for each address; lent, all non-blocking and close-on-exec. */
const int *listeners_of(const struct listeners *l, unsigned worker, size_t *count);
/* The address as text, with the real port: "127.0.0.1:43211", "tls:127.0.0.1:43211". */
const char *listeners_name(const struct listeners *l, size_t address);
/* Closes the sockets and removes the files of unix sockets. Accepts NULL. */
void listeners_close(struct listeners **l);
