#include "peer.h"

#include <string.h>

void peer_remember(struct peer *p, const struct address *a)
{
	*p = (struct peer){0};
	p->is_unix = !ip_of_address(a, &p->ip, &p->port);
}

void peer_format(const struct peer *p, char text[PEER_TEXT_MAX])
{
	if (p->is_unix)
		memcpy(text, "unix", sizeof("unix"));
	else
		ip_format(&p->ip, p->port, text);
}
