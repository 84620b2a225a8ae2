/* The subscribers of a channel in a dense array: a walk over them is what a broker does all day. Each knows
 * its index, so that leaving costs a swap. Does not know what a publication is. */
#include "channel.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "mem.h"

enum { CHANNEL_FIRST = 2, CHANNEL_LOG_MAX = 128 };

struct channel *channel_new(struct hub *hub, struct bytes prefix, struct bytes name)
{
	struct channel *ch = mem_alloc(sizeof(*ch) + prefix.len + name.len);

	ch->hub = hub;
	ch->prefix_len = (uint32_t)prefix.len;
	ch->redis_len = (uint32_t)(prefix.len + name.len);
	memcpy(ch->redis_name, prefix.ptr, prefix.len);
	memcpy(ch->redis_name + prefix.len, name.ptr, name.len);
	return ch;
}

void channel_free(struct channel **ch)
{
	if (*ch == NULL)
		return;
	assert((*ch)->count == 0 && (*ch)->walks == 0);
	list_remove(&(*ch)->unsure);
	mem_free((*ch)->subscribers);
	mem_free(*ch);
	*ch = NULL;
}

struct bytes channel_redis_name(const struct channel *ch)
{
	return (struct bytes){ch->redis_name, ch->redis_len};
}

struct bytes channel_name(const struct channel *ch)
{
	return (struct bytes){ch->redis_name + ch->prefix_len, ch->redis_len - ch->prefix_len};
}

const char *channel_log_name(const struct channel *ch)
{
	static char text[CHANNEL_LOG_MAX];
	struct bytes name = channel_name(ch);

	snprintf(text, sizeof(text), "channel %.*s", BYTES_FMT(name));
	return text;
}

static void resize(struct channel *ch, uint32_t cap)
{
	ch->subscribers = mem_realloc(ch->subscribers, cap * sizeof(*ch->subscribers));
	ch->cap = cap;
}

void channel_add(struct channel *ch, struct subscription *s)
{
	assert(s->channel == NULL && ch->walks == 0);
	if (ch->count == ch->cap)
		resize(ch, ch->cap == 0 ? CHANNEL_FIRST : ch->cap * 2);
	s->channel = ch;
	s->index = ch->count;
	ch->subscribers[ch->count++] = s;
}

static void put(struct channel *ch, uint32_t index, struct subscription *s)
{
	ch->subscribers[index] = s;
	s->index = index;
}

/* A channel that was once large does not keep the memory. */
static void shrink(struct channel *ch)
{
	if (ch->count > 0 && ch->count <= ch->cap / 4)
		resize(ch, ch->cap / 2);
}

void channel_remove(struct channel *ch, struct subscription *s)
{
	assert(s->channel == ch && ch->subscribers[s->index] == s);
	s->channel = NULL;
	if (ch->walks > 0) {
		ch->subscribers[s->index] = NULL;
		ch->gaps++;
		return;
	}
	ch->count--;
	if (s->index < ch->count)
		put(ch, s->index, ch->subscribers[ch->count]);
	shrink(ch);
}

void channel_walk_begin(struct channel *ch)
{
	ch->walks++;
}

void channel_walk_end(struct channel *ch)
{
	uint32_t kept = 0;

	assert(ch->walks > 0);
	if (--ch->walks > 0 || ch->gaps == 0)
		return;
	for (uint32_t i = 0; i < ch->count; i++) {
		if (ch->subscribers[i] != NULL)
			put(ch, kept++, ch->subscribers[i]);
	}
	ch->count = kept;
	ch->gaps = 0;
	shrink(ch);
}
