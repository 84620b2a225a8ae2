/* TLS for accepted connections: certificates and keys from files, and a stream_layer that makes a stream of
 * an encrypted socket. TLS 1.2 and 1.3 (RFC 5246, RFC 8446), without compression and renegotiation; ALPN
 * http/1.1; the certificate follows the name that the client asks for (SNI); OCSP responses are stapled.
 *
 * Sessions are resumed by tickets (RFC 5077) only, so nothing is kept for them here. Their keys come from a
 * secret that is drawn when the object is made, and the time: made before a fork, the processes resume each
 * other's sessions. A session that was begun with other authorities of clients is not resumed.
 */
#pragma once

#include "buf.h"
#include "config.h"
#include "stream.h"
#include "tls_bundle.h"

struct tls_server;

/* Of the files of config->tls. NULL when one cannot be used; then each problem is a line in `errors` that
 * names the option and the file. */
struct tls_server *tls_server_new(const struct config *config, const struct tls_bundle *bundle,
                                  struct buf *errors) MUST_CHECK;
/* After its streams. Accepts NULL. */
void tls_server_free(struct tls_server **server);
/* New connections get what is in the bundle; those that are there, also in their handshake, live on with what
 * they began with. All or nothing: on false, with `errors` as above, everything is as it was. */
bool tls_server_load(struct tls_server *server, const struct tls_bundle *bundle,
                     struct buf *errors) MUST_CHECK;
/* Tells of each certificate in a line: its subject, and how long it is valid; and, as a warning in a line of
 * its own, when that is over, not yet so, or soon over. */
void tls_server_describe(const struct tls_server *server, void (*tell)(bool is_warning, const char *line));
/* Forgets the ticket keys that are past; milliseconds until the next time. */
uint64_t tls_server_turn_keys(struct tls_server *server);

/* As stream_attach(): takes the socket over, whose peer begins a handshake. Until that is done, reading and
 * writing say STREAM_AGAIN. A handshake that fails, or takes longer than tls.handshake_timeout, is an error
 * of the stream. So is that of the oldest when there are more than tls.handshake_limit: who is slow gives
 * way, and nobody can keep others out. False when there is no memory; then the socket is closed.
 *
 * What is written leaves in records of up to 16 KiB, one for each call of stream_writev(), however many
 * pieces it is. */
bool tls_accept(struct tls_server *server, struct stream *s, int fd) MUST_CHECK;
