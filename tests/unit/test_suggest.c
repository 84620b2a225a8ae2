/* "Did you mean". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler.h"
#include "suggest.h"

static void check(const char *word, const char *wanted)
{
	static const char *const candidates[] = {"serve",         "check",        "config",
	                                         "ping_interval", "pong_timeout", "dev"};
	struct suggest s = suggest_for(BYTES_OF_STR(word));

	for (size_t i = 0; i < ARRAY_LEN(candidates); i++)
		suggest_try(&s, BYTES_OF_STR(candidates[i]));
	assert_true(bytes_eq(s.best, wanted != NULL ? BYTES_OF_STR(wanted) : BYTES_NONE));
}

static void slips_are_understood(void **state)
{
	check("serv", "serve");
	check("chekc", "check");
	check("confg", "config");
	check("ping_intervals", "ping_interval");
	check("pingintervall", "ping_interval");
	check("de", "dev");
}

static void other_words_are_not(void **state)
{
	check("", NULL);
	check("x", NULL);
	check("publish", NULL);
	check("interval", NULL);
	check("ping", NULL);
}

static void long_words_cost_nothing(void **state)
{
	char word[5000];
	struct suggest s = suggest_for((struct bytes){word, sizeof(word)});

	memset(word, 'a', sizeof(word));
	suggest_try(&s, (struct bytes){word, sizeof(word)});
	suggest_try(&s, BYTES("a"));
	assert_int_equal(s.best.len, 0);
	s = suggest_for(BYTES("a"));
	suggest_try(&s, (struct bytes){word, sizeof(word)});
	assert_int_equal(s.best.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slips_are_understood),
		cmocka_unit_test(other_words_are_not),
		cmocka_unit_test(long_words_cost_nothing),
	};

	return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
