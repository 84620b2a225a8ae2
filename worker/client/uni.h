/* Unidirectional sessions (client protocol 23): one connect request in, bare pushes out. A session in all
 * other respects. */
#pragma once

#include "bytes.h"
#include "codes.h"
#include "conn.h"

struct session;

extern const struct ws_app uni_app;

/* Connects with a bare connect request. */
void uni_connect(struct session *s, struct bytes request);
/* There is no reply to carry an error of connect: it becomes a disconnect. */
void uni_refuse(struct session *s, enum error_code error);
