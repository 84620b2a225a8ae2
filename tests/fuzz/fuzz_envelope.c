/* envelope.c: what is decoded is fit for a message; encoded, it is decoded to the same, and what is encoded
 * twice does not change. */
#include "fuzz.h"

#include "envelope.h"
#include "json_reader.h"
#include "json_writer.h"
#include "utf8.h"

/* Of text that is not JSON each byte may become an escape. */
static size_t scratch_max(size_t size)
{
	return 6 * size + 2;
}

static void check_raw(struct bytes raw)
{
	struct json_value value;

	if (raw.ptr == NULL)
		return;
	CHECK(json_parse(raw, &value) && bytes_eq(value.text, raw));
	CHECK(memchr(raw.ptr, '\n', raw.len) == NULL);
}

static void check_publication(const struct publication *p)
{
	CHECK(p->data.ptr != NULL && utf8_valid(p->epoch) && p->tag_count <= ENVELOPE_MAX_TAGS);
	check_raw(p->data);
	for (size_t i = 0; i < p->tag_count; i++)
		CHECK(utf8_valid(p->tags[i].key) && utf8_valid(p->tags[i].value));
	if (p->info == NULL)
		return;
	CHECK(utf8_valid(p->info->user) && utf8_valid(p->info->client));
	check_raw(p->info->conn_info);
	check_raw(p->info->chan_info);
}

static bool same_info(const struct client_info *a, const struct client_info *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return bytes_eq(a->user, b->user) && bytes_eq(a->client, b->client) &&
	       bytes_eq(a->conn_info, b->conn_info) && bytes_eq(a->chan_info, b->chan_info);
}

static bool same(const struct publication *a, const struct publication *b)
{
	if (a->tag_count != b->tag_count)
		return false;
	for (size_t i = 0; i < a->tag_count; i++)
		if (!bytes_eq(a->tags[i].key, b->tags[i].key) ||
		    !bytes_eq(a->tags[i].value, b->tags[i].value))
			return false;
	return bytes_eq(a->data, b->data) && same_info(a->info, b->info) && a->offset == b->offset &&
	       bytes_eq(a->epoch, b->epoch);
}

static void check_round_trip(const struct publication *p)
{
	struct envelope again;
	struct buf first, second, scratch;
	const char *reason;

	buf_init(&first, FUZZ_BUF_MAX);
	buf_init(&second, FUZZ_BUF_MAX);
	envelope_encode(&first, p);
	buf_init(&scratch, scratch_max(first.len));
	CHECK(buf_ok(&first) && envelope_decode(buf_bytes(&first), &scratch, &again, &reason));
	CHECK(same(p, &again.publication));
	envelope_encode(&second, &again.publication);
	CHECK(fuzz_same(&first, &second));
	buf_free(&scratch);
	buf_free(&first);
	buf_free(&second);
}

/* As data in an envelope that somebody made without looking at it, the input is what it is without one, and
 * nothing but data. */
static void check_as_data(struct bytes data)
{
	static const char head[] = "{\"fanfare\":1,\"offset\":17,\"epoch\":\"Xo2P\",\"data\":";
	struct buf payload, scratch, want;
	struct json_value value;
	struct envelope e;
	const char *reason;
	bool good;

	buf_init(&payload, sizeof(head) + data.len + 1);
	buf_init(&scratch, scratch_max(data.len));
	buf_init(&want, scratch_max(data.len));
	buf_puts(&payload, head);
	buf_put_bytes(&payload, data);
	buf_putc(&payload, '}');
	good = envelope_decode(buf_bytes(&payload), &scratch, &e, &reason);
	CHECK(e.publication.offset == 17 && bytes_eq(e.publication.epoch, BYTES("Xo2P")));
	CHECK(e.publication.tag_count == 0 && e.publication.info == NULL);
	if (json_parse(data, &value))
		json_put_compact(&want, value.text);
	else if (good)
		json_put_string(&want, data);
	CHECK(good == (want.len > 0));
	CHECK(!good || bytes_eq(e.publication.data, buf_bytes(&want)));
	buf_free(&payload);
	buf_free(&scratch);
	buf_free(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	struct envelope e;
	struct buf scratch;
	const char *reason;

	buf_init(&scratch, scratch_max(size));
	if (envelope_decode((struct bytes){copy, size}, &scratch, &e, &reason)) {
		check_publication(&e.publication);
		check_round_trip(&e.publication);
	} else {
		CHECK(reason != NULL && strcmp(reason, "too large") != 0);
	}
	check_as_data((struct bytes){copy, size});
	buf_free(&scratch);
	mem_free(copy);
	return 0;
}
