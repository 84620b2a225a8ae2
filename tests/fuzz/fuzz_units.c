/* units.c: what parses is written so that it parses to the same; plain numbers are those of strtoull(). */
#include "fuzz.h"

#include <errno.h>
#include <inttypes.h>

#include "units.h"

static void check(struct bytes text, bool (*parse)(struct bytes text, uint64_t *n),
                  void (*format)(uint64_t n, char text[UNITS_TEXT_MAX]))
{
	char written[UNITS_TEXT_MAX];
	uint64_t n, again;

	if (!parse(text, &n))
		return;
	format(n, written);
	CHECK(parse(BYTES_OF_STR(written), &again) && again == n);
}

static void check_number(struct bytes text)
{
	char *copy = mem_strndup(text.ptr, text.len);
	bool digits = text.len > 0 && strspn(copy, "0123456789") == text.len;
	uint64_t expected, n;

	errno = 0;
	expected = strtoull(copy, NULL, 10);
	CHECK(units_parse_number(text, &n) == (digits && errno == 0));
	CHECK(!digits || errno != 0 || n == expected);
	mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = fuzz_copy(data, size);
	struct bytes text = {copy, size};

	check(text, units_parse_duration, units_format_duration);
	check(text, units_parse_size, units_format_size);
	check_number(text);
	mem_free(copy);
	return 0;
}
