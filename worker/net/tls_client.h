/* TLS for connections that we make: whom to trust and what to show, from files, and a stream that speaks TLS
 * to one host, or to several of one kind. TLS 1.2 and 1.3; the other side's certificate is checked against
 * authorities and a name (RFC 9525: the alternative names count, the common name does not).
 *
 * Sessions are not resumed: Redis draws the keys of its tickets when it starts, so that after a restart, when
 * all connections are made anew at once, it would take none of them. */
#pragma once

#include "buf.h"
#include "config.h"
#include "stream.h"

struct tls_client;

/* Reads the files of the options, which stand in the section ("redis.tls") for messages. host is the name or
 * the address that the other side's certificate must be for, unless the options name another; NULL: what
 * tls_connect() says each time. NULL when something cannot be used; then each problem is a line in `errors`
 * that names the option and the file. */
struct tls_client *tls_client_new(const struct tls_client_options *o, const char *section, const char *host,
                                  struct buf *errors) MUST_CHECK;
/* After its streams. Accepts NULL. */
void tls_client_free(struct tls_client **client);

/* As stream_connect(): when on_writable says that the connection is there, the handshake is done and the
 * other side is who it should be. The errno of what is not right in TLS is EPROTO, and stream_reason() tells
 * more; so it is with reading, as a server may refuse our certificate only when the handshake is over for us
 * (RFC 8446, 4.4.2.4). host: whom the certificate must be for, where the client does not know it already. Has
 * no deadline of its own. */
bool tls_connect(struct tls_client *client, struct stream *s, const struct address *to,
                 const char *host) MUST_CHECK;
