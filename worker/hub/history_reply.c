#include "history_reply.h"

#include "history.h"
#include "mem.h"
#include "redis.h"
#include "units.h"

/* Redis' scripts give integers as such, or as text, since their numbers are not exact to 64 bits. */
static bool read_number(const struct redis_reply *reply, uint64_t *n)
{
	if (reply->type == REDIS_INTEGER && reply->integer >= 0) {
		*n = (uint64_t)reply->integer;
		return true;
	}
	return reply->type == REDIS_STRING && units_parse_number(reply->text, n);
}

static bool is_text(const struct redis_reply *reply, size_t min, size_t max)
{
	return reply->type == REDIS_STRING && reply->text.len >= min && reply->text.len <= max;
}

static bool follows(const struct history_entry *e, const struct history_entry *before, bool reverse)
{
	return reverse ? e->offset < before->offset : e->offset > before->offset;
}

/* Offsets and payloads in turn. */
static bool read_entries(const struct redis_reply *reply, bool reverse, struct history_reply *out)
{
	if (reply->type != REDIS_ARRAY || reply->count % 2 != 0)
		return false;
	out->entries = mem_try_alloc((reply->count / 2 + 1) * sizeof(*out->entries));
	if (out->entries == NULL)
		return false;
	for (; out->count < reply->count / 2; out->count++) {
		struct history_entry *e = &out->entries[out->count];
		const struct redis_reply *payload = reply->elements[2 * out->count + 1];

		if (!read_number(reply->elements[2 * out->count], &e->offset) ||
		    !is_text(payload, 0, SIZE_MAX) || (out->count > 0 && !follows(e, e - 1, reverse)))
			return false;
		e->payload = payload->text;
	}
	return true;
}

bool history_reply_read(const struct redis_reply *reply, bool reverse, struct history_reply *out,
                        struct bytes *reason)
{
	*out = (struct history_reply){0};
	*reason = BYTES("");
	if (reply == NULL)
		return false;
	*reason = reply->type == REDIS_ERROR ? reply->text : BYTES("an answer of another kind");
	if (reply->type != REDIS_ARRAY || reply->count != 3 || !is_text(reply->elements[0], 1, EPOCH_MAX) ||
	    !read_number(reply->elements[1], &out->top))
		return false;
	out->epoch = reply->elements[0]->text;
	if (read_entries(reply->elements[2], reverse, out))
		return true;
	history_reply_free(out);
	return false;
}

void history_reply_free(struct history_reply *r)
{
	mem_free(r->entries);
	r->entries = NULL;
	r->count = 0;
}
