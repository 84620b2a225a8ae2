/* The output queue against a plain string of all bytes pushed, over random pushes and partial sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "outq.h"

static struct frame *frame_of(const char *text)
{
	struct frame *f = frame_copy(BYTES_OF_STR(text));

	assert_non_null(f);
	return f;
}

static void push(struct outq *q, const char *text)
{
	struct frame *f = frame_of(text);

	assert_true(outq_push(q, f, 1 << 20));
	frame_unref(&f);
}

/* What would be written now, as text. */
static size_t peek(const struct outq *q, char *out, int max_iov)
{
	struct iovec iov[OUTQ_MAX_IOV];
	int count = outq_gather(q, iov, max_iov);
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		memcpy(out + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	out[len] = '\0';
	return len;
}

/* Whatever is there already, and what is behind it finds the room that it would have found without. */
static void what_is_spared_does_not_count_while_it_is_there(void **state)
{
	struct frame *small = frame_of("0123456789"), *large = frame_new(1000);
	struct outq q = {0};

	memset(large->data, 'x', large->len);
	assert_true(outq_push(&q, small, 100));
	assert_true(outq_push_spared(&q, large));
	assert_true(outq_push_spared(&q, large));
	assert_int_equal(outq_spared(&q), 2000);
	assert_false(outq_push(&q, small, 100 + OUTQ_FRAME_COST));
	assert_true(outq_push(&q, small, 21 + 4 * OUTQ_FRAME_COST));
	assert_int_equal(q.bytes, 2020);
	outq_consume(&q, 10 + 1000 + 400);
	assert_int_equal(outq_spared(&q), 600);
	assert_true(outq_push(&q, small, 21 + 3 * OUTQ_FRAME_COST));
	assert_false(outq_push(&q, small, 21 + 3 * OUTQ_FRAME_COST));
	outq_consume(&q, 600);
	assert_int_equal(outq_spared(&q), 0);
	assert_int_equal(q.bytes, 20);
	outq_clear(&q);
	assert_true(outq_push_spared(&q, large));
	outq_consume(&q, 1);
	outq_drop_unsent(&q);
	assert_int_equal(outq_spared(&q), 0);
	outq_clear(&q);
	frame_unref(&small);
	frame_unref(&large);
}

static void keeps_order_and_bytes_over_partial_sends(void **state)
{
	static char expected[1 << 20], got[1 << 20], part[1 << 16];
	size_t pushed = 0, sent = 0;
	struct outq q = {0};

	srand(7);
	for (int step = 0; step < 20000; step++) {
		if (rand() % 2 == 0) {
			char text[40];
			int len = rand() % 30;

			for (int i = 0; i < len; i++)
				text[i] = (char)('a' + rand() % 26);
			text[len] = '\0';
			if (len > 0) {
				push(&q, text);
				memcpy(expected + pushed, text, (size_t)len);
				pushed += (size_t)len;
			}
		} else {
			size_t len = peek(&q, part, 1 + rand() % OUTQ_MAX_IOV);
			size_t n = len ? (size_t)rand() % (len + 1) : 0;

			memcpy(got + sent, part, n);
			sent += n;
			outq_consume(&q, n);
		}
		assert_int_equal(q.bytes, pushed - sent);
	}
	assert_memory_equal(expected, got, sent);
	outq_clear(&q);
	assert_true(outq_empty(&q));
	assert_null(q.single);
}

/* Each pong takes some forty bytes of memory for its two on the wire. */
static void small_frames_are_not_free(void **state)
{
	enum { LIMIT = 20000 };
	struct frame *f = frame_of("\x8a");
	struct outq q = {0};

	while (outq_push(&q, f, LIMIT))
		continue;
	assert_in_range(q.count, 1, LIMIT / OUTQ_FRAME_COST);
	outq_clear(&q);
	frame_unref(&f);
}

static void refuses_what_would_pass_the_limit_but_never_the_first_frame(void **state)
{
	struct frame *f = frame_of("0123456789");
	struct outq q = {0};

	assert_true(outq_push(&q, f, 5));
	assert_false(outq_push(&q, f, 19 + 2 * OUTQ_FRAME_COST));
	assert_int_equal(f->refs, 2);
	assert_true(outq_push(&q, f, 20 + 2 * OUTQ_FRAME_COST));
	outq_clear(&q);
	assert_int_equal(f->refs, 1);
	frame_unref(&f);
}

static void drops_all_but_the_rest_of_a_frame_that_is_half_sent(void **state)
{
	struct outq q = {0};
	char text[64];

	push(&q, "first");
	push(&q, "second");
	push(&q, "third");
	outq_consume(&q, 7);
	outq_drop_unsent(&q);
	peek(&q, text, OUTQ_MAX_IOV);
	assert_string_equal(text, "cond");
	push(&q, "!");
	peek(&q, text, OUTQ_MAX_IOV);
	assert_string_equal(text, "cond!");
	outq_consume(&q, 4);
	outq_drop_unsent(&q);
	assert_true(outq_empty(&q));
	assert_int_equal(q.bytes, 0);
}

/* The ring, too, which a second one needed, is gone with it: else it would be leaked here. */
static void holds_no_memory_for_a_single_frame(void **state)
{
	struct frame *f = frame_of("alone");
	struct outq q = {0};

	assert_true(outq_push(&q, f, 1 << 20));
	assert_ptr_equal(q.single, f);
	assert_true(outq_push(&q, f, 1 << 20));
	assert_ptr_not_equal(q.single, f);
	outq_consume(&q, 8);
	assert_ptr_equal(q.single, f);
	outq_consume(&q, 2);
	assert_null(q.single);
	frame_unref(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order_and_bytes_over_partial_sends),
		cmocka_unit_test(what_is_spared_does_not_count_while_it_is_there),
		cmocka_unit_test(small_frames_are_not_free),
		cmocka_unit_test(refuses_what_would_pass_the_limit_but_never_the_first_frame),
		cmocka_unit_test(drops_all_but_the_rest_of_a_frame_that_is_half_sent),
		cmocka_unit_test(holds_no_memory_for_a_single_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
