#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "units.h"

enum { PORT_MAX = 65535, PORT_LEN_MAX = 5 };

static bool parse_unix(const char *path, struct address *out, const char **reason)
{
	size_t len;

	/* unix:///path is the same as unix:/path. */
	if (strncmp(path, "///", 3) == 0)
		path += 2;
	len = strlen(path);
	if (path[0] != '/' || path[1] == '/') {
		*reason = "the path of a unix socket must begin with one /";
		return false;
	}
	if (len >= sizeof(out->sa.un.sun_path)) {
		*reason = "the path of a unix socket must be shorter than 108 bytes";
		return false;
	}
	out->sa.un.sun_family = AF_UNIX;
	memcpy(out->sa.un.sun_path, path, len + 1);
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	return true;
}

/* 0 to 65535 in plain digits. */
static bool parse_port(const char *text, in_port_t *port)
{
	uint64_t n;

	if (strlen(text) > PORT_LEN_MAX || !units_parse_number(BYTES_OF_STR(text), &n) || n > PORT_MAX)
		return false;
	*port = htons((in_port_t)n);
	return true;
}

static void set_ip6(struct address *out, struct in6_addr host, in_port_t port)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = host, .sin6_port = port};

	memcpy(&out->sa, &in6, sizeof(in6));
	out->len = sizeof(in6);
}

static void set_ip4(struct address *out, struct in_addr host, in_port_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = host, .sin_port = port};

	memcpy(&out->sa, &in, sizeof(in));
	out->len = sizeof(in);
}

/* The one name whose meaning nobody has to be asked for (RFC 6761 6.3). */
static bool parse_ip4(const char *host, struct in_addr *ip4)
{
	return inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, ip4) == 1;
}

static bool set_host(const char *host, bool bracketed, in_port_t port, struct address *out)
{
	struct in_addr ip4;
	struct in6_addr ip6;

	if (!bracketed && host[0] == '\0') {
		set_ip6(out, in6addr_any, port);
		return true;
	}
	if (bracketed) {
		if (inet_pton(AF_INET6, host, &ip6) != 1)
			return false;
		set_ip6(out, ip6, port);
		return true;
	}
	if (!parse_ip4(host, &ip4))
		return false;
	set_ip4(out, ip4, port);
	return true;
}

bool address_parse(const char *text, struct address *out, const char **reason)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');
	bool bracketed = text[0] == '[';
	size_t len;
	in_port_t port;

	*out = (struct address){0};
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out, reason);
	*reason = "must be IPV4:PORT, [IPV6]:PORT, :PORT or unix:/PATH, with a numeric address or localhost";
	if (colon == NULL || (bracketed && (colon == text || colon[-1] != ']')))
		return false;
	if (!parse_port(colon + 1, &port)) {
		*reason = "the port must be a number from 0 to 65535";
		return false;
	}
	len = (size_t)(colon - text) - (bracketed ? 2 : 0);
	if (len >= sizeof(host))
		return false;
	memcpy(host, text + (bracketed ? 1 : 0), len);
	host[len] = '\0';
	return set_host(host, bracketed, port, out);
}

/* A word that is said twice is left, and no host. */
static bool take_word(const char **text, const char *word, bool *said)
{
	size_t len = strlen(word);

	if (*said || strncmp(*text, word, len) != 0)
		return false;
	*said = true;
	*text += len;
	return true;
}

const char *address_manner(const char *text, struct address_manner *out)
{
	*out = (struct address_manner){0};
	while (take_word(&text, "tls:", &out->tls) || take_word(&text, "deflate:", &out->deflate))
		continue;
	return text;
}

static void format_ip6(const struct sockaddr_in6 *in6, char text[ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
		snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in6->sin6_port));
		return;
	}
	inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
	snprintf(text, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
}

static void format_ip4(const struct sockaddr_in *in, char text[ADDRESS_TEXT_MAX])
{
	char host[INET_ADDRSTRLEN] = "?";

	inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
	snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in->sin_port));
}

/* The kernel leaves the path of a client that is bound to none out of the length. */
static void format_unix(const struct address *a, char text[ADDRESS_TEXT_MAX])
{
	size_t room = a->len > offsetof(struct sockaddr_un, sun_path)
	                      ? a->len - offsetof(struct sockaddr_un, sun_path)
	                      : 0;

	snprintf(text, ADDRESS_TEXT_MAX, "unix:%.*s", (int)room, a->sa.un.sun_path);
}

void address_format(const struct address *a, char text[ADDRESS_TEXT_MAX])
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	switch (a->sa.any.sa_family) {
	case AF_UNIX: format_unix(a, text); return;
	case AF_INET:
		memcpy(&in, &a->sa, sizeof(in));
		format_ip4(&in, text);
		return;
	case AF_INET6:
		memcpy(&in6, &a->sa, sizeof(in6));
		format_ip6(&in6, text);
		return;
	default: snprintf(text, ADDRESS_TEXT_MAX, "unknown"); return;
	}
}
