#include "frame.h"

#include <assert.h>
#include <string.h>

#include "mem.h"

struct frame *frame_new(size_t len)
{
	struct frame *f;

	if (len > UINT32_MAX)
		return NULL;
	f = mem_try_alloc(sizeof(*f) + len);
	if (f == NULL)
		return NULL;
	f->refs = 1;
	f->len = (uint32_t)len;
	return f;
}

struct frame *frame_copy(struct bytes bytes)
{
	struct frame *f = frame_new(bytes.len);

	if (f != NULL && bytes.len > 0)
		memcpy(f->data, bytes.ptr, bytes.len);
	return f;
}

struct frame *frame_ref(struct frame *f)
{
	assert(f->refs > 0);
	f->refs++;
	return f;
}

void frame_unref(struct frame **f)
{
	if (*f == NULL)
		return;
	assert((*f)->refs > 0);
	if (--(*f)->refs == 0)
		mem_free(*f);
	*f = NULL;
}
