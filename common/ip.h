/* IP addresses without a socket around them, and sets of them as people write them: "10.0.0.0/8". IPv4 is
 * kept as IPv6 does, ::ffff:10.0.0.1, so an IPv4 peer of a socket for both is the same as one of an IPv4
 * socket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "bytes.h"
#include "compiler.h"
#include "config.h"

enum { IP_LEN = 16, IP4_LEN = 4, IP_BITS = 128, IP_TEXT_MAX = 64 };

struct ip {
	uint8_t bytes[IP_LEN];
};

/* A numeric address, without a zone. */
bool ip_parse(struct bytes text, struct ip *out) MUST_CHECK;
void ip_from_4(const uint8_t bytes[IP4_LEN], struct ip *out);
bool ip_is_4(const struct ip *ip);
bool ip_eq(const struct ip *a, const struct ip *b);
/* The host itself: 127.0.0.0/8, ::1. */
bool ip_is_loopback(const struct ip *ip);
/* "10.0.0.1:80", "[::1]:80"; with port 0 "10.0.0.1", "::1". */
void ip_format(const struct ip *ip, uint16_t port, char text[IP_TEXT_MAX]);
/* False when the address is none of an IP socket. */
bool ip_of_address(const struct address *a, struct ip *ip, uint16_t *port);
void ip_to_address(const struct ip *ip, uint16_t port, struct address *out);

/* The addresses that begin with the same bits. A range of IPv6 holds no IPv4: ::/0 is every IPv6 address. */
struct ip_range {
	struct ip first;
	uint8_t bits;
};

/* "10.0.0.0/8", "2001:db8::/32", or one address. False with a reason (a static text) otherwise, also when a
 * bit is set behind the prefix: 10.0.0.1/8 may mean two things. */
bool ip_range_parse(const char *text, struct ip_range *out, const char **reason) MUST_CHECK;
bool ip_range_has(const struct ip_range *range, const struct ip *ip);

/* Peers that may speak for others. */
struct peer_set {
	struct ip_range *ranges;
	size_t count;
	bool unix_sockets; /* whoever comes over a unix socket */
};

/* Whether an item is a range or "unix". */
bool peer_set_check(const char *item, const char **reason);
/* From items that passed the check. */
void peer_set_init(struct peer_set *set, const struct strings *items);
void peer_set_free(struct peer_set *set);
bool peer_set_has(const struct peer_set *set, const struct ip *ip);
