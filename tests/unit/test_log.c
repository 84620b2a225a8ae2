/* Log lines: what peers sent cannot break them, and a reader that has stopped does not stop the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

static int real_stderr;
static int reader;

/* Standard error becomes a pipe that the test reads. */
static int set_up(void **state)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	real_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	reader = fds[0];
	fcntl(reader, F_SETFL, O_NONBLOCK);
	log_setup(LOG_INFO, LOG_TEXT);
	log_set_who("");
	return 0;
}

static int tear_down(void **state)
{
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(reader);
	return 0;
}

/* What was logged since the last call. */
static const char *logged(void)
{
	static char text[1 << 17];
	ssize_t n = read(reader, text, sizeof(text) - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void a_line_has_time_level_process_and_subject(void **state)
{
	const char *line;

	log_set_who("worker 2");
	log_line(LOG_WARNING, "conn 7 [::1]:4711", "closed with %d", 3501);
	line = logged();
	assert_int_equal(line[10], 'T');
	assert_string_equal(line + strlen("2026-11-23T02:03:04.567Z"),
	                    " warning [worker 2] conn 7 [::1]:4711: closed with 3501\n");
	log_debug("below the level");
	assert_string_equal(logged(), "");
}

static void what_a_peer_sent_stays_in_its_line(void **state)
{
	log_info("%s", "a\nb\x1b[31m\"\\");
	assert_non_null(strstr(logged(), " info a\\x0ab\\x1b[31m\"\\\n"));
}

static void a_json_line_is_json_whatever_is_in_it_and_however_long(void **state)
{
	char text[3000];
	json_t *line;

	memset(text, 1, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	memcpy(text, "\"\\\xff\xc3", 4);
	log_setup(LOG_INFO, LOG_JSON);
	log_set_who("master");
	log_line(LOG_ERROR, "channel \"x\n", "%s", text);
	line = json_loads(logged(), 0, NULL);
	assert_non_null(line);
	assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
	assert_string_equal(json_string_value(json_object_get(line, "process")), "master");
	assert_string_equal(json_string_value(json_object_get(line, "subject")), "channel \"x\n");
	assert_int_equal(strncmp(json_string_value(json_object_get(line, "message")), "\"\\", 2), 0);
	json_decref(line);
}

static void a_reader_who_does_not_read_loses_lines_but_stops_nobody(void **state)
{
	size_t lines = 0;
	const char *text;

	for (int i = 0; i < 5000; i++)
		log_info("line %04d", i);
	for (text = logged(); (text = strchr(text, '\n')) != NULL; text++)
		lines++;
	assert_in_range(lines, 100, 4999);
	log_info("read again");
	text = logged();
	assert_non_null(strstr(text, "read again\n"));
	assert_non_null(strstr(text, " lines of the log were lost"));
	log_info("and again");
	assert_null(strstr(logged(), "lost"));
}

static void what_a_peer_can_cause_is_logged_a_few_times_in_ten_seconds_and_then_counted(void **state)
{
	struct log_limit limit = {0};
	unsigned allowed = 0;

	clock_freeze(1000, 1000);
	for (int i = 0; i < 100; i++)
		allowed += log_allowed(&limit);
	assert_int_equal(allowed, 5);
	clock_freeze(11001, 11001);
	assert_true(log_allowed(&limit));
	assert_non_null(strstr(logged(), "95 similar lines were not logged"));
}

static void a_text_of_lines_is_as_many_lines_of_the_log(void **state)
{
	const char *lines, *second;

	log_lines(LOG_ERROR, "one\nand two\n", 12);
	lines = logged();
	assert_non_null(strstr(lines, " error one\n"));
	second = strchr(lines, '\n') + 1;
	assert_non_null(strstr(second, " error and two\n"));
	assert_ptr_equal(strchr(second, '\n') + 1, second + strlen(second));
	log_lines(LOG_ERROR, NULL, 0);
	assert_string_equal(logged(), "");
	log_lines(LOG_ERROR, "no end", 6);
	assert_non_null(strstr(logged(), " error no end\n"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_line_has_time_level_process_and_subject),
		TEST(what_a_peer_sent_stays_in_its_line),
		TEST(a_text_of_lines_is_as_many_lines_of_the_log),
		TEST(a_json_line_is_json_whatever_is_in_it_and_however_long),
		TEST(a_reader_who_does_not_read_loses_lines_but_stops_nobody),
		TEST(what_a_peer_can_cause_is_logged_a_few_times_in_ten_seconds_and_then_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
