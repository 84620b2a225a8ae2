/* The address of a Redis as people write it:
 *     redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]      HOST may be [IPv6]; port 6379, database 0
 *     rediss://...                                    the same over TLS
 *     unix:/path, unix:///path
 * USER and PASSWORD are percent-encoded where they hold one of :/?#[]@% (RFC 3986, 3.2.1). Only parses,
 * and resolves no name. */
#pragma once

#include <stdbool.h>

#include "bytes.h"
#include "compiler.h"

#define REDIS_PORT    "6379"
#define SENTINEL_PORT "26379" /* the usual one of a Redis Sentinel */

struct redis_url {
	bool is_unix;
	bool tls;
	char *host;     /* without brackets; NULL if is_unix */
	char *port;     /* digits, 1 to 65535; NULL if is_unix */
	char *path;     /* NULL unless is_unix */
	char *user;     /* decoded; NULL: none, the default user */
	char *password; /* decoded; NULL: none */
	int db;
};

/* False with a reason (a static text that repeats no part of the address, as it may hold a password); then
 * there is nothing to free. */
bool redis_url_parse(const char *text, struct redis_url *out, const char **reason) MUST_CHECK;
/* What can stand for HOST, without brackets, and for PORT. */
bool redis_url_is_host(struct bytes host);
bool redis_url_is_port(struct bytes port);
/* HOST[:PORT] alone, into host and port; otherwise as redis_url_parse(). */
bool redis_url_parse_host(const char *text, const char *default_port, struct redis_url *out,
                          const char **reason) MUST_CHECK;
/* Leaves it zeroed; may be called again, and on a zeroed one. */
void redis_url_free(struct redis_url *url);
/* The address with *** in place of the password, for people to read: still an address that parses, if it was
 * one. Free with mem_free(). */
char *redis_url_mask(const char *text) MUST_CHECK;
