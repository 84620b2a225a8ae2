#include "history_reply.h"

#include "history.h"
#include "mem.h"
#include "redis.h"
#include "redis_trouble.h"
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

static bool read_flag(const struct redis_reply *reply, bool *flag)
{
	*flag = reply->integer != 0;
	return reply->type == REDIS_INTEGER;
}

/* Not one that the library has made. */
static bool is_foreign(const struct history_reply *r, const struct history_entry *e)
{
	return e->offset == 0 || e->offset > r->top || (r->count > 0 && e->offset == (e - 1)->offset);
}

/* Offsets and payloads in turn. */
static bool read_entries(const struct redis_reply *reply, bool reverse, struct history_reply *out)
{
	if (reply->type != REDIS_ARRAY || reply->count % 2 != 0)
		return false;
	out->entries = mem_try_alloc((reply->count / 2 + 1) * sizeof(*out->entries));
	if (out->entries == NULL)
		return false;
	for (size_t i = 0; i < reply->count; i += 2) {
		struct history_entry *e = &out->entries[out->count];
		const struct redis_reply *payload = reply->elements[i + 1];

		if (!read_number(reply->elements[i], &e->offset) || !is_text(payload, 0, SIZE_MAX))
			return false;
		if (is_foreign(out, e))
			continue;
		if (out->count > 0 && !follows(e, e - 1, reverse))
			return false;
		e->payload = payload->text;
		out->count++;
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
	*reason = reply->type == REDIS_ERROR ? redis_error_text(reply) : BYTES("an answer of another kind");
	if (reply->type != REDIS_ARRAY || reply->count != 4 || !is_text(reply->elements[0], 1, EPOCH_MAX) ||
	    !read_number(reply->elements[1], &out->top) || out->top > OFFSET_MAX ||
	    !read_flag(reply->elements[3], &out->more))
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
