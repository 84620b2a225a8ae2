/* A piece is aligned to its size, so that an object finds the piece that it is in by its address. Pieces with
 * room are in a list; one piece that became empty is kept, so that a single object that comes and goes does
 * not ask the system each time. */
#include "slab.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "list.h"
#include "mem.h"

/* Its macros do nothing without AddressSanitizer. With it, what is not handed out may not be touched, as with
 * memory from malloc(3). */
#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(ptr, len)   ((void)(ptr), (void)(len))
#define ASAN_UNPOISON_MEMORY_REGION(ptr, len) ((void)(ptr), (void)(len))
#endif

/* What a free object begins with. */
struct vacancy {
	struct vacancy *next;
};

struct piece {
	struct list node; /* in slab->roomy, when there is room */
	struct slab *slab;
	struct vacancy *vacant; /* objects that were freed */
	uint32_t fresh;         /* offset of what was never handed out */
	uint32_t used;          /* objects */
};

struct slab {
	size_t size;
	struct list roomy;
	struct piece *spare; /* empty */
	size_t pieces;       /* the spare one included */
	bool closed;
};

static struct piece *piece_of(void *object)
{
	return (struct piece *)((char *)object - ((uintptr_t)object & (SLAB_PIECE - 1)));
}

/* The system aligns to pages only: maps twice as much, and gives back what is before and behind. */
static void *map_aligned(void)
{
	char *all = mmap(NULL, 2 * SLAB_PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (all == MAP_FAILED) {
		fprintf(stderr, "fanfare: out of memory\n");
		abort();
	}
	before = (SLAB_PIECE - ((uintptr_t)all & (SLAB_PIECE - 1))) & (SLAB_PIECE - 1);
	if (before > 0)
		munmap(all, before);
	munmap(all + before + SLAB_PIECE, SLAB_PIECE - before);
	return all + before;
}

static struct piece *piece_new(struct slab *s)
{
	struct piece *p = map_aligned();

	*p = (struct piece){.slab = s, .fresh = sizeof(*p)};
	ASAN_POISON_MEMORY_REGION(p + 1, SLAB_PIECE - sizeof(*p));
	s->pieces++;
	return p;
}

static void piece_free(struct piece *p)
{
	p->slab->pieces--;
	ASAN_UNPOISON_MEMORY_REGION(p, SLAB_PIECE);
	munmap(p, SLAB_PIECE);
}

static bool has_room(const struct piece *p)
{
	return p->vacant != NULL || p->fresh + p->slab->size <= SLAB_PIECE;
}

struct slab *slab_new(size_t size)
{
	struct slab *s = mem_alloc(sizeof(*s));

	assert(size >= sizeof(struct vacancy) && size <= SLAB_PIECE / 100);
	s->size = (size + sizeof(void *) - 1) / sizeof(void *) * sizeof(void *);
	list_init(&s->roomy);
	return s;
}

static void free_if_done(struct slab *s)
{
	if (s->closed && s->pieces == 0)
		mem_free(s);
}

void slab_close(struct slab **s)
{
	if (*s == NULL)
		return;
	(*s)->closed = true;
	if ((*s)->spare != NULL)
		piece_free((*s)->spare);
	(*s)->spare = NULL;
	free_if_done(*s);
	*s = NULL;
}

static struct piece *roomy_piece(struct slab *s)
{
	struct piece *p;

	if (!list_empty(&s->roomy))
		return container_of(s->roomy.next, struct piece, node);
	p = s->spare != NULL ? s->spare : piece_new(s);
	s->spare = NULL;
	list_append(&s->roomy, &p->node);
	return p;
}

void *slab_alloc(struct slab *s)
{
	struct piece *p = roomy_piece(s);
	void *object = p->vacant;

	assert(!s->closed);
	if (object != NULL) {
		ASAN_UNPOISON_MEMORY_REGION(object, s->size);
		p->vacant = p->vacant->next;
	} else {
		object = (char *)p + p->fresh;
		ASAN_UNPOISON_MEMORY_REGION(object, s->size);
		p->fresh += (uint32_t)s->size;
	}
	p->used++;
	if (!has_room(p))
		list_remove(&p->node);
	return memset(object, 0, s->size);
}

static void retire(struct piece *p)
{
	struct slab *s = p->slab;

	list_remove(&p->node);
	if (s->spare == NULL && !s->closed) {
		s->spare = p;
		return;
	}
	piece_free(p);
	free_if_done(s);
}

void slab_free(void *object)
{
	struct piece *p;
	struct vacancy *v = object;

	if (object == NULL)
		return;
	p = piece_of(object);
	v->next = p->vacant;
	p->vacant = v;
	ASAN_POISON_MEMORY_REGION(object, p->slab->size);
	if (!list_linked(&p->node))
		list_append(&p->slab->roomy, &p->node);
	if (--p->used == 0)
		retire(p);
}
