#include "terminal.h"

#include <stdbool.h>
#include <string.h>

#include "utf8.h"

/* How long the character at the beginning is: 0 when there is none. */
static size_t character_len(const char *text)
{
	size_t left = strnlen(text, 4);

	for (size_t len = 1; len <= left; len++) {
		if (utf8_valid((struct bytes){text, len}))
			return len;
	}
	return 0;
}

static bool is_control(const char *character)
{
	unsigned char first = (unsigned char)character[0], second = (unsigned char)character[1];

	return first < 0x20 || first == 0x7f || (first == 0xc2 && second < 0xa0);
}

void terminal_print(FILE *to, const char *text)
{
	while (*text != '\0') {
		size_t len = character_len(text);

		if (len > 0 && !is_control(text)) {
			fwrite(text, 1, len, to);
			text += len;
			continue;
		}
		fprintf(to, "\\x%02x", (unsigned char)*text);
		text++;
	}
}
