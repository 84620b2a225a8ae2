/* Random bytes from the kernel, for ids and secrets. */
#pragma once

#include <stddef.h>

void random_bytes(void *out, size_t len);

/* A version 4 UUID (RFC 9562, 5.4): 16 bytes, and as text of 36 characters. */
enum { UUID_LEN = 16, UUID_TEXT_LEN = 36 };
void uuid_make(unsigned char out[UUID_LEN]);
void uuid_format(const unsigned char uuid[UUID_LEN], char text[UUID_TEXT_LEN + 1]);
