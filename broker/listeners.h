/* The listening sockets: for each address one socket per worker, made before the first fork and kept open by
 * the master for life. So connections that wait for a worker that died are served by its successor, and a
 * port is never free for somebody else while the broker runs. Where the successor takes long, the sockets are
 * parked: still bound, but no connection comes in.
 *
 * TCP sockets share their port by SO_REUSEPORT, over which the kernel spreads connections. For unix sockets
 * it does not, so there all workers hold the same socket. */
#pragma once

#include <stdbool.h>
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
/* From now on the other workers get the connections that this one would have got on TCP addresses, and those
 * that wait for it are reset: they do better to come again. To be called by the only holder of the sockets;
 * again is harmless. Unix sockets, which all workers share, go on. */
void listeners_park(const struct listeners *l, unsigned worker);
/* It gets its share again, also if it was not parked. False after telling in the log what does not listen. */
bool listeners_unpark(const struct listeners *l, unsigned worker);
/* The address as text, with the real port: "127.0.0.1:43211", "tls:127.0.0.1:43211". */
const char *listeners_name(const struct listeners *l, size_t address);
/* Closes the sockets and removes the files of unix sockets. Accepts NULL. */
void listeners_close(struct listeners **l);
