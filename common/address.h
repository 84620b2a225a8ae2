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
/* The address in the writing of an address to listen on, where "tls:" before it asks for TLS. */
const char *address_without_tls(const char *text, bool *tls);
/* "127.0.0.1:8080", "[::1]:8080", "unix:/path"; an IPv4 peer of a socket for both is written as IPv4. */
void address_format(const struct address *a, char text[ADDRESS_TEXT_MAX]);
