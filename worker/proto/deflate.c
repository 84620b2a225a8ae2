/* Around zlib. What zlib keeps is reset after each message, never freed: a worker has one inflater, and a
 * deflater for each size of window that some client asked for. */
#include "deflate.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "buf.h"
#include "mem.h"

enum {
	CHUNK_FIRST = 16384,   /* what an inflated message gets room for at first */
	KEEP = 65536,          /* what a buffer may keep between two messages */
	BETWEEN_BLOCKS = 0x80, /* in z_stream.data_type after inflate() */
	LAST_BLOCK = 0x40,
};

/* The end of every message, which is not sent (7.2.1). */
static const char tail[4] = {'\0', '\0', '\xff', '\xff'};

/* --- inflate --- */

struct inflater {
	z_stream z;
	struct buf out;
};

/* Of what an inflater needs, 40 KiB in all. */
static voidpf allocate(voidpf arg, uInt items, uInt size)
{
	return mem_alloc((size_t)items * size);
}

static void release(voidpf arg, voidpf memory)
{
	mem_free(memory);
}

struct inflater *inflater_new(void)
{
	struct inflater *f = mem_alloc(sizeof(*f));
	int status;

	buf_init(&f->out, 0);
	f->z.zalloc = allocate;
	f->z.zfree = release;
	status = inflateInit2(&f->z, -DEFLATE_BITS_MAX);
	assert(status == Z_OK);
	(void)status;
	return f;
}

void inflater_free(struct inflater **f)
{
	if (*f == NULL)
		return;
	inflateEnd(&(*f)->z);
	buf_free(&(*f)->out);
	mem_free(*f);
	*f = NULL;
}

size_t inflater_payload_max(size_t max)
{
	return max + max / 8 + 64;
}

/* Room that doubles as the message grows, and ends at its limit. */
static size_t next_room(const struct buf *out)
{
	size_t room = out->cap > out->len ? out->cap - out->len : out->len;

	if (room < CHUNK_FIRST)
		room = CHUNK_FIRST;
	return room < out->max - out->len ? room : out->max - out->len;
}

/* At the limit: whether anything more would come out. */
static enum inflate_result run_without_room(struct inflater *f, int *status)
{
	Bytef probe;

	f->z.next_out = &probe;
	f->z.avail_out = sizeof(probe);
	*status = inflate(&f->z, Z_NO_FLUSH);
	return f->z.avail_out == 0 ? INFLATE_TOO_BIG : INFLATE_OK;
}

static enum inflate_result run_once(struct inflater *f, int *status)
{
	size_t room = next_room(&f->out);
	char *at;

	if (room == 0)
		return run_without_room(f, status);
	at = buf_reserve(&f->out, room);
	if (at == NULL)
		return INFLATE_NO_MEMORY;
	f->z.next_out = (Bytef *)at;
	f->z.avail_out = (uInt)room;
	*status = inflate(&f->z, Z_NO_FLUSH);
	buf_commit(&f->out, room - f->z.avail_out);
	return INFLATE_OK;
}

/* Feeds all of the input, or up to the end of a final block: then *ended is set. */
static enum inflate_result feed(struct inflater *f, struct bytes in, bool *ended)
{
	enum inflate_result result;
	int status;

	f->z.next_in = (const Bytef *)in.ptr;
	f->z.avail_in = (uInt)in.len;
	do {
		result = run_once(f, &status);
		if (result != INFLATE_OK)
			return result;
		if (status == Z_MEM_ERROR)
			return INFLATE_NO_MEMORY;
		if (status != Z_OK && status != Z_BUF_ERROR && status != Z_STREAM_END)
			return INFLATE_BAD;
		*ended = status == Z_STREAM_END;
	} while (!*ended && (f->z.avail_in > 0 || f->z.avail_out == 0));
	return INFLATE_OK;
}

/* What may stand behind a final block: nothing, or the byte that makes an empty block of it and the tail. */
static bool padding_valid(const z_stream *z)
{
	return z->avail_in == 0 || (z->avail_in == 1 && z->next_in[0] == 0);
}

static enum inflate_result restore(struct inflater *f, struct bytes payload)
{
	bool ended = false;
	enum inflate_result result = feed(f, payload, &ended);
	size_t len = f->out.len;

	if (result != INFLATE_OK)
		return result;
	if (ended)
		return padding_valid(&f->z) ? INFLATE_OK : INFLATE_BAD;
	result = feed(f, (struct bytes){tail, sizeof(tail)}, &ended);
	if (result != INFLATE_OK)
		return result;
	/* The tail is the end of an empty block, which adds nothing; anything else was cut off somewhere. */
	if (ended || f->out.len > len)
		return INFLATE_BAD;
	return (f->z.data_type & BETWEEN_BLOCKS) && !(f->z.data_type & LAST_BLOCK) ? INFLATE_OK : INFLATE_BAD;
}

enum inflate_result inflater_message(struct inflater *f, struct bytes payload, size_t max,
                                     struct bytes *message)
{
	enum inflate_result result;

	if (payload.len > UINT_MAX || max > UINT_MAX)
		return INFLATE_TOO_BIG;
	inflater_trim(f);
	if (f->out.cap > max)
		buf_free(&f->out);
	buf_reset(&f->out);
	f->out.max = max;
	result = restore(f, payload);
	inflateReset(&f->z);
	*message = f->out.len > 0 ? buf_bytes(&f->out) : BYTES("");
	return result;
}

void inflater_trim(struct inflater *f)
{
	if (f->out.cap > KEEP)
		buf_free(&f->out);
}

/* --- deflate --- */

enum { WINDOWS = DEFLATE_BITS_MAX - DEFLATE_BITS_MIN + 1 };

struct deflater {
	struct stage {
		z_stream z;
		int level; /* 0: not there yet */
	} stages[WINDOWS];
	struct buf out;
};

struct deflater *deflater_new(void)
{
	struct deflater *d = mem_alloc(sizeof(*d));

	buf_init(&d->out, UINT_MAX);
	return d;
}

void deflater_free(struct deflater **d)
{
	if (*d == NULL)
		return;
	for (int i = 0; i < WINDOWS; i++)
		if ((*d)->stages[i].level != 0)
			deflateEnd(&(*d)->stages[i].z);
	buf_free(&(*d)->out);
	mem_free(*d);
	*d = NULL;
}

/* With the table of the default, 8, a small window would cost time: zlib goes over all of it whenever the
 * window has been filled. */
static int mem_level(int window_bits)
{
	return window_bits < 13 ? window_bits - 5 : 8;
}

/* Ready for a message; false when there is no memory. */
static bool stage_ready(struct stage *s, int window_bits, int level)
{
	if (s->level == level)
		return true;
	if (s->level != 0)
		deflateEnd(&s->z);
	s->level = 0;
	memset(&s->z, 0, sizeof(s->z));
	if (deflateInit2(&s->z, level, Z_DEFLATED, -window_bits, mem_level(window_bits),
	                 Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	s->level = level;
	return true;
}

/* Into room for as much as the message has, tail included: what does not fit is not smaller. */
static size_t deflate_into(z_stream *z, struct bytes message, char *room)
{
	size_t made;

	z->next_in = (const Bytef *)message.ptr;
	z->avail_in = (uInt)message.len;
	z->next_out = (Bytef *)room;
	z->avail_out = (uInt)(message.len + sizeof(tail) - 1);
	deflate(z, Z_SYNC_FLUSH);
	/* With no room left zlib may not be done. */
	made = z->avail_out > 0 ? message.len + sizeof(tail) - 1 - z->avail_out : 0;
	deflateReset(z);
	return made;
}

bool deflater_message(struct deflater *d, int window_bits, int level, struct bytes message,
                      struct bytes *payload)
{
	struct stage *s;
	char *room;
	size_t made;

	assert(window_bits >= DEFLATE_BITS_MIN && window_bits <= DEFLATE_BITS_MAX);
	s = &d->stages[window_bits - DEFLATE_BITS_MIN];
	if (message.len == 0 || message.len > UINT_MAX - sizeof(tail) || !stage_ready(s, window_bits, level))
		return false;
	if (d->out.cap > KEEP)
		buf_free(&d->out);
	buf_reset(&d->out);
	room = buf_reserve(&d->out, message.len + sizeof(tail));
	if (room == NULL)
		return false;
	made = deflate_into(&s->z, message, room);
	if (made <= sizeof(tail))
		return false;
	assert(memcmp(room + made - sizeof(tail), tail, sizeof(tail)) == 0);
	*payload = (struct bytes){room, made - sizeof(tail)};
	return true;
}
