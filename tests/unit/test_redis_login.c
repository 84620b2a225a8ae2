/* What is said first to a Redis, and what its answers mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler.h"
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
	assert_true(strncmp(why, "refused authentication: WRONGPASS no; ", 38) == 0);
	assert_int_equal(answer(&e, "+OK\r\n-ERR DB index is out of range\r\n"), REDIS_UNFIT);
	assert_string_equal(why, "is not ready: DB index is out of range");
	assert_int_equal(answer(&e, "-ERR ERR ERRONEOUS\r\n"), REDIS_REFUSING);
	assert_string_equal(why, "refused authentication: ERRONEOUS");
	assert_int_equal(answer(&e, "+OK\r\n+OK\r\n-LOADING data\r\n"), REDIS_UNFIT);
	assert_true(strncmp(why, "is not ready: LOADING data; ", 28) == 0);
	assert_int_equal(answer(&e, "+OK\r\n+OK\r\n-LOADINGS data\r\n"), REDIS_CONNECTING);
	redis_endpoint_free(&e);
}

/* What Redis 7.0 says first, word by word, to whom it does not serve; to whatever was said first to it. */
static void what_is_said_first_is_told_as_what_it_is(void **state)
{
	static const struct {
		const char *answer;
		enum redis_trouble trouble;
		const char *cause;
		const char *remedy;
	} rows[] = {
		{"-ERR max number of clients reached\r\n", REDIS_UNFIT,
	         "has no room for another client: max number of clients reached", "maxclients"},
		{"-ERR max number of clients + cluster connections reached\r\n", REDIS_UNFIT,
	         "has no room for another client: max number of clients + cluster", "maxclients"},
		{"-LOADING Redis is loading the dataset in memory\r\n", REDIS_UNFIT,
	         "is not ready: LOADING Redis is loading", "until"},
		{"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
	         REDIS_UNFIT, "is not ready: MASTERDOWN Link with MASTER is down", "its master"},
		{"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN "
	         "NOSAVE.\r\n",
	         REDIS_UNFIT, "is not ready: BUSY Redis is busy", "FUNCTION KILL"},
		{"-DENIED Redis is running in protected mode because protected mode is enabled and no "
	         "password is set for the default user. In this mode connections are only accepted from the "
	         "loopback interface.\r\n",
	         REDIS_REFUSING, "lets only its own host in: DENIED Redis is running in protected mode",
	         "protected-mode no"},
		{"-NOAUTH Authentication required.\r\n", REDIS_REFUSING, "refused authentication: NOAUTH",
	         "password"},
		{"-WRONGPASS invalid username-password pair or user is disabled.\r\n", REDIS_REFUSING,
	         "refused authentication: WRONGPASS", "ACL"},
	};
	struct redis_endpoint with[] = {endpoint_at("redis://h"), endpoint_at("redis://:p@h/1")};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t e = 0; e < ARRAY_LEN(with); e++) {
			const char *remedy;

			assert_int_equal(answer(&with[e], rows[i].answer), rows[i].trouble);
			assert_true(strncmp(why, rows[i].cause, strlen(rows[i].cause)) == 0);
			remedy = strstr(why, "; ");
			assert_non_null(remedy);
			assert_non_null(strstr(remedy, rows[i].remedy));
			assert_true(strlen(why) < REDIS_ERROR_MAX - 40); /* nothing of it is cut off */
		}
	}
	redis_endpoint_free(&with[0]);
	redis_endpoint_free(&with[1]);
}

static void what_forbids_writing_does_not_keep_out(void **state)
{
	struct redis_endpoint e = endpoint_at("redis://h");

	assert_int_equal(answer(&e, "+OK\r\n*0\r\n*1\r\n$6\r\nmaster\r\n-MISCONF disk\r\n"), REDIS_FINE);
	assert_int_equal(answer(&e, "+OK\r\n*0\r\n*1\r\n$6\r\nmaster\r\n-NOREPLICAS few\r\n"), REDIS_FINE);
	redis_endpoint_free(&e);
}

static struct redis_reply error_of(const char *text)
{
	return (struct redis_reply){.type = REDIS_ERROR, .text = BYTES_OF_STR(text)};
}

static void errors_have_a_remedy_where_one_is_known(void **state)
{
	const struct redis_reply misconf = error_of("MISCONF Redis is configured to save RDB snapshots");
	const struct redis_reply few = error_of("NOREPLICAS Not enough good replicas to write.");
	const struct redis_reply noperm = error_of("NOPERM this user has no permissions");
	const struct redis_reply inside = error_of(
		"ERR fanfare_workers: The user executing the script can't run "
		"this command or subcommand");
	const struct redis_reply newer = error_of(
		"ERR fanfare_workers: ACL failure in script: User we has no "
		"permissions to run the 'zadd' command");
	const struct redis_reply other = error_of("WRONGTYPE Operation against a key");
	const struct redis_reply integer = {.type = REDIS_INTEGER, .text = BYTES("MISCONF")};

	assert_non_null(strstr(redis_error_remedy(&misconf), "its log"));
	assert_non_null(strstr(redis_error_remedy(&few), "min-replicas"));
	assert_non_null(strstr(redis_error_remedy(&noperm), "ACL"));
	assert_non_null(strstr(redis_error_remedy(&inside), "ACL"));
	assert_non_null(strstr(redis_error_remedy(&newer), "ACL"));
	assert_string_equal(redis_error_remedy(&other), "");
	assert_string_equal(redis_error_remedy(&integer), "");
	assert_true(bytes_eq(redis_error_text(&other), other.text));
	assert_true(bytes_eq(redis_error_text(&integer), BYTES("an answer of another kind")));
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
		cmocka_unit_test(what_is_said_first_is_told_as_what_it_is),
		cmocka_unit_test(what_forbids_writing_does_not_keep_out),
		cmocka_unit_test(errors_have_a_remedy_where_one_is_known),
		cmocka_unit_test(it_must_be_what_is_looked_for),
		cmocka_unit_test(what_redis_says_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
