#include "publications.h"

#include <string.h>

#include "buf.h"
#include "envelope.h"
#include "mem.h"

enum { FIRST_CAP = 8, SCRATCH_MAX = 64 << 20 };

struct publications_memory {
	struct buf scratch;
	struct client_info *info;
	struct tag *tags;
};

void publications_init(struct publications *p)
{
	*p = (struct publications){0};
}

void publications_free(struct publications *p)
{
	for (size_t i = 0; i < p->count; i++) {
		buf_free(&p->memory[i].scratch);
		mem_free(p->memory[i].info);
		mem_free(p->memory[i].tags);
	}
	mem_free(p->items);
	mem_free(p->memory);
	publications_init(p);
}

static void grow(struct publications *p)
{
	p->cap = p->cap > 0 ? 2 * p->cap : FIRST_CAP;
	p->items = mem_realloc(p->items, p->cap * sizeof(*p->items));
	p->memory = mem_realloc(p->memory, p->cap * sizeof(*p->memory));
}

/* An envelope has room for as many tags as there may be, and points into itself: what is kept is smaller. */
static void keep(struct publications *p, const struct envelope *e, const struct buf *scratch)
{
	struct publication *item = &p->items[p->count];
	struct publications_memory *memory = &p->memory[p->count];

	*item = e->publication;
	*memory = (struct publications_memory){.scratch = *scratch};
	if (item->info != NULL) {
		memory->info = mem_alloc(sizeof(*memory->info));
		*memory->info = e->info;
		item->info = memory->info;
	}
	if (item->tag_count > 0) {
		memory->tags = mem_alloc(item->tag_count * sizeof(*memory->tags));
		memcpy(memory->tags, e->tags, item->tag_count * sizeof(*memory->tags));
		item->tags = memory->tags;
	}
	p->count++;
}

bool publications_add(struct publications *p, uint64_t offset, struct bytes payload, const char **reason)
{
	struct envelope envelope;
	struct buf scratch;

	buf_init(&scratch, SCRATCH_MAX);
	if (!envelope_decode(payload, &scratch, &envelope, reason) || envelope.publication.data.ptr == NULL) {
		buf_free(&scratch);
		return false;
	}
	if (p->count == p->cap)
		grow(p);
	envelope.publication.offset = offset;
	keep(p, &envelope, &scratch);
	return true;
}
