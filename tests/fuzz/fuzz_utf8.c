/* utf8.c against a decoder that knows code points: the verdict, and after each byte, at which a text may
 * stop. */
#include "fuzz.h"

#include "utf8.h"

/* Bytes of the character at the front, 0 when it is none. */
static size_t character(const uint8_t *p, size_t len)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t size = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
	uint32_t code = size == 1 ? p[0] : p[0] & (0x7fu >> size);

	if (size == 0 || size > len)
		return 0;
	for (size_t i = 1; i < size; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	return code < smallest[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : size;
}

static bool is_valid(const uint8_t *p, size_t len)
{
	size_t at = 0, size = 1;

	while (at < len && size > 0) {
		size = character(p + at, len - at);
		at += size;
	}
	return size > 0;
}

/* Whether some bytes behind it would make it valid: as soon as not, it is invalid. */
static bool can_go_on(const uint8_t *p, size_t len)
{
	static const uint8_t edges[] = {0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf};
	size_t whole = 0, left;
	uint8_t last[4] = {0};

	while (whole < len && character(p + whole, len - whole) > 0)
		whole += character(p + whole, len - whole);
	left = len - whole;
	if (left == 0 || left > 3)
		return left == 0;
	memcpy(last, p + whole, left);
	for (size_t i = 0; i < sizeof(edges); i++) {
		memset(last + left, 0x80, sizeof(last) - left);
		last[left] = edges[i];
		for (size_t size = left + 1; size <= 4; size++)
			if (character(last, size) == size)
				return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	bool valid = is_valid(data, size);

	CHECK(utf8_valid((struct bytes){copy, size}) == valid);
	for (unsigned way = 0; way < FUZZ_CUTS; way++) {
		uint32_t state = UTF8_START;

		for (size_t at = 0, end; at < size; at = end) {
			end = fuzz_cut(way, at, size);
			fuzz_show(copy, size, end);
			state = utf8_continue(state, (struct bytes){copy + at, end - at});
			if (size < 64)
				CHECK((state == UTF8_INVALID) == !can_go_on(data, end));
		}
		CHECK((state == UTF8_START) == valid);
	}
	mem_free(copy);
	return 0;
}
