#include "random.h"

#include <sys/random.h>

void random_bytes(void *out, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = getrandom((char *)out + got, len - got, 0);

		if (n > 0)
			got += (size_t)n;
	}
}

void uuid_make(unsigned char out[UUID_LEN])
{
	random_bytes(out, UUID_LEN);
	out[6] = (unsigned char)((out[6] & 0x0f) | 0x40);
	out[8] = (unsigned char)((out[8] & 0x3f) | 0x80);
}

void uuid_format(const unsigned char uuid[UUID_LEN], char text[UUID_TEXT_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	char *p = text;

	for (int i = 0; i < UUID_LEN; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p = '\0';
}
