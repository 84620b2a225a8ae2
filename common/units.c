#include "units.h"

#include <inttypes.h>
#include <stdio.h>

#include "ascii.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Bigger ones first: formatting takes the first that divides. */
static const struct unit durations[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit sizes[] = {
	{"GiB", 1u << 30}, {"MiB", 1u << 20}, {"KiB", 1u << 10}, {"GB", 1000000000},
	{"MB", 1000000},   {"KB", 1000},      {"B", 1},          {"", 1}};
enum { POWERS_OF_1024 = 3 };

/* The digits at the beginning; the rest of the text is in *rest. */
static bool parse_digits(struct bytes text, uint64_t *n, struct bytes *rest)
{
	size_t i = 0;

	*n = 0;
	for (; i < text.len && ascii_is_digit(text.ptr[i]); i++) {
		if (__builtin_mul_overflow(*n, 10, n) ||
		    __builtin_add_overflow(*n, (uint64_t)(text.ptr[i] - '0'), n))
			return false;
	}
	*rest = bytes_skip(text, i);
	return i > 0;
}

static bool parse_with_unit(struct bytes text, const struct unit *units, size_t count, uint64_t *n)
{
	struct bytes unit;

	if (!parse_digits(text, n, &unit))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (bytes_eq(unit, BYTES_OF_STR(units[i].name)))
			return !__builtin_mul_overflow(*n, units[i].factor, n);
	}
	return false;
}

static void format_with_unit(uint64_t n, const struct unit *units, size_t count, const char *otherwise,
                             char text[UNITS_TEXT_MAX])
{
	for (size_t i = 0; i < count && n > 0; i++) {
		if (n % units[i].factor != 0)
			continue;
		snprintf(text, UNITS_TEXT_MAX, "%" PRIu64 "%s", n / units[i].factor, units[i].name);
		return;
	}
	snprintf(text, UNITS_TEXT_MAX, "%" PRIu64 "%s", n, otherwise);
}

bool units_parse_number(struct bytes text, uint64_t *n)
{
	struct bytes rest;

	return parse_digits(text, n, &rest) && rest.len == 0;
}

bool units_parse_duration(struct bytes text, uint64_t *ms)
{
	*ms = 0;
	return bytes_eq(text, BYTES("0")) || parse_with_unit(text, durations, ARRAY_LEN(durations), ms);
}

bool units_parse_size(struct bytes text, uint64_t *len_bytes)
{
	return parse_with_unit(text, sizes, ARRAY_LEN(sizes), len_bytes);
}

void units_format_duration(uint64_t ms, char text[UNITS_TEXT_MAX])
{
	format_with_unit(ms, durations, ARRAY_LEN(durations), "s", text);
}

void units_format_size(uint64_t len_bytes, char text[UNITS_TEXT_MAX])
{
	format_with_unit(len_bytes, sizes, POWERS_OF_1024, "", text);
}
