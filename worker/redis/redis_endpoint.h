/* Where Redis is and who we are there: the parsed address of the configuration. A host name stays a name: it
 * is resolved anew for each connection (redis_resolver), as a Redis that failed over may have moved. */
#pragma once

#include <stdbool.h>

#include "address.h"
#include "redis_url.h"

struct tls_client;

struct redis_endpoint {
	struct redis_url url;
	struct tls_client *tls; /* how TLS is spoken there; NULL: it is not */
	bool named;             /* url.host is to be resolved; otherwise there is an address */
	struct address address;
	char text[ADDRESS_TEXT_MAX]; /* for humans, without the password */
	const char *error;           /* why one cannot connect to it at all; NULL: one can */
	bool may_be_replica;         /* otherwise a Redis must be a master */
	bool in_cluster;             /* it must be a node of a Redis Cluster; otherwise it must be none */
	bool is_sentinel;            /* it must be one; otherwise it must be a Redis, and a master */
};

/* Who we are there; NULL: nobody in particular. */
struct redis_account {
	const char *user;
	const char *password;
	int db;
};

/* Takes the address as the configuration has it; problems are kept in `error` and met when connecting. Lends
 * tls, which an address of rediss:// needs and others do not look at. */
void redis_endpoint_init(struct redis_endpoint *e, const char *address, struct tls_client *tls);
/* The same from its parts, valid ones (redis_url.h); they are copied. TLS is spoken if there is a tls. */
void redis_endpoint_init_at(struct redis_endpoint *e, const char *host, const char *port,
                            const struct redis_account *login, struct tls_client *tls);
void redis_endpoint_free(struct redis_endpoint *e);
