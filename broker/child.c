#include "child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Those that the master catches or ignores. Others, like the ones a sanitizer handles, are left alone. */
static const int used_signals[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGCHLD};

pid_t child_fork(void)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < ARRAY_LEN(used_signals); i++)
			signal(used_signals[i], SIG_DFL);
		sigemptyset(&before);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid;
}

void child_forget_settings(void)
{
	static const char prefix[] = "FANFARE_";
	char **kept = environ;

	for (char **variable = environ; *variable != NULL; variable++) {
		if (strncmp(*variable, prefix, sizeof(prefix) - 1) != 0)
			*kept++ = *variable;
	}
	*kept = NULL;
}

static int compare_fds(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

void child_close_all_but(int *fds, size_t count)
{
	unsigned next = STDERR_FILENO + 1;

	qsort(fds, count, sizeof(*fds), compare_fds);
	for (size_t i = 0; i < count; i++) {
		unsigned fd = (unsigned)fds[i];

		if (fds[i] < 0 || fd < next)
			continue;
		if (fd > next)
			close_range(next, fd - 1, 0);
		next = fd + 1;
	}
	close_range(next, ~0U, 0);
}

void child_describe_end(int status, char text[CHILD_END_TEXT_MAX])
{
	const char *name;

	if (!WIFSIGNALED(status)) {
		snprintf(text, CHILD_END_TEXT_MAX, "exited with code %d", WEXITSTATUS(status));
		return;
	}
	name = sigabbrev_np(WTERMSIG(status));
	snprintf(text, CHILD_END_TEXT_MAX, "was killed by SIG%s%s", name != NULL ? name : "?",
	         WCOREDUMP(status) ? " (core dumped)" : "");
}
