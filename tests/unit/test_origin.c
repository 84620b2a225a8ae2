/* origin.c: which values of an Origin header pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compiler.h"
#include "origin.h"

static bool allowed(const char *item, const char *origin)
{
	static char first[] = "https://first.example";
	char *items[] = {first, (char *)item};
	const struct strings list = {items, ARRAY_LEN(items)};

	return origin_allowed(&list, BYTES_OF_STR(origin));
}

static void test_same_origin_passes(void **unused)
{
	assert_true(allowed("https://app.example.com", "https://app.example.com"));
	assert_true(allowed("https://app.example.com", "https://first.example"));
	assert_true(allowed("https://App.example.com", "HTTPS://app.EXAMPLE.com"));
	assert_true(allowed("http://localhost:3000", "http://localhost:3000"));
	assert_true(allowed("http://[::1]:8080", "http://[::1]:8080"));
	assert_true(allowed("null", "null"));
}

static void test_others_do_not(void **unused)
{
	assert_false(allowed("https://example.com", "http://example.com"));
	assert_false(allowed("https://example.com", "https://example.com:8443"));
	assert_false(allowed("https://example.com:8443", "https://example.com"));
	assert_false(allowed("https://example.com", "https://evil-example.com"));
	assert_false(allowed("https://example.com", "https://example.com.evil.com"));
	assert_false(allowed("https://example.com", "https://sub.example.com"));
	assert_false(allowed("https://example.com", "https://example.co"));
	assert_false(allowed("https://example.com", "https://example.com/"));
	assert_false(allowed("https://example.com", "https://example.com https://example.com"));
	assert_false(allowed("https://example.com", "null"));
	assert_false(allowed("https://example.com", ""));
	assert_false(allowed("", ""));
}

static void test_star_allows_all(void **unused)
{
	assert_true(allowed("*", "https://anything.example"));
	assert_true(allowed("*", "file://"));
	assert_true(allowed("*", "chrome-extension://abcdefgh"));
}

/* A frame with the attribute sandbox has it, in any page, whoever wrote that. */
static void test_null_passes_only_by_its_name(void **unused)
{
	assert_true(allowed("null", "null"));
	assert_true(allowed("null", "NULL"));
	assert_false(allowed("*", "null"));
	assert_false(allowed("*", "Null"));
	assert_false(allowed("n*l", "null"));
	assert_false(allowed("**", "null"));
	assert_false(allowed("null", "https://null"));
}

static void test_attacks(void **unused)
{
	static const char *const allowed_ones[] = {"https://example.com", "https://*.example.com",
	                                           "https://example.com:*"};
	static const char *const attacks[] = {
		/* the name at one end */
		"https://evil-example.com",
		"https://example.com.evil.com",
		"https://evilexample.com",
		"https://example.com-evil.com",
		"https://xexample.com",
		"https://example.comx",
		/* the name where it is no name */
		"https://example.com@evil.com",
		"https://evil.com/example.com",
		"https://evil.com?.example.com",
		"https://evil.com#.example.com",
		"https://evil.com\\.example.com",
		"https://user:x@a.example.com",
		"https://evil.com/.example.com",
		"https://evil.com%2f.example.com",
		"https://evil.com;.example.com",
		"https://evil.com:.example.com",
		"https://a_.example.com@evil.com",
		/* another scheme */
		"http://example.com",
		"http://a.example.com",
		"wss://example.com",
		"https:example.com",
		"https:///example.com",
		"//example.com",
		"example.com",
		"file://",
		"https//example.com",
		/* the end of the root, for a browser another host */
		"https://example.com.",
		"https://a.example.com.",
		/* several, and what is none */
		"https://example.com https://evil.com",
		"https://evil.com https://example.com",
		"https://example.com,https://evil.com",
		"https://evil.com, https://a.example.com",
		"null",
		"",
		" https://example.com",
		"https://example.com/",
		"https://example.com:",
		"https://example.com:44:3",
		/* other letters that look the same, or come to the same */
		"https://ex\xd0\xb0mple.com",
		"https://\xef\xbd\x85xample.com",
		"https://xn--exmple-4nf.com",
		"https://a.ex\xd0\xb0mple.com",
		"https://e\xc2\xadxample.com",
	};

	for (size_t i = 0; i < ARRAY_LEN(allowed_ones); i++) {
		for (size_t j = 0; j < ARRAY_LEN(attacks); j++) {
			if (allowed(allowed_ones[i], attacks[j]))
				fail_msg("%s let in %s", allowed_ones[i], attacks[j]);
		}
	}
}

static void test_a_star_stands_for_a_part_of_the_name_or_the_port(void **unused)
{
	static const char subdomains[] = "https://*.example.com";

	assert_true(allowed(subdomains, "https://app.example.com"));
	assert_true(allowed(subdomains, "https://a.b.EXAMPLE.com"));
	assert_true(allowed(subdomains, "https://a.example.com.example.com"));
	assert_false(allowed(subdomains, "https://example.com"));
	assert_false(allowed(subdomains, "https://evil-example.com"));
	assert_false(allowed(subdomains, "https://app.example.com.evil.com"));
	assert_false(allowed(subdomains, "https://app.example.com:8443"));
	assert_false(allowed(subdomains, "http://app.example.com"));
	assert_false(allowed(subdomains, ""));
	assert_true(allowed("http://localhost:*", "http://localhost:3000"));
	assert_false(allowed("http://localhost:*", "http://localhost"));
	assert_false(allowed("http://localhost:*", "http://localhost:3000/x"));
	assert_true(allowed("*://*.a*b", "x://y.a.a.bb"));
	assert_false(allowed("*://*.a*b", "x://y.a.a.bc"));
	assert_false(allowed(subdomains, "https://.example.com"));
	assert_false(allowed(subdomains, "https://evil.com/.example.com"));
	assert_false(allowed(subdomains, "https://evil.com#.example.com"));
	assert_false(allowed(subdomains, "https://evil.com?.example.com"));
	assert_false(allowed(subdomains, "https://evil.com:80.example.com"));
	assert_false(allowed(subdomains, "https://a@b.example.com"));
	assert_false(allowed(subdomains, "https://\xc3\xa9.example.com"));
}

static void test_empty_list_allows_none(void **unused)
{
	const struct strings none = {NULL, 0};

	assert_false(origin_allowed(&none, BYTES("https://example.com")));
	assert_false(origin_allowed(&none, BYTES("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_origin_passes),
		cmocka_unit_test(test_others_do_not),
		cmocka_unit_test(test_star_allows_all),
		cmocka_unit_test(test_null_passes_only_by_its_name),
		cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_a_star_stands_for_a_part_of_the_name_or_the_port),
		cmocka_unit_test(test_empty_list_allows_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
