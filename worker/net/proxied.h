/* Accepted sockets on which a load balancer first says for whom it connects (proxy_header.h). What follows
 * the header is left in the socket: it may be TLS. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "loop.h"

struct proxied;

/* on_client takes the socket over, as it was given to proxied_accept(), with the address of the client, or of
 * the load balancer where it connects on its own behalf; ctx is that of the set, and note that of the socket.
 */
struct proxied *
proxied_new(struct loop *l,
            void (*on_client)(void *ctx, int fd, const struct address *client, const void *note), void *ctx);
/* Closes those that wait. Accepts NULL. */
void proxied_free(struct proxied **p);
/* Takes over a non-blocking socket. It is closed when the header is bad, or not there in time. */
void proxied_accept(struct proxied *p, int fd, const struct address *peer, const void *note,
                    uint64_t timeout_ms);
/* Those that wait. */
size_t proxied_count(const struct proxied *p);
