/* json_scan.h: sixteen bytes at a time, and eight, find what one at a time does: each byte at each place, of
 * texts of each length at each alignment; those that end at the end of a page are followed by one that must
 * not be touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guarded.h"
#include "json_scan.h"

enum { LEN_MAX = 37, ALIGNMENTS = 16 };

typedef const char *find_fn(const char *p, const char *end, uint64_t *high);

static const char *find_simple(const char *p, const char *end, uint64_t *high)
{
	for (; p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20; p++)
		*high |= (unsigned char)*p & 0x80;
	return p;
}

static bool has_high(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return true;
	return false;
}

/* That there is a byte above 0x7f must be said when it is before the end, and may be when it is in the text.
 */
static void check(find_fn *find, const char *text, size_t len)
{
	uint64_t expected_high = 0, high = 0;
	const char *expected = find_simple(text, text + len, &expected_high);

	assert_ptr_equal(find(text, text + len, &high), expected);
	if (expected_high != 0)
		assert_true(high != 0);
	if (!has_high(text, len))
		assert_true(high == 0);
}

static void check_each_byte_at_each_place(find_fn *find)
{
	for (size_t behind = 0; behind < ALIGNMENTS; behind++) {
		for (size_t len = 0; len <= LEN_MAX; len++) {
			char *text = guarded_end() - behind - len;

			memset(text, 'x', len + behind);
			check(find, text, len);
			for (size_t at = 0; at < len; at++) {
				for (int c = 0; c < 256; c++) {
					text[at] = (char)c;
					check(find, text, len);
				}
				text[at] = 'x';
			}
		}
	}
}

static void the_fast_way_finds_what_the_simple_one_does(void **state)
{
	check_each_byte_at_each_place(json_find_special);
}

static void the_portable_way_finds_what_the_simple_one_does(void **state)
{
	check_each_byte_at_each_place(json_find_special_portable);
}

/* One of several is not hidden by those behind it. */
static void the_first_of_many_is_found(void **state)
{
	static const char bytes[] = "\"\\\x01\x1f\x20!#[]x\x7f\x80\xff";
	char *text = guarded_end() - LEN_MAX;
	unsigned seed = guarded_seed();

	for (int round = 0; round < 200000; round++) {
		for (size_t i = 0; i < LEN_MAX; i++)
			text[i] = rand_r(&seed) % 8 ? 'x'
			                            : bytes[(unsigned)rand_r(&seed) % (sizeof(bytes) - 1)];
		check(json_find_special, text, LEN_MAX);
		check(json_find_special_portable, text, LEN_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fast_way_finds_what_the_simple_one_does),
		cmocka_unit_test(the_portable_way_finds_what_the_simple_one_does),
		cmocka_unit_test(the_first_of_many_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
