#include "ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"
#include "units.h"

enum { MAPPED_LEN = IP_LEN - IP4_LEN, MAPPED_BITS = 8 * MAPPED_LEN, BITS_LEN_MAX = 3 };

/* ::ffff:0:0/96 (RFC 4291, 2.5.5.2). */
static const uint8_t mapped[MAPPED_LEN] = {[10] = 0xff, [11] = 0xff};

void ip_from_4(const uint8_t bytes[IP4_LEN], struct ip *out)
{
	memcpy(out->bytes, mapped, MAPPED_LEN);
	memcpy(out->bytes + MAPPED_LEN, bytes, IP4_LEN);
}

bool ip_parse(struct bytes text, struct ip *out)
{
	char copy[INET6_ADDRSTRLEN];
	uint8_t v4[IP4_LEN];

	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL)
		return false;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (inet_pton(AF_INET, copy, v4) != 1)
		return inet_pton(AF_INET6, copy, out->bytes) == 1;
	ip_from_4(v4, out);
	return true;
}

bool ip_is_4(const struct ip *ip)
{
	return memcmp(ip->bytes, mapped, MAPPED_LEN) == 0;
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
	return memcmp(a->bytes, b->bytes, IP_LEN) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
	static const struct ip loopback6 = {{[IP_LEN - 1] = 1}};

	return ip_is_4(ip) ? ip->bytes[MAPPED_LEN] == 127 : ip_eq(ip, &loopback6);
}

void ip_format(const struct ip *ip, uint16_t port, char text[IP_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?";
	bool v4 = ip_is_4(ip);

	inet_ntop(v4 ? AF_INET : AF_INET6, ip->bytes + (v4 ? MAPPED_LEN : 0), host, sizeof(host));
	if (port == 0)
		snprintf(text, IP_TEXT_MAX, "%s", host);
	else
		snprintf(text, IP_TEXT_MAX, v4 ? "%s:%u" : "[%s]:%u", host, port);
}

bool ip_of_address(const struct address *a, struct ip *ip, uint16_t *port)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	switch (a->sa.any.sa_family) {
	case AF_INET:
		memcpy(&v4, &a->sa, sizeof(v4));
		ip_from_4((const uint8_t *)&v4.sin_addr, ip);
		*port = ntohs(v4.sin_port);
		return true;
	case AF_INET6:
		memcpy(&v6, &a->sa, sizeof(v6));
		memcpy(ip->bytes, &v6.sin6_addr, IP_LEN);
		*port = ntohs(v6.sin6_port);
		return true;
	default: return false;
	}
}

void ip_to_address(const struct ip *ip, uint16_t port, struct address *out)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memcpy(&v6.sin6_addr, ip->bytes, IP_LEN);
	*out = (struct address){.len = sizeof(v6)};
	memcpy(&out->sa, &v6, sizeof(v6));
}

/* --- ranges --- */

static bool bits_eq(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

static bool is_zero_from(const struct ip *ip, unsigned bits)
{
	static const struct ip zero;
	struct ip rest = *ip;

	memset(rest.bytes, 0, bits / 8);
	if (bits % 8 != 0)
		rest.bytes[bits / 8] &= (uint8_t)(0xff >> bits % 8);
	return ip_eq(&rest, &zero);
}

static bool parse_bits(const char *text, unsigned most, unsigned *bits)
{
	uint64_t n;

	if (strlen(text) > BITS_LEN_MAX || !units_parse_number(BYTES_OF_STR(text), &n) || n > most)
		return false;
	*bits = (unsigned)n;
	return true;
}

bool ip_range_parse(const char *text, struct ip_range *out, const char **reason)
{
	const char *slash = strchr(text, '/');
	struct bytes host = {text, slash != NULL ? (size_t)(slash - text) : strlen(text)};
	unsigned most, bits;

	*reason = "must be an address, a range such as 10.0.0.0/8 or 2001:db8::/32, or unix";
	if (!ip_parse(host, &out->first))
		return false;
	/* An address that is written in the way of IPv6 has its bits counted in that way, too. */
	most = memchr(host.ptr, ':', host.len) != NULL ? IP_BITS : 8 * IP4_LEN;
	bits = most;
	if (slash != NULL && !parse_bits(slash + 1, most, &bits))
		return false;
	out->bits = (uint8_t)(bits + IP_BITS - most);
	if (!is_zero_from(&out->first, out->bits)) {
		*reason = "must not have bits set behind its prefix";
		return false;
	}
	return true;
}

bool ip_range_has(const struct ip_range *range, const struct ip *ip)
{
	bool range_is_4 = range->bits >= MAPPED_BITS && ip_is_4(&range->first);

	return range_is_4 == ip_is_4(ip) && bits_eq(range->first.bytes, ip->bytes, range->bits);
}

/* --- sets --- */

static bool is_unix(const char *item)
{
	return strcmp(item, "unix") == 0;
}

bool peer_set_check(const char *item, const char **reason)
{
	struct ip_range range;

	return is_unix(item) || ip_range_parse(item, &range, reason);
}

void peer_set_init(struct peer_set *set, const struct strings *items)
{
	const char *reason;

	*set = (struct peer_set){0};
	if (items->count == 0)
		return;
	set->ranges = mem_alloc(items->count * sizeof(*set->ranges));
	for (size_t i = 0; i < items->count; i++) {
		if (is_unix(items->items[i]))
			set->unix_sockets = true;
		else if (ip_range_parse(items->items[i], &set->ranges[set->count], &reason))
			set->count++;
	}
}

void peer_set_free(struct peer_set *set)
{
	mem_free(set->ranges);
	*set = (struct peer_set){0};
}

bool peer_set_has(const struct peer_set *set, const struct ip *ip)
{
	for (size_t i = 0; i < set->count; i++) {
		if (ip_range_has(&set->ranges[i], ip))
			return true;
	}
	return false;
}
