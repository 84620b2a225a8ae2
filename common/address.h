/* Addresses as people write them, for listening and for reaching Redis. Numeric addresses, localhost
 * and unix paths only: a worker, which may not block, resolves other names by itself. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "compiler.h"

struct address {
	socklen_t len;
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_storage storage;
	} sa;
};

enum { ADDRESS_TEXT_MAX = 128 };

/* "127.0.0.1:8080", "localhost:8080" (the same), "[::1]:8080", ":8080" (all addresses, IPv6 with IPv4: the
 * socket must not be IPV6_V6ONLY), "unix:/path" or "unix:///path". False with a reason (a static text)
 * otherwise. Port 0 lets the kernel choose. */
bool address_parse(const char *text, struct address *out, const char **reason) MUST_CHECK;
/* How it is spoken at an address to listen on: words before it, in any order. */
struct address_manner {
	bool tls;     /* "tls:127.0.0.1:8443" */
	bool deflate; /* "deflate:127.0.0.1:8080": messages may be compressed, whatever holds elsewhere */
};
/* The address itself, without these words. */
const char *address_manner(const char *text, struct address_manner *out);
/* "127.0.0.1:8080", "[::1]:8080", "unix:/path"; an IPv4 peer of a socket for both is written as IPv4. */
void address_format(const struct address *a, char text[ADDRESS_TEXT_MAX]);
