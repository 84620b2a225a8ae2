/* The opening handshake of WebSocket, server's side (RFC 6455, section 4.2). Pure. */
#pragma once

#include "buf.h"
#include "bytes.h"
#include "compiler.h"
#include "deflate_offer.h"
#include "http1.h"

enum { WS_KEY_LEN = 24, WS_ACCEPT_LEN = 28 };

/* 0 when the request is a good upgrade to WebSocket version 13; else the status to refuse with (400, 405,
 * 426) and why. A 426 must carry "Sec-WebSocket-Version: 13". */
int ws_handshake_check(const struct http1_request *req, const char **error) MUST_CHECK;
/* Whether the request wants WebSocket at all (Upgrade: websocket), well or badly. */
bool ws_handshake_wanted(const struct http1_request *req);
/* base64(SHA-1(key + GUID)), not terminated (4.2.2). */
void ws_handshake_accept(struct bytes key, char accept[WS_ACCEPT_LEN]);
/* The first offered subprotocol that is in the NULL-terminated list; NULL when none is, nothing is offered,
 * or the header is empty. */
const char *ws_handshake_subprotocol(const struct http1_request *req, const char *const *known);
/* The 101 response. subprotocol NULL, deflate NULL: no such header. */
void ws_handshake_response(struct buf *out, const struct http1_request *req, const char *subprotocol,
                           const struct deflate_agreed *deflate);
