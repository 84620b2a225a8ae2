/* Accepts connections from the listening sockets that the master holds. Bounded per turn. When descriptors
 * run out, one that was kept in reserve serves to accept those that come, tell them and close: they need not
 * wait for what may take long, and the loop does not spin. Without even that it pauses. */
#pragma once

#include "address.h"
#include "bytes.h"
#include "loop.h"

struct listener;

/* on_accept takes over the new socket, non-blocking and close-on-exec. The listening one is lent. */
struct listener *listener_new(struct loop *l, int fd,
                              void (*on_accept)(void *ctx, int fd, const struct address *peer), void *ctx);
/* What those are told who come when there is no descriptor left; nothing by default. Lent. */
void listener_answer(struct listener *ln, struct bytes answer);
/* Stops accepting; connections in the queue are left to others or to a successor. */
void listener_free(struct listener **l);

/* For a socket that was accepted, but is not to be served: sends the answer, as far as it fits into the
 * socket, and closes. What the peer has sent so far is read first, since closing over it would be a reset,
 * which destroys the answer. */
void listener_refuse(int fd, struct bytes answer);
