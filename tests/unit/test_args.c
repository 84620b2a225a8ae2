/* Reading the arguments of a command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "args.h"
#include "compiler.h"

enum { ARG_LISTEN, ARG_DEV };
static const struct args_option options[] = {{"--listen", true}, {"--dev", false}};

static const char *value;

#define START(...)                                     \
	char *argv[] = {(char *)"serve", __VA_ARGS__}; \
	struct args args;                              \
	args_init(&args, (int)ARRAY_LEN(argv), argv)

static int next(struct args *args)
{
	value = NULL;
	return args_next(args, options, ARRAY_LEN(options), &value);
}

static void expect_next(struct args *args, int option, const char *wanted)
{
	assert_int_equal(next(args), option);
	assert_string_equal(value, wanted);
}

static void values_stand_behind_or_after_the_option(void **state)
{
	START((char *)"--listen", (char *)":80", (char *)"--listen=:81",
	      (char *)"--listen=", (char *)"--listen=a=b");

	expect_next(&args, ARG_LISTEN, ":80");
	expect_next(&args, ARG_LISTEN, ":81");
	expect_next(&args, ARG_LISTEN, "");
	expect_next(&args, ARG_LISTEN, "a=b");
	assert_int_equal(next(&args), ARGS_END);
	assert_int_equal(next(&args), ARGS_END);
}

static void operands_stand_anywhere(void **state)
{
	START((char *)"news", (char *)"--dev", (char *)"-", (char *)"", (char *)"--", (char *)"--dev",
	      (char *)"--");

	expect_next(&args, ARGS_OPERAND, "news");
	assert_int_equal(next(&args), ARG_DEV);
	assert_null(value);
	expect_next(&args, ARGS_OPERAND, "-");
	expect_next(&args, ARGS_OPERAND, "");
	expect_next(&args, ARGS_OPERAND, "--dev");
	expect_next(&args, ARGS_OPERAND, "--");
	assert_int_equal(next(&args), ARGS_END);
}

/* A value may look like an option: it is what was asked for. */
static void a_value_may_begin_with_a_dash(void **state)
{
	START((char *)"--listen", (char *)"--dev");

	expect_next(&args, ARG_LISTEN, "--dev");
	assert_int_equal(next(&args), ARGS_END);
}

static void check_wrong(char *arg)
{
	START(arg);

	assert_int_equal(next(&args), ARGS_WRONG);
}

static void wrong_use_is_told(void **state)
{
	check_wrong((char *)"--listen");
	check_wrong((char *)"--dev=1");
	check_wrong((char *)"--dev=");
	check_wrong((char *)"--devel");
	check_wrong((char *)"--de");
	check_wrong((char *)"-d");
	check_wrong((char *)"--=x");
	check_wrong((char *)"--nothing-like-it");
}

static void no_arguments_are_fine(void **state)
{
	char *argv[] = {(char *)"serve"};
	struct args args;

	args_init(&args, 1, argv);
	assert_int_equal(next(&args), ARGS_END);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_stand_behind_or_after_the_option),
		cmocka_unit_test(operands_stand_anywhere),
		cmocka_unit_test(a_value_may_begin_with_a_dash),
		cmocka_unit_test(wrong_use_is_told),
		cmocka_unit_test(no_arguments_are_fine),
	};

	return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
