#include "peer.h"

#include <string.h>

void peer_remember(struct peer *p, const struct address *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->sa.storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->sa.storage;

	p->family = (uint8_t)a->sa.any.sa_family;
	if (p->family == AF_INET) {
		p->port = v4->sin_port;
		memcpy(&p->addr, &v4->sin_addr, sizeof(v4->sin_addr));
	} else if (p->family == AF_INET6) {
		p->port = v6->sin6_port;
		p->addr = v6->sin6_addr;
	}
}

static void to_address(const struct peer *p, struct address *a)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->sa.storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->sa.storage;

	*a = (struct address){.len = sizeof(*v6)};
	a->sa.any.sa_family = p->family;
	if (p->family == AF_INET) {
		v4->sin_port = p->port;
		memcpy(&v4->sin_addr, &p->addr, sizeof(v4->sin_addr));
	} else {
		v6->sin6_port = p->port;
		v6->sin6_addr = p->addr;
	}
}

void peer_format(const struct peer *p, char text[ADDRESS_TEXT_MAX])
{
	struct address a;

	if (p->family == AF_UNIX) {
		memcpy(text, "unix", sizeof("unix"));
		return;
	}
	to_address(p, &a);
	address_format(&a, text);
}
