#include "meter.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wire.h"

static FILE *open_file(const char *path)
{
	FILE *f = fopen(path, "r");

	if (f == NULL)
		die(path);
	return f;
}

static void add_ns(struct cpu *sum, long pid, const char *thread)
{
	char path[PATH_MAX];
	unsigned long long ns;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/task/%s/schedstat", pid, thread);
	f = open_file(path);
	if (fscanf(f, "%llu", &ns) != 1)
		die(path);
	sum->ns += ns;
	fclose(f);
}

static void add_ticks(struct cpu *sum, long pid)
{
	unsigned long long user, system;
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	f = open_file(path);
	if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) !=
	    2)
		die(path);
	sum->user_ticks += user;
	sum->ticks += user + system;
	fclose(f);
}

static void add_process(struct cpu *sum, long pid)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%ld/task", pid);
	threads = opendir(path);
	if (threads == NULL)
		die(path);
	while ((entry = readdir(threads)) != NULL) {
		if (entry->d_name[0] != '.')
			add_ns(sum, pid, entry->d_name);
	}
	closedir(threads);
	add_ticks(sum, pid);
}

struct cpu meter_cpu(const char *pids)
{
	struct cpu sum = {0};
	char *at = (char *)pids;

	while (*at != '\0') {
		add_process(&sum, strtol(at, &at, 10));
		at += *at == ',';
	}
	return sum;
}

struct cpu meter_since(struct cpu before, struct cpu after)
{
	return (struct cpu){
		.ns = after.ns - before.ns,
		.ticks = after.ticks - before.ticks,
		.user_ticks = after.user_ticks - before.user_ticks,
	};
}

double meter_user_ns(struct cpu spent)
{
	return spent.ticks == 0 ? 0 : (double)spent.ns * (double)spent.user_ticks / (double)spent.ticks;
}

uint64_t meter_own_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Without the files that are mapped: of a library a process has the less the more others run beside it. */
static uint64_t memory_of(long pid)
{
	char path[PATH_MAX], line[256];
	unsigned long long sum = 0, kib;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", pid);
	f = open_file(path);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Pss_Anon: %llu", &kib) == 1 || sscanf(line, "Pss_Shmem: %llu", &kib) == 1)
			sum += kib;
	}
	fclose(f);
	return sum * 1024;
}

uint64_t meter_memory(const char *pids)
{
	uint64_t sum = 0;
	char *at = (char *)pids;

	while (*at != '\0') {
		sum += memory_of(strtol(at, &at, 10));
		at += *at == ',';
	}
	return sum;
}
