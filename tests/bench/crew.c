#include "crew.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire.h"

enum { REPORT_MAX = 256 };

static void start_one(struct crew *c, unsigned clients,
                      void (*work)(struct crew_member *self, unsigned clients))
{
	int up[2], down[2];

	if (pipe(up) < 0 || pipe(down) < 0)
		die("pipe");
	fflush(stdout);
	switch (fork()) {
	case -1: die("fork"); break;
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(up[0]);
		close(down[1]);
		work(&(struct crew_member){.from_parent = down[0], .to_parent = up[1]}, clients);
		exit(0);
	}
	close(up[1]);
	close(down[0]);
	c->from[c->processes] = up[0];
	c->to[c->processes++] = down[1];
}

void crew_start(struct crew *c, unsigned clients, void (*work)(struct crew_member *self, unsigned clients))
{
	unsigned processes = (clients + CREW_PER_PROCESS - 1) / CREW_PER_PROCESS;

	*c = (struct crew){0};
	for (unsigned i = 0; i < processes; i++)
		start_one(c, clients / processes + (i < clients % processes), work);
}

void crew_collect(struct crew *c, size_t size, void (*add)(void *sum, const void *report), void *sum)
{
	char report[REPORT_MAX];

	for (unsigned i = 0; i < c->processes; i++) {
		if (read(c->from[i], report, size) != (ssize_t)size)
			die("a process of clients failed");
		add(sum, report);
	}
}

void crew_go(struct crew *c)
{
	for (unsigned i = 0; i < c->processes; i++) {
		if (write(c->to[i], "g", 1) != 1)
			die("write");
	}
}

void crew_end(void)
{
	while (wait(NULL) > 0)
		continue;
}

void crew_report(struct crew_member *self, const void *report, size_t size)
{
	if (write(self->to_parent, report, size) != (ssize_t)size)
		exit(2);
}

void crew_wait(struct crew_member *self)
{
	char go;

	if (read(self->from_parent, &go, 1) != 1)
		exit(2);
}
