/* A run of bytes ready to be sent: made once, shared by every connection that sends it, never changed.
 * Counted references; not for more than one thread. */
#pragma once

#include <stdint.h>

#include "bytes.h"
#include "compiler.h"

struct frame {
	uint32_t refs;
	uint32_t len;
	char data[];
};

/* A frame of len bytes to be filled by the caller before anybody else sees it; one reference. NULL when there
 * is no memory. */
struct frame *frame_new(size_t len) MUST_CHECK;
/* A copy of the bytes; NULL when there is no memory. */
struct frame *frame_copy(struct bytes bytes) MUST_CHECK;
struct frame *frame_ref(struct frame *f);
/* Drops a reference and sets the pointer to NULL; NULL is fine. The last one frees. */
void frame_unref(struct frame **f);
