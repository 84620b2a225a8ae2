/* One run of publications for each channel, which grows at its end, so that what comes in the middle of a
 * storm is added and nothing is made anew; it begins anew when somebody was away for longer than all before,
 * or when most of it is older than what is kept. */
#include "replay.h"

#include <string.h>

#include "clock.h"
#include "codec.h"
#include "compiler.h"
#include "envelope.h"
#include "log.h"
#include "recent.h"

enum { REPLAYS_MAX = 16 << 20, REPLAY_MAX = 64 << 20, REPLAY_KEEP_MS = 5000 };

void replays_init(struct replays *all)
{
	*all = (struct replays){0};
	list_init(&all->used);
}

void replay_init(struct replay *r, struct replays *all)
{
	*r = (struct replay){.all = all};
	list_init(&r->node);
	buf_init(&r->text, REPLAY_MAX);
	buf_init(&r->ends, REPLAY_MAX);
}

void replay_forget(struct replay *r)
{
	list_remove(&r->node);
	if (r->all->making == r)
		r->all->making = NULL;
	r->all->bytes -= r->bytes;
	r->bytes = 0;
	buf_free(&r->text);
	buf_free(&r->ends);
}

static struct replay *longest_unused(const struct replays *all)
{
	return list_empty(&all->used) ? NULL : container_of(all->used.next, struct replay, node);
}

void replays_tick(struct replays *all)
{
	struct replay *r;

	while ((r = longest_unused(all)) != NULL && clock_ms() - r->used_ms > REPLAY_KEEP_MS)
		replay_forget(r);
}

/* NULL: one is used in this moment, and another is being made. */
static struct replay *longest_unused_but(const struct replays *all, const struct replay *r)
{
	list_for_each (node, &all->used) {
		struct replay *other = container_of(node, struct replay, node);

		if (other != r && other != all->making)
			return other;
	}
	return NULL;
}

static void count_used(struct replay *r)
{
	struct replays *all = r->all;
	struct replay *other;

	list_remove(&r->node);
	list_append(&all->used, &r->node);
	r->used_ms = clock_ms();
	all->bytes -= r->bytes;
	r->bytes = r->text.cap + r->ends.cap;
	all->bytes += r->bytes;
	while (all->bytes > REPLAYS_MAX && (other = longest_unused_but(all, r)) != NULL)
		replay_forget(other);
}

/* --- the text --- */

static size_t count_of(const struct replay *r)
{
	return r->ends.len / sizeof(uint64_t);
}

/* Where the text of an offset begins. */
static size_t start_of(const struct replay *r, uint64_t offset)
{
	uint64_t end;

	if (offset == r->first)
		return 0;
	memcpy(&end, r->ends.data + (offset - r->first - 1) * sizeof(end), sizeof(end));
	return (size_t)end;
}

static void add(struct replay *r, const struct codec *codec, uint64_t offset, struct bytes payload)
{
	struct envelope envelope;
	struct buf scratch;
	const char *reason;
	uint64_t end;

	buf_init(&scratch, REPLAY_MAX);
	if (!envelope_decode(payload, &scratch, &envelope, &reason)) {
		log_debug("offset %llu is no publication: %s", (unsigned long long)offset, reason);
	} else if (envelope.publication.data.ptr != NULL) {
		envelope.publication.offset = offset;
		codec->put_publication(&r->text, &envelope.publication);
	}
	buf_free(&scratch);
	end = r->text.len;
	buf_put(&r->ends, &end, sizeof(end));
}

static bool is_of_use(const struct replay *r, const struct recent *recent, uint64_t first)
{
	return count_of(r) > 0 && first >= r->first && first <= r->first + count_of(r) &&
	       r->first + recent->most >= recent_first(recent);
}

/* Goes on until the last is there, or so many bytes were added. */
static void make(struct replay *r, const struct codec *codec, const struct recent *recent, uint64_t first,
                 uint64_t last, size_t most)
{
	size_t before;

	if (!is_of_use(r, recent, first)) {
		buf_reset(&r->text);
		buf_reset(&r->ends);
		r->first = first;
	}
	before = r->text.len;
	for (uint64_t offset = r->first + count_of(r);
	     offset <= last && buf_ok(&r->text) && r->text.len - before < most; offset++)
		add(r, codec, offset, recent_get(recent, offset));
}

bool replay_prepare(struct replay *r, const struct codec *codec, const struct recent *recent, uint64_t first,
                    uint64_t last)
{
	bool done;

	if (first > last)
		return true;
	make(r, codec, recent, first, last, REPLAY_PIECE);
	done = last < r->first + count_of(r) || !buf_ok(&r->text);
	if (!done)
		r->all->making = r;
	else if (r->all->making == r)
		r->all->making = NULL;
	count_used(r);
	return done;
}

void replay_put(struct replay *r, const struct codec *codec, const struct recent *recent, uint64_t first,
                uint64_t last, struct buf *out)
{
	size_t from;

	if (first > last)
		return;
	make(r, codec, recent, first, last, SIZE_MAX);
	if (!buf_ok(&r->text) || !buf_ok(&r->ends)) {
		out->failed = true;
		replay_forget(r);
		return;
	}
	from = start_of(r, first);
	buf_put(out, r->text.data + from, start_of(r, last + 1) - from);
	count_used(r);
}
