/* Numbers, durations and sizes: what parses, what does not, and that what is formatted parses to the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "units.h"

static void durations_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {{"0", 0},        {"0s", 0},
	            {"1ms", 1},      {"500ms", 500},
	            {"25s", 25000},  {"10m", 600000},
	            {"1h", 3600000}, {"90m", 5400000},
	            {"007s", 7000},  {"18446744073709551615ms", UINT64_MAX}};
	static const char *const bad[] = {"",
	                                  "25",
	                                  "s",
	                                  "1.5s",
	                                  "-1s",
	                                  "+1s",
	                                  "1 s",
	                                  "1s ",
	                                  " 1s",
	                                  "1S",
	                                  "1d",
	                                  "1m30s",
	                                  "1e3s",
	                                  "0x1s",
	                                  "1µs",
	                                  "00",
	                                  "18446744073709551616ms",
	                                  "18446744073709551615s"};
	uint64_t ms;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(units_parse_duration(BYTES_OF_STR(good[i].text), &ms));
		assert_true(ms == good[i].ms);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(units_parse_duration(BYTES_OF_STR(bad[i]), &ms));
}

static void sizes_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t len_bytes;
	} good[] = {{"0", 0},         {"65536", 65536},  {"1B", 1},
	            {"64KiB", 65536}, {"1MiB", 1048576}, {"2GiB", 2147483648},
	            {"1KB", 1000},    {"1MB", 1000000},  {"1GB", 1000000000}};
	static const char *const bad[] = {"",       "KiB", "1 KiB",          "1kib", "1K",
	                                  "1.5MiB", "-1",  "17179869184GiB", "1MiBs"};
	uint64_t len_bytes;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(units_parse_size(BYTES_OF_STR(good[i].text), &len_bytes));
		assert_true(len_bytes == good[i].len_bytes);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(units_parse_size(BYTES_OF_STR(bad[i]), &len_bytes));
}

static void numbers_parse(void **state)
{
	uint64_t n;

	assert_true(units_parse_number(BYTES("18446744073709551615"), &n));
	assert_true(n == UINT64_MAX);
	assert_false(units_parse_number(BYTES("18446744073709551616"), &n));
	assert_false(units_parse_number(BYTES("99999999999999999999999999"), &n));
	assert_false(units_parse_number(BYTES("1\0"), &n));
	assert_false(units_parse_number(BYTES(""), &n));
	assert_false(units_parse_number(BYTES_NONE, &n));
}

static void formatted_is_short(void **state)
{
	char text[UNITS_TEXT_MAX];

	units_format_duration(0, text);
	assert_string_equal(text, "0s");
	units_format_duration(1500, text);
	assert_string_equal(text, "1500ms");
	units_format_duration(25000, text);
	assert_string_equal(text, "25s");
	units_format_duration(7200000, text);
	assert_string_equal(text, "2h");
	units_format_size(1048576, text);
	assert_string_equal(text, "1MiB");
	units_format_size(1000000, text);
	assert_string_equal(text, "1000000");
	units_format_size(0, text);
	assert_string_equal(text, "0");
}

static void formatted_parses_to_the_same(void **state)
{
	char text[UNITS_TEXT_MAX];
	uint64_t n = 1, parsed;

	for (int i = 0; i < 2000; i++) {
		units_format_duration(n, text);
		assert_true(units_parse_duration(BYTES_OF_STR(text), &parsed));
		assert_true(parsed == n);
		units_format_size(n, text);
		assert_true(units_parse_size(BYTES_OF_STR(text), &parsed));
		assert_true(parsed == n);
		n = n * 6364136223846793005ull + 1442695040888963407ull;
		n >>= i % 64;
	}
	units_format_size(UINT64_MAX, text);
	assert_true(units_parse_size(BYTES_OF_STR(text), &parsed));
	assert_true(parsed == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_parse),
		cmocka_unit_test(sizes_parse),
		cmocka_unit_test(numbers_parse),
		cmocka_unit_test(formatted_is_short),
		cmocka_unit_test(formatted_parses_to_the_same),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
