/* The header with which a load balancer says for whom it connects: PROXY protocol, versions 1 (a line) and 2
 * (binary), https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt. Pure. Extensions (TLVs) are looked
 * at for a checksum, which must be right, and skipped. */
#pragma once

#include <stdint.h>

#include "bytes.h"
#include "compiler.h"
#include "ip.h"

/* Of version 1 by definition. Of version 2 a ceiling of ours: what is known to be sent is a tenth of it. */
enum { PROXY_LINE_MAX = 107, PROXY_HEADER_MAX = 4096 };

enum proxy_result {
	PROXY_PARTIAL, /* present it all again with more bytes */
	PROXY_COMPLETE,
	PROXY_BAD, /* header->error: break the connection off, there is nobody to answer */
};

struct proxy_header {
	/* Bytes at the front of the data that belong to the header, for certain. With PROXY_PARTIAL, too:
	 * what may follow it, the first bytes of TLS, is not to be taken away from others. */
	size_t len;
	/* The connection is the load balancer's own, or nothing can be said: the peer is who he is. */
	bool local;
	struct ip source; /* else */
	uint16_t source_port;
	const char *error;
};

enum proxy_result proxy_header_parse(struct bytes data, struct proxy_header *header) MUST_CHECK;
