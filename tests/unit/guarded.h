/* What the tests of text scanning share: memory before a page that must not be touched, so that whoever reads
 * on is killed, sanitizer or not; and a seed, told, that TEST_SEED repeats. */
#pragma once

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARDED_LEN = 1 << 20 };

/* The end of GUARDED_LEN bytes, the same ones each time. */
static inline char *guarded_end(void)
{
	static char *memory;

	if (memory == NULL) {
		memory = mmap(NULL, 2 * GUARDED_LEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(memory != MAP_FAILED);
		assert_int_equal(mprotect(memory, GUARDED_LEN, PROT_READ | PROT_WRITE), 0);
	}
	return memory + GUARDED_LEN;
}

static inline unsigned guarded_seed(void)
{
	const char *given = getenv("TEST_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();

	print_message("TEST_SEED=%u\n", seed);
	return seed;
}
