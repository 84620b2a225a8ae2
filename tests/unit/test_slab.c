/* slab.c: objects do not overlap, come zeroed, and their memory goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "slab.h"

enum { SIZE = 120, MANY = 5000 };

static void expect_filled(const unsigned char *object, unsigned char with)
{
	for (int i = 0; i < SIZE; i++)
		assert_int_equal(object[i], with);
}

static unsigned char *new_filled(struct slab *s, unsigned char with)
{
	unsigned char *object = slab_alloc(s);

	assert_int_equal((uintptr_t)object % sizeof(void *), 0);
	expect_filled(object, 0);
	memset(object, with, SIZE);
	return object;
}

static void test_objects_that_come_and_go(void **state)
{
	struct slab *s = slab_new(SIZE);
	unsigned char *objects[MANY] = {0};
	unsigned seed = 1;

	for (int round = 0; round < 20 * MANY; round++) {
		int i = rand_r(&seed) % MANY;

		if (objects[i] == NULL) {
			objects[i] = new_filled(s, (unsigned char)(i | 1));
			continue;
		}
		expect_filled(objects[i], (unsigned char)(i | 1));
		slab_free(objects[i]);
		objects[i] = NULL;
	}
	for (int i = 0; i < MANY; i++) {
		if (objects[i] != NULL)
			expect_filled(objects[i], (unsigned char)(i | 1));
		slab_free(objects[i]);
	}
	slab_close(&s);
	assert_null(s);
}

static void test_a_neighbour_stands_right_behind(void **state)
{
	struct slab *s = slab_new(SIZE - 3);
	char *first = slab_alloc(s);
	char *second = slab_alloc(s);

	assert_ptr_equal(second, first + SIZE);
	slab_free(second);
	assert_ptr_equal(slab_alloc(s), second);
	slab_free(first);
	slab_free(second);
	slab_free(NULL);
	slab_close(&s);
}

/* As connections are, which are freed at the end of the turn. */
static void test_objects_that_outlive_their_owner(void **state)
{
	struct slab *s = slab_new(SIZE);
	unsigned char *objects[MANY];

	for (int i = 0; i < MANY; i++)
		objects[i] = new_filled(s, 7);
	slab_close(&s);
	for (int i = 0; i < MANY; i++) {
		expect_filled(objects[i], 7);
		slab_free(objects[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_that_come_and_go),
		cmocka_unit_test(test_a_neighbour_stands_right_behind),
		cmocka_unit_test(test_objects_that_outlive_their_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
