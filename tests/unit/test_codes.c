/* codes.c: the reasons and messages are those that SDKs know and can take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "codes.h"
#include "json_reader.h"

/* SDKs take a reason that is valid JSON for another protocol, and an empty one for an order to come back. */
static void check_reason(const char *reason)
{
	struct json_value value;

	assert_in_range(strlen(reason), 1, 123);
	assert_false(json_parse(BYTES_OF_STR(reason), &value));
}

static void test_codes(void **state)
{
#define CHECK_DISCONNECT(name, code, reason)                                 \
	check_reason(disconnect_reason(DISCONNECT_##name));                  \
	assert_string_equal(disconnect_reason(DISCONNECT_##name), (reason)); \
	assert_int_equal(DISCONNECT_##name, (code));
	DISCONNECT_CODES(CHECK_DISCONNECT)
#undef CHECK_DISCONNECT
	check_reason(disconnect_reason(DISCONNECT_NONE));
	assert_string_equal(disconnect_reason(3501), "bad request");
	check_reason(unsubscribe_reason(UNSUBSCRIBE_SERVER));
	assert_string_equal(unsubscribe_reason(2500), "insufficient state");
	assert_string_equal(error_message(103), "permission denied");
	assert_string_equal(error_message(109), "token expired");
	assert_true(error_temporary(100));
	assert_true(error_temporary(111));
	assert_false(error_temporary(109));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
