/* What is said first to a Redis, and what its answers mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "redis_endpoint.h"
#include "redis_login.h"
#include "redis_resp.h"

static struct redis_login login;
static char why[REDIS_ERROR_MAX];

static struct redis_endpoint endpoint_at(const char *address)
{
	struct redis_endpoint e;

	redis_endpoint_init(&e, address, NULL);
	assert_null(e.error);
	return e;
}

/* What the login says, with the answers to it. */
static enum redis_trouble answer(const struct redis_endpoint *e, const char *answers)
{
	struct resp *resp = resp_new();
	struct buf out;
	const struct redis_reply *reply;
	enum redis_trouble trouble = REDIS_CONNECTING;

	buf_init(&out, 4096);
	redis_login_begin(&login, e, "me", &out);
	buf_free(&out);
	assert_true(resp_feed(resp, answers, strlen(answers)));
	while (trouble == REDIS_CONNECTING && resp_next(resp, &reply) == RESP_REPLY)
		trouble = redis_login_reply(&login, reply, why);
	resp_free(&resp);
	return trouble;
}

static void check_said(const struct redis_endpoint *e, const char *wanted)
{
	struct buf out;

	buf_init(&out, 4096);
	redis_login_begin(&login, e, "me", &out);
	assert_int_equal(out.len, strlen(wanted));
	assert_memory_equal(out.data, wanted, out.len);
	buf_free(&out);
}

#define LAST "*1\r\n$4\r\nROLE\r\n*1\r\n$4\r\nPING\r\n"
#define NAME "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$2\r\nme\r\n"

static void everything_is_said_at_once_and_ping_last(void **state)
{
	struct redis_endpoint plain = endpoint_at("redis://h");
	struct redis_endpoint full = endpoint_at("redis://u:p@h/12");

	check_said(&plain, NAME "*1\r\n$5\r\nHELLO\r\n" LAST);
	check_said(&full, "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n" NAME
	                  "*1\r\n$5\r\nHELLO\r\n" LAST);
	plain.is_sentinel = true;
	check_said(&plain, NAME LAST);
	redis_endpoint_free(&plain);
	redis_endpoint_free(&full);
}

static void who_answers_everything_lets_us_in(void **state)
{
	struct redis_endpoint e = endpoint_at("redis://h");

	assert_int_equal(answer(&e, "+OK\r\n*0\r\n*1\r\n$6\r\nmaster\r\n"), REDIS_CONNECTING);
	assert_int_equal(answer(&e, "+OK\r\n*0\r\n*1\r\n$6\r\nmaster\r\n+PONG\r\n"), REDIS_FINE);
	assert_int_equal(answer(&e, "-NOPERM\r\n-NOPERM\r\n-NOPERM\r\n-MISCONF disk\r\n"), REDIS_FINE);
	assert_int_equal(answer(&e, ":1\r\n$-1\r\n*1\r\n:1\r\n*-1\r\n"), REDIS_FINE);
	redis_endpoint_free(&e);
}

static void errors_keep_out_or_do_not(void **state)
{
	struct redis_endpoint e = endpoint_at("redis://:p@h/1");

	assert_int_equal(answer(&e, "-WRONGPASS no\r\n"), REDIS_REFUSING);
	assert_string_equal(why, "refused authentication: WRONGPASS no");
	assert_int_equal(answer(&e, "+OK\r\n-ERR DB index is out of range\r\n"), REDIS_UNFIT);
	assert_string_equal(why, "is not ready: DB index is out of range");
	assert_int_equal(answer(&e, "-ERR ERR ERRONEOUS\r\n"), REDIS_REFUSING);
	assert_string_equal(why, "refused authentication: ERRONEOUS");
	assert_int_equal(answer(&e, "+OK\r\n+OK\r\n-LOADING data\r\n"), REDIS_UNFIT);
	assert_string_equal(why, "is not ready: LOADING data");
	assert_int_equal(answer(&e, "+OK\r\n+OK\r\n-LOADINGS data\r\n"), REDIS_CONNECTING);
	redis_endpoint_free(&e);
}

#define MODE(mode) "+OK\r\n*2\r\n$4\r\nmode\r\n" mode "\r\n"
#define ROLE(role) "+OK\r\n*0\r\n*1\r\n" role "\r\n"

static void it_must_be_what_is_looked_for(void **state)
{
	struct redis_endpoint e = endpoint_at("redis://h");

	assert_int_equal(answer(&e, ROLE("$5\r\nslave")), REDIS_UNFIT);
	assert_string_equal(why, "is a read-only replica");
	assert_int_equal(answer(&e, ROLE("$8\r\nsentinel")), REDIS_UNFIT);
	assert_int_equal(answer(&e, MODE("$7\r\ncluster")), REDIS_REFUSING);
	assert_int_equal(answer(&e, MODE("$10\r\nstandalone")), REDIS_CONNECTING);
	e.in_cluster = e.may_be_replica = true;
	assert_int_equal(answer(&e, MODE("$10\r\nstandalone")), REDIS_REFUSING);
	assert_int_equal(answer(&e, MODE("$7\r\ncluster")), REDIS_CONNECTING);
	assert_int_equal(answer(&e, ROLE("$5\r\nslave")), REDIS_CONNECTING);
	e.is_sentinel = true;
	assert_int_equal(answer(&e, "+OK\r\n*1\r\n$6\r\nmaster\r\n"), REDIS_UNFIT);
	assert_string_equal(why, "is a Redis and no sentinel");
	assert_int_equal(answer(&e, "+OK\r\n*1\r\n$8\r\nsentinel\r\n+PONG\r\n"), REDIS_FINE);
	redis_endpoint_free(&e);
}

static void what_redis_says_is_cut(void **state)
{
	struct redis_endpoint e = endpoint_at("redis://:p@h");
	char line[REDIS_ERROR_MAX * 4];

	memset(line, 'x', sizeof(line));
	line[0] = '-';
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	assert_int_equal(answer(&e, line), REDIS_REFUSING);
	assert_int_equal(strlen(why), strlen("refused authentication: ") + REDIS_ERROR_SHOWN);
	redis_endpoint_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_said_at_once_and_ping_last),
		cmocka_unit_test(who_answers_everything_lets_us_in),
		cmocka_unit_test(errors_keep_out_or_do_not),
		cmocka_unit_test(it_must_be_what_is_looked_for),
		cmocka_unit_test(what_redis_says_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
