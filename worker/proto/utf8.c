/* UTF-8 as RFC 3629, section 4 has it, one byte at a time with runs of ASCII taken in long strides. */
#include "utf8.h"

#include <string.h>

enum { STRIDE = 32, STEP = 8 };

/* Between characters the state is UTF8_START. Inside one it says how many continuation bytes are missing, and
 * between which bounds the next one must be: the bounds of the second byte are what rules out overlong forms,
 * surrogates and everything above U+10FFFF. */
#define INSIDE(missing, low, high) ((uint32_t)(missing) << 16 | (uint32_t)(low) << 8 | (uint32_t)(high))

static uint32_t after_lead(uint8_t c)
{
	if (c < 0x80)
		return UTF8_START;
	if (c < 0xc2)
		return UTF8_INVALID;
	if (c < 0xe0)
		return INSIDE(1, 0x80, 0xbf);
	if (c < 0xf0)
		return INSIDE(2, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf);
	if (c < 0xf5)
		return INSIDE(3, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf);
	return UTF8_INVALID;
}

static uint32_t after_continuation(uint32_t state, uint8_t c)
{
	uint32_t missing = state >> 16;

	if (c < (state >> 8 & 0xff) || c > (state & 0xff))
		return UTF8_INVALID;
	return missing == 1 ? UTF8_START : INSIDE(missing - 1, 0x80, 0xbf);
}

static bool is_ascii(uint64_t words)
{
	return (words & UINT64_C(0x8080808080808080)) == 0;
}

/* How many bytes at the front are ASCII for sure. The shorter step is for what is short, the header of an
 * envelope, and for what is left of a text: 123 instructions for 44 bytes in place of 198. */
static size_t ascii_run(const uint8_t *p, size_t left)
{
	uint64_t words[STRIDE / sizeof(uint64_t)];

	if (left >= STRIDE) {
		memcpy(words, p, STRIDE);
		if (is_ascii(words[0] | words[1] | words[2] | words[3]))
			return STRIDE;
	}
	if (left >= STEP) {
		memcpy(words, p, STEP);
		if (is_ascii(words[0]))
			return STEP;
	}
	return 0;
}

uint32_t utf8_continue(uint32_t state, struct bytes bytes)
{
	const uint8_t *p = (const uint8_t *)bytes.ptr;
	size_t left = bytes.len;

	if (state == UTF8_INVALID)
		return UTF8_INVALID;
	while (left > 0) {
		size_t ascii = state == UTF8_START ? ascii_run(p, left) : 0;

		if (ascii > 0) {
			p += ascii;
			left -= ascii;
			continue;
		}
		state = state == UTF8_START ? after_lead(*p) : after_continuation(state, *p);
		if (state == UTF8_INVALID)
			return UTF8_INVALID;
		p++;
		left--;
	}
	return state;
}

bool utf8_valid(struct bytes bytes)
{
	return utf8_continue(UTF8_START, bytes) == UTF8_START;
}
