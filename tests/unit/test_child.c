/* Forking, closing, and how a child ended. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "child.h"

static void end_is_told_in_words(void **state)
{
	char text[CHILD_END_TEXT_MAX];

	child_describe_end(3 << 8, text);
	assert_string_equal(text, "exited with code 3");
	child_describe_end(SIGSEGV, text);
	assert_string_equal(text, "was killed by SIGSEGV");
	child_describe_end(SIGABRT | 0x80, text);
	assert_string_equal(text, "was killed by SIGABRT (core dumped)");
}

static void do_nothing(int signum)
{
}

/* The exit code tells what was wrong, 0 for nothing. */
static int check_signals(void)
{
	struct sigaction action;
	sigset_t mask;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int signum = 1; signum < NSIG; signum++) {
		if (sigismember(&mask, signum) > 0)
			return 1;
	}
	sigaction(SIGTERM, NULL, &action);
	if (action.sa_handler != SIG_DFL)
		return 2;
	sigaction(SIGPIPE, NULL, &action);
	return action.sa_handler != SIG_DFL ? 3 : 0;
}

static int wait_for(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void child_has_no_signal_of_the_masters(void **state)
{
	sigset_t before, after;
	pid_t pid;

	signal(SIGTERM, do_nothing);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_SETMASK, NULL, &before);
	pid = child_fork();
	if (pid == 0)
		_exit(check_signals());
	sigprocmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
	assert_int_equal(wait_for(pid), 0);
	signal(SIGTERM, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
}

static int check_closing(const int *opened, size_t count)
{
	/* Unsorted, doubled, closed, and below what is ever closed. */
	int kept[] = {opened[5], -1, opened[1], 2, opened[5], opened[3]};

	child_close_all_but(kept, 6);
	for (size_t i = 0; i < count; i++) {
		bool should_be_open = i == 1 || i == 3 || i == 5;

		if ((fcntl(opened[i], F_GETFD) >= 0) != should_be_open)
			return (int)i + 1;
	}
	return fcntl(0, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0 ? 100 : 0;
}

static void only_what_is_listed_stays_open(void **state)
{
	int opened[8];
	pid_t pid;

	for (size_t i = 0; i < 8; i++) {
		opened[i] = open("/dev/null", O_RDONLY);
		assert_true(opened[i] > 2);
	}
	pid = fork();
	if (pid == 0)
		_exit(check_closing(opened, 8));
	assert_int_equal(wait_for(pid), 0);
	for (size_t i = 0; i < 8; i++)
		close(opened[i]);
}

static int check_settings(void)
{
	setenv("FANFARE_A", "1", 1);
	setenv("B", "2", 1);
	setenv("FANFARE_C", "3", 1);
	setenv("FANFARES", "4", 1);
	setenv("FANFARE_", "", 1);
	child_forget_settings();
	if (getenv("FANFARE_A") != NULL || getenv("FANFARE_C") != NULL || getenv("FANFARE_") != NULL)
		return 1;
	return getenv("B") == NULL || getenv("FANFARES") == NULL ? 2 : 0;
}

static void settings_are_forgotten_and_nothing_else(void **state)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(check_settings());
	assert_int_equal(wait_for(pid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(end_is_told_in_words),
		cmocka_unit_test(child_has_no_signal_of_the_masters),
		cmocka_unit_test(only_what_is_listed_stays_open),
		cmocka_unit_test(settings_are_forgotten_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
