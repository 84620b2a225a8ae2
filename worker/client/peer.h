/* Who is at the other end, in as few bytes as that takes: a worker holds many of them. */
#pragma once

#include "address.h"
#include "ip.h"

struct peer {
	struct ip ip;
	uint16_t port; /* 0: not known */
	bool is_unix;  /* then there is nothing more to know */
};

enum { PEER_TEXT_MAX = IP_TEXT_MAX };

void peer_remember(struct peer *p, const struct address *a);
/* "127.0.0.1:4711", "[::1]:4711", "unix". */
void peer_format(const struct peer *p, char text[PEER_TEXT_MAX]);
