#include "envelope.h"

#include "json_reader.h"
#include "json_struct.h"
#include "json_writer.h"
#include "message_json.h"
#include "utf8.h"

#define FIRST_KEY "fanfare"

/* An envelope as it stands. `info` is the one of struct envelope, tags follow when all else was right. */
struct members {
	struct json_value version;
	uint64_t offset;
	struct bytes epoch;
	struct json_value tags;
	struct json_value info;
	struct bytes data;
};

static const struct json_field members_fields[] = {
	{FIRST_KEY, offsetof(struct members, version), json_read_value},
	{"offset", offsetof(struct members, offset), json_read_uint64},
	{"epoch", offsetof(struct members, epoch), json_read_string},
	{"tags", offsetof(struct members, tags), json_read_value},
	{"info", offsetof(struct members, info), json_read_value},
	{"data", offsetof(struct members, data), json_read_raw},
};
static const struct json_struct members_struct = {members_fields, ARRAY_LEN(members_fields)};

static const struct json_field info_fields[] = {
	{"user", offsetof(struct client_info, user), json_read_string},
	{"client", offsetof(struct client_info, client), json_read_string},
	{"conn_info", offsetof(struct client_info, conn_info), json_read_raw},
	{"chan_info", offsetof(struct client_info, chan_info), json_read_raw},
};
static const struct json_struct info_struct = {info_fields, ARRAY_LEN(info_fields)};

/* Whether a valid object is an envelope. The key counts only when written exactly so, on both ways: what
 * envelope_encode() lets pass bare is never taken for an envelope. */
static bool is_envelope(struct json_value value, struct json_value *version)
{
	struct json_iter it;
	struct bytes key;

	if (value.type != JSON_VALUE_OBJECT)
		return false;
	it = json_iter(value);
	return json_next_member(&it, &key, version) && bytes_eq(key, BYTES(FIRST_KEY));
}

/* Takes raw newlines out of a raw value, if it has any. */
static void compact(struct bytes *raw, struct buf *scratch)
{
	size_t start = scratch->len;

	if (raw->ptr == NULL || memchr(raw->ptr, '\n', raw->len) == NULL)
		return;
	json_put_compact(scratch, *raw);
	*raw = (struct bytes){scratch->data + start, scratch->len - start};
}

static bool has_tag(const struct publication *p, struct bytes key)
{
	for (size_t i = 0; i < p->tag_count; i++) {
		if (bytes_eq(p->tags[i].key, key))
			return true;
	}
	return false;
}

static const char *read_tags(struct json_value tags, struct buf *scratch, struct envelope *out)
{
	struct publication *p = &out->publication;
	struct json_iter it;
	struct json_value value;
	struct bytes key;
	struct tag *tag;

	if (tags.type != JSON_VALUE_OBJECT)
		return "tags are not an object";
	p->tags = out->tags;
	for (it = json_iter(tags); json_next_member(&it, &key, &value); p->tag_count++) {
		if (p->tag_count == ENVELOPE_MAX_TAGS)
			return "too many tags";
		tag = &out->tags[p->tag_count];
		if (!json_read_string(value, scratch, &tag->value) || !json_read_key(key, scratch, &tag->key))
			return "a tag is not a string";
		if (has_tag(p, tag->key))
			return "a tag occurs twice";
	}
	return NULL;
}

static const char *read_info(struct json_value info, struct buf *scratch, struct envelope *out)
{
	if (!json_read_struct(info, &info_struct, scratch, &out->info))
		return "malformed info";
	compact(&out->info.conn_info, scratch);
	compact(&out->info.chan_info, scratch);
	out->publication.info = &out->info;
	return NULL;
}

static const char *read_members(struct json_value object, struct buf *scratch, struct envelope *out)
{
	struct members m = {0};
	const char *reason = NULL;

	if (!json_read_struct(object, &members_struct, scratch, &m))
		return "malformed envelope";
	if (m.data.ptr == NULL)
		return "envelope without data";
	if (m.info.text.ptr != NULL)
		reason = read_info(m.info, scratch, out);
	if (reason == NULL && m.tags.text.ptr != NULL)
		reason = read_tags(m.tags, scratch, out);
	compact(&m.data, scratch);
	out->publication.data = m.data;
	out->publication.offset = m.offset;
	out->publication.epoch = m.epoch;
	return reason;
}

static const char *decode_envelope(struct json_value object, struct json_value version, struct buf *scratch,
                                   struct envelope *out)
{
	uint64_t number;

	if (!json_uint(version, UINT64_MAX, &number) || number != ENVELOPE_VERSION)
		return "envelope of another version";
	return read_members(object, scratch, out);
}

static const char *decode_text(struct bytes text, struct buf *scratch, struct envelope *out)
{
	if (!utf8_valid(text))
		return "invalid UTF-8";
	json_put_string(scratch, text);
	if (!buf_ok(scratch))
		return "too large";
	out->publication.data = buf_bytes(scratch);
	return NULL;
}

/* Nothing in scratch may move, and neither resolving escapes nor dropping newlines makes anything longer. */
static bool reserve_scratch(struct buf *scratch, struct bytes payload)
{
	if (memchr(payload.ptr, '\\', payload.len) == NULL && memchr(payload.ptr, '\n', payload.len) == NULL)
		return true;
	return buf_reserve(scratch, payload.len) != NULL;
}

static const char *decode(struct bytes payload, struct buf *scratch, struct envelope *out)
{
	struct json_value value;
	struct json_value version;

	if (payload.len == 0)
		return "empty";
	switch (json_check(payload, &value)) {
	case JSON_GOOD: break;
	case JSON_BAD: return decode_text(payload, scratch, out);
	case JSON_TOO_DEEP: return "JSON that is nested too deeply";
	}
	if (!reserve_scratch(scratch, payload))
		return "too large";
	if (is_envelope(value, &version))
		return decode_envelope(value, version, scratch, out);
	out->publication.data = value.text;
	compact(&out->publication.data, scratch);
	return NULL;
}

bool envelope_decode(struct bytes payload, struct buf *scratch, struct envelope *out, const char **reason)
{
	buf_reset(scratch);
	out->publication = (struct publication){0};
	out->info = (struct client_info){0};
	*reason = decode(payload, scratch, out);
	return *reason == NULL;
}

static bool can_be_bare(const struct publication *p)
{
	struct json_value value;
	struct json_value version;

	if (p->info != NULL || p->offset != 0 || p->epoch.len != 0 || p->tag_count != 0)
		return false;
	return json_parse(p->data, &value) && !is_envelope(value, &version);
}

void envelope_encode(struct buf *out, const struct publication *p)
{
	if (can_be_bare(p)) {
		buf_put_bytes(out, p->data);
		return;
	}
	json_open(out, '{');
	json_member_uint(out, FIRST_KEY, ENVELOPE_VERSION);
	json_member_uint(out, "offset", p->offset);
	json_member_string(out, "epoch", p->epoch);
	message_json_put_tags(out, p->tags, p->tag_count);
	message_json_put_info(out, p->info);
	json_member_raw(out, "data", p->data);
	json_close(out, '}');
}
