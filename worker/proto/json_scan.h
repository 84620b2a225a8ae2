/* What reading JSON comes down to: white space, and runs of characters in a string that stand for themselves.
 * Private to json_reader.c and json_walk.c. Functions take where they are and where the text ends, and never
 * read behind the end. */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "ascii.h"
#include "json_reader.h"

/* FANFARE_PORTABLE is for the tests: what other processors do is tested on this one. */
#if defined(__SSE2__) && !defined(FANFARE_PORTABLE)
#include <emmintrin.h>
#define JSON_SCAN_SSE2 1
#else
#define JSON_SCAN_SSE2 0
#endif

#define JSON_EACH_BYTE(c) (0x0101010101010101ULL * (c))
#define JSON_HIGH_BITS    JSON_EACH_BYTE(0x80)

static inline const char *json_skip_space(const char *p, const char *end)
{
	while (p < end && (unsigned char)*p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* The high bit of each byte that is a quote, a backslash or a control character. Bytes above a true one may
 * be true without reason, the lowest is always right (Mycroft's zero byte test). */
static inline uint64_t json_special_bytes(uint64_t word)
{
	uint64_t quote = word ^ JSON_EACH_BYTE('"');
	uint64_t backslash = word ^ JSON_EACH_BYTE('\\');

	return (((quote - JSON_EACH_BYTE(1)) & ~quote) | ((backslash - JSON_EACH_BYTE(1)) & ~backslash) |
	        ((word - JSON_EACH_BYTE(0x20)) & ~word)) &
	       JSON_HIGH_BITS;
}

/* The same eight bytes at a time, on any processor; and what is left over by fewer than 16, one by one. */
static inline const char *json_find_special_portable(const char *p, const char *end, uint64_t *high)
{
	uint64_t word, special;

	for (; end - p >= 8; p += 8) {
		memcpy(&word, p, 8);
		*high |= word & JSON_HIGH_BITS;
		special = json_special_bytes(le64toh(word));
		if (special != 0)
			return p + __builtin_ctzll(special) / 8;
	}
	for (; p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20; p++)
		*high |= (unsigned char)*p & 0x80;
	return p;
}

/* The first quote, backslash or control character, or the end. *high becomes other than 0 when there is a
 * byte above 0x7f before it; it may become so for one close behind it.
 *
 * Sixteen bytes at a time, as every x86-64 can: a string of 70 bytes takes 10 ns in place of 26, one of 1,000
 * takes 96 in place of 358. With 32 at a time (AVX2) it is 8 and 51, but what a processor must be asked for
 * cannot be inlined, and strings below 16 bytes, of which messages are full, take 1.6 ns more: left out. */
static inline const char *json_find_special(const char *p, const char *end, uint64_t *high)
{
#if JSON_SCAN_SSE2
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i last_control = _mm_set1_epi8(0x1f);

	for (; end - p >= 16; p += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)p);
		__m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
		__m128i quoting = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote),
		                               _mm_cmpeq_epi8(bytes, backslash));
		int special = _mm_movemask_epi8(_mm_or_si128(quoting, control));

		*high |= (unsigned)_mm_movemask_epi8(bytes);
		if (special != 0)
			return p + __builtin_ctz((unsigned)special);
	}
#endif
	return json_find_special_portable(p, end, high);
}

/* Four hexadecimal digits, -1 when they are not. */
static inline int json_hex_quad(const char *p, const char *end)
{
	int quad = 0;
	int digit;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		digit = ascii_hex_digit(p[i]);
		if (digit < 0)
			return -1;
		quad = quad << 4 | digit;
	}
	return quad;
}

static inline enum json_value_type json_type_of(char first)
{
	switch (first) {
	case '{': return JSON_VALUE_OBJECT;
	case '[': return JSON_VALUE_ARRAY;
	case '"': return JSON_VALUE_STRING;
	case 't':
	case 'f': return JSON_VALUE_BOOL;
	case 'n': return JSON_VALUE_NULL;
	default: return JSON_VALUE_NUMBER;
	}
}
