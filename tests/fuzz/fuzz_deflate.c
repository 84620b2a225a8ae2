/* deflate.c: as a compressed message, the input gives what zlib gives for it, within the limit and not
 * beyond, and leaves no trace for the next one; as a message it is compressed so that a receiver with the
 * window that was agreed on restores it. */
#include "fuzz.h"

#include <zlib.h>

#include "deflate.h"

enum { MESSAGE_MAX = 64 << 10 };

static struct inflater *inflater;
static struct deflater *deflater;

/* All that zlib gets out of a payload, by a receiver with that window; up to one byte more than MESSAGE_MAX.
 */
static struct bytes restore(struct bytes payload, int window_bits)
{
	static char message[MESSAGE_MAX + 1];
	static const char tail[] = {'\0', '\0', '\xff', '\xff'};
	z_stream z = {.next_out = (Bytef *)message, .avail_out = sizeof(message)};
	int status;

	CHECK(inflateInit2(&z, -window_bits) == Z_OK);
	z.next_in = (Bytef *)payload.ptr;
	z.avail_in = (uInt)payload.len;
	status = inflate(&z, Z_SYNC_FLUSH);
	if ((status == Z_OK || status == Z_BUF_ERROR) && z.avail_in == 0) {
		z.next_in = (Bytef *)tail;
		z.avail_in = sizeof(tail);
		(void)inflate(&z, Z_SYNC_FLUSH);
	}
	inflateEnd(&z);
	return (struct bytes){message, sizeof(message) - z.avail_out};
}

static void check_again(struct bytes payload, size_t max, enum inflate_result expected, struct bytes message)
{
	struct bytes again;

	CHECK(inflater_message(inflater, payload, max, &again) == expected);
	CHECK(expected != INFLATE_OK || bytes_eq(again, message));
}

static void check_inflate(struct bytes payload)
{
	struct bytes expected = restore(payload, DEFLATE_BITS_MAX);
	struct bytes message;

	switch (inflater_message(inflater, payload, MESSAGE_MAX, &message)) {
	case INFLATE_OK:
		CHECK(bytes_eq(message, expected));
		check_again(payload, message.len, INFLATE_OK, expected);
		if (expected.len > 0)
			check_again(payload, expected.len - 1, INFLATE_TOO_BIG, expected);
		break;
	case INFLATE_TOO_BIG: CHECK(expected.len > MESSAGE_MAX); break;
	case INFLATE_BAD: check_again(payload, MESSAGE_MAX, INFLATE_BAD, BYTES_NONE); break;
	case INFLATE_NO_MEMORY: CHECK(false);
	}
	/* "a", as zlib compresses it. */
	check_again(BYTES("\x4a\x04\x00"), 1, INFLATE_OK, BYTES("a"));
}

static void check_deflate(struct bytes message, int window_bits, int level)
{
	struct bytes payload;
	char *copy;

	if (!deflater_message(deflater, window_bits, level, message, &payload))
		return;
	CHECK(payload.len < message.len);
	copy = fuzz_copy(payload.ptr, payload.len);
	payload.ptr = copy;
	CHECK(bytes_eq(restore(payload, window_bits), message));
	check_again(payload, message.len, INFLATE_OK, message);
	mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	struct bytes input = {copy, size};

	if (inflater == NULL) {
		inflater = inflater_new();
		deflater = deflater_new();
	}
	check_inflate(input);
	check_deflate(input, DEFLATE_BITS_MIN + (int)(size % 7), 1 + (int)(size % 9));
	mem_free(copy);
	return 0;
}
