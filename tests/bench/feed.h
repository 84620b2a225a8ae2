/* Who publishes: one connection to the Redis of a broker, to a floor or to a peer. */
#pragma once

#include <stddef.h>

#include "dialect.h"
#include "plan.h"

struct feed {
	int fd;
	const struct dialect *dialect;
	struct saying out;
	char *data;
	size_t data_size;
};

/* Address: "unix:/PATH" or the number of a port on loopback. The socket is added to the epoll with NULL. */
void feed_open(struct feed *f, const struct dialect *dialect, const char *address, size_t data_size,
               int epoll);
/* Puts a message behind others that are not yet sent. */
void feed_put(struct feed *f, const struct message *m);
/* Sends them in one write. */
void feed_flush(struct feed *f);
/* Reads answers and forgets them. `feed` is a struct feed. */
void feed_drain(void *feed);
