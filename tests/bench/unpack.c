#include "unpack.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "wire.h"

enum { TEXT_MAX = 1 << 20, COMPRESSED = 0x40 };

static char text[TEXT_MAX];

void unpack_put(char **packed, size_t *packed_len, const char *data, size_t len)
{
	*packed = realloc(*packed, *packed_len + len);
	if (*packed == NULL)
		die("memory");
	memcpy(*packed + *packed_len, data, len);
	*packed_len += len;
}

static size_t inflate_text(const uint8_t *data, size_t len)
{
	static const uint8_t tail[] = {0, 0, 0xff, 0xff};
	static z_stream z;

	if (z.state == NULL && inflateInit2(&z, -15) != Z_OK)
		die("inflate");
	inflateReset(&z);
	z.next_out = (uint8_t *)text;
	z.avail_out = TEXT_MAX;
	z.next_in = (uint8_t *)data;
	z.avail_in = (unsigned)len;
	if (inflate(&z, Z_SYNC_FLUSH) < 0)
		die("a message that cannot be inflated");
	z.next_in = (uint8_t *)tail;
	z.avail_in = sizeof(tail);
	inflate(&z, Z_SYNC_FLUSH);
	return TEXT_MAX - z.avail_out;
}

char *unpack_next(char *packed, size_t *packed_len, size_t *text_len)
{
	const uint8_t *frame = (const uint8_t *)packed;
	size_t head = 2, len;

	if (*packed_len < 4)
		return NULL;
	len = frame[1];
	if (len == 126) {
		len = (size_t)frame[2] << 8 | frame[3];
		head = 4;
	} else if (len > 126) {
		die("a message that is longer than expected");
	}
	if (*packed_len < head + len)
		return NULL;
	if (frame[0] & COMPRESSED) {
		*text_len = inflate_text(frame + head, len);
	} else {
		memcpy(text, frame + head, len);
		*text_len = len;
	}
	*packed_len -= head + len;
	memmove(packed, packed + head + len, *packed_len);
	return text;
}
