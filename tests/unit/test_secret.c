/* Memory for keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "secret.h"

/* Whether the kernel marks the pages at the address as not to be dumped (proc(5), smaps, VmFlags). */
static bool stays_out_of_core_files(const void *address)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	bool here = false, found = false;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = (uintptr_t)address >= from && (uintptr_t)address < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " dd") != NULL;
	}
	fclose(f);
	return found;
}

static void a_secret_is_zeroed_and_stays_out_of_core_files(void **state)
{
	static const size_t sizes[] = {1, 100, 4096, 4097, 1000000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *secret = secret_alloc(sizes[i]);

		for (size_t at = 0; at < sizes[i]; at++)
			assert_int_equal(secret[at], 0);
		assert_true(stays_out_of_core_files(secret));
		assert_true(stays_out_of_core_files(secret + sizes[i] - 1));
		memset(secret, 'x', sizes[i]);
		secret_free(secret, sizes[i]);
	}
	assert_false(stays_out_of_core_files(sizes));
	secret_free(NULL, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_is_zeroed_and_stays_out_of_core_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
