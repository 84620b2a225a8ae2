/* Memory for many objects of one size: nothing stands between them, where malloc(3) puts 8 bytes before each
 * and rounds up to 16. Objects that are made one after the other lie side by side. Taken from the system in
 * pieces of SLAB_PIECE bytes, and given back piece by piece. For objects that are counted in ten thousands:
 * the three of an idle connection take 448 bytes in place of 496. */
#pragma once

#include <stddef.h>

enum { SLAB_PIECE = 64 << 10 };

struct slab;

/* size: bytes of an object, at most a hundredth of a piece. */
struct slab *slab_new(size_t size);
/* No more objects will come from it; its memory goes with the last one. Sets *s to NULL. */
void slab_close(struct slab **s);
/* A zeroed object, aligned for pointers; aborts when there is no memory. */
void *slab_alloc(struct slab *s);
/* NULL: nothing. */
void slab_free(void *object);
