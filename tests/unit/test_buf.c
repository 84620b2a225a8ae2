/* The growable buffer: its ceiling, its failure, and that it forgets neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"

static void takes_exactly_its_ceiling(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	assert_null(b.data);
	for (int i = 0; i < 100; i++)
		buf_putc(&b, 'x');
	assert_true(buf_ok(&b));
	assert_int_equal(b.len, 100);
	buf_putc(&b, 'y');
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 100);
	buf_free(&b);
	assert_true(buf_ok(&b));
}

static void after_a_put_that_did_not_fit_smaller_ones_do_nothing(void **state)
{
	struct buf b;

	buf_init(&b, 4);
	buf_puts(&b, "ab");
	buf_puts(&b, "cdef");
	buf_puts(&b, "g");
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 2);
	buf_reset(&b);
	buf_puts(&b, "wxyz");
	assert_true(buf_ok(&b));
	assert_memory_equal(b.data, "wxyz", 4);
	buf_free(&b);
}

static void formats_at_the_ceiling_without_the_terminating_zero_counting_as_content(void **state)
{
	struct buf b;

	buf_init(&b, 6);
	buf_putf(&b, "%s-%d", "ab", 42);
	assert_true(buf_ok(&b));
	assert_int_equal(b.len, 5);
	buf_putf(&b, "%d", 1234567);
	assert_false(buf_ok(&b));
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.data, "ab-42", 5);
	buf_free(&b);
}

static void writes_numbers_and_consumes_from_the_front(void **state)
{
	struct buf b;

	buf_init(&b, 64);
	buf_put_u64(&b, 0);
	buf_put_u64(&b, UINT64_MAX);
	assert_int_equal(b.len, 21);
	assert_memory_equal(b.data, "018446744073709551615", 21);
	buf_consume(&b, 11);
	assert_memory_equal(b.data, "3709551615", 10);
	buf_consume(&b, 10);
	assert_int_equal(b.len, 0);
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_exactly_its_ceiling),
		cmocka_unit_test(after_a_put_that_did_not_fit_smaller_ones_do_nothing),
		cmocka_unit_test(formats_at_the_ceiling_without_the_terminating_zero_counting_as_content),
		cmocka_unit_test(writes_numbers_and_consumes_from_the_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
