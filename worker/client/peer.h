/* Who is at the other end, in as few bytes as that takes: a worker holds many of them. */
#pragma once

#include <netinet/in.h>

#include "address.h"

struct peer {
	uint8_t family; /* AF_INET, AF_INET6, or AF_UNIX, of which there is nothing more to know */
	in_port_t port;
	struct in6_addr addr; /* IPv4 in the first four bytes */
};

void peer_remember(struct peer *p, const struct address *a);
/* "127.0.0.1:4711", "[::1]:4711", "unix". */
void peer_format(const struct peer *p, char text[ADDRESS_TEXT_MAX]);
