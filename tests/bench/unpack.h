/* WebSocket messages of a server that compresses them (permessage-deflate without context takeover), for the
 * one measurement that needs it. */
#pragma once

#include <stddef.h>

/* Puts what was read behind what is left of the last time; *packed grows as is needed. */
void unpack_put(char **packed, size_t *packed_len, const char *data, size_t len);
/* Takes the first whole frame out and returns its text, which is there until the next call. NULL: there is
 * none. */
char *unpack_next(char *packed, size_t *packed_len, size_t *text_len);
